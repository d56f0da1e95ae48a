"""The way a member's model went, kept until it is settled: the sums since a model that was kept, one file each.

From them follows every model in between, so that a member can recompute any direction. Nothing else is kept, and what a
settled period needed is erased.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from fedgap import storage
from fedgap.config import FederationConfig
from fedgap.crypto import BadBytesError
from fedgap.flower.column import room_in
from fedgap.flower.course import Course, apply
from fedgap.flower.coursefile import load_course, save_course
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.wire import pack, unpack


class Trail:
    """The folder.

    Args:
        folder: where.
        config: the server's step.
        manifests: gives every version that is known here.
    """

    def __init__(self, folder: Path, config: FederationConfig, manifests: Callable[[], Sequence[Manifest]]) -> None:
        storage.make_folder(folder)
        folder.chmod(0o700)
        self._folder, self._config, self._manifests = folder, config, manifests
        self._base = folder / "base.bin"
        self._at: Course | None = None

    def begin(self, course: Course) -> None:
        """Start from here, unless there is a start already that leads here."""
        base = load_course(self._base) if self._base.exists() else None
        if base is None or base.applied > course.applied:
            save_course(self._base, course)

    def add(self, outcome: Outcome) -> None:
        """Keep the sum of a round; durable when this returns."""
        storage.replace(self._path(outcome.plan.round), pack(outcome), mode=storage.PRIVATE)

    def step(self, round_: int) -> tuple[Course, Course, Outcome] | None:
        """Give the course before and after a round, and its sum; None if that is not known here.

        Rounds asked for in their order cost one server step each, and never more memory than two models.
        """
        course = self._at if self._at is not None and self._at.applied < round_ else load_course(self._base)
        if course is None or course.applied >= round_:
            return None
        manifests = {manifest.digest: manifest for manifest in self._manifests()}
        while True:
            before, outcome = course, self._outcome(course.applied + 1)
            if outcome is None or outcome.plan.manifest not in manifests:
                return None
            try:
                manifest = manifests[outcome.plan.manifest]
                course, _ = apply(before, outcome, manifest, self._config, room=room_in(self._folder))
            except ValueError:
                return None
            self._at = course
            if course.applied == round_:
                return before, course, outcome

    def last_before(self, rounds: range, manifests: Collection[bytes]) -> int:
        """The last of these rounds before the first one that ran under one of these manifests."""
        for round_ in rounds:
            outcome = self._outcome(round_)
            if outcome is not None and outcome.plan.manifest in manifests:
                return round_ - 1
        return rounds[-1]

    def forget(self, last: int) -> None:
        """Erase what only rounds up to this one need; the way begins behind it then."""
        found = self.step(last)
        if found is None:
            return
        save_course(self._base, found[1])
        for path in self._folder.glob("[0-9]*.bin"):
            if int(path.stem) <= last:
                path.unlink(missing_ok=True)

    def _outcome(self, round_: int) -> Outcome | None:
        try:
            return unpack(Outcome, self._path(round_).read_bytes())
        except (OSError, BadBytesError):
            return None

    def _path(self, round_: int) -> Path:
        return self._folder / f"{round_:06d}.bin"
