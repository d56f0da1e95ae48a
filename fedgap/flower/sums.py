"""The sums of all rounds so far, one file each: from them and w_0 the model follows, at the server and at any member.

A round is finished when its sum is here. Nothing else about the model is kept, so nothing can disagree with it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from fedgap import storage
from fedgap.config import FederationConfig
from fedgap.flower.column import room_in
from fedgap.flower.course import Course, apply
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.wire import unpack
from fedgap.storage import DamagedFileError

Each = Callable[[Outcome, Course, Course, Manifest], None]


class Sums:
    """The folder with the sums.

    Raises:
        DamagedFileError: one is missing in between.
    """

    def __init__(self, folder: Path) -> None:
        storage.make_folder(folder)
        folder.chmod(0o700)
        self._folder = folder
        there = {int(path.stem) for path in folder.glob("[0-9]*.bin")}
        if there != set(range(1, len(there) + 1)):
            raise DamagedFileError(f"A sum is missing in {folder}.")
        self.count = len(there)

    def add(self, outcome: bytes) -> None:
        """Keep the packed sum of the next round; durable when this returns.

        Raises:
            DiskFullError, StorageError: it could not be kept; the round is not finished.
        """
        storage.replace(self._path(self.count + 1), outcome, mode=storage.PRIVATE)
        self.count += 1

    def take_over(self, file: Path) -> None:
        """Keep the packed sum of the next round from a file, without reading it into memory; durable then.

        Raises:
            DiskFullError, StorageError: it could not be kept; the round is not finished.
        """
        storage.copy(file, self._path(self.count + 1), mode=storage.PRIVATE)
        self.count += 1

    def packed(self, round_: int) -> bytes:
        """Give back the packed sum of a round.

        Raises:
            DamagedFileError: it cannot be read.
        """
        try:
            return self._path(round_).read_bytes()
        except OSError as error:
            raise DamagedFileError(f"{self._path(round_)} cannot be read ({error.strerror}).") from error

    def outcome(self, round_: int) -> Outcome:
        """Give back the sum of a round."""
        return unpack(Outcome, self.packed(round_))

    def replay(
        self, course: Course, manifests: list[Manifest], config: FederationConfig, each: Each | None = None
    ) -> Course:
        """Apply every sum from the beginning.

        Args:
            course: at w_0.
            manifests: every version that was in force.
            config: the server's step.
            each: told of every sum, with the course before and after it, and its manifest.

        Raises:
            DamagedFileError: a sum does not follow from those before.
        """
        versions = {manifest.digest: manifest for manifest in manifests}
        for round_ in range(course.applied + 1, self.count + 1):
            outcome, before = self.outcome(round_), course
            course = self._applied(round_, outcome, course, versions, config)
            if each is not None:
                each(outcome, before, course, versions[outcome.plan.manifest])
        return course

    def _applied(
        self,
        round_: int,
        outcome: Outcome,
        course: Course,
        versions: Mapping[bytes, Manifest],
        config: FederationConfig,
    ) -> Course:
        try:
            return apply(course, outcome, versions[outcome.plan.manifest], config, room=room_in(self._folder))[0]
        except (KeyError, ValueError) as error:
            raise DamagedFileError(f"{self._path(round_)} does not follow from the sums before.") from error

    def _path(self, round_: int) -> Path:
        return self._folder / f"{round_:06d}.bin"
