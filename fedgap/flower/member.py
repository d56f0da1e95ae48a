"""A member of a deployed federation as `Participant` sees it: it computes the plan itself, and trains at home.

The server's plan is compared with ours; the model is never sent to us. It follows from w_0, which everybody computes
from task, statistics and seed, and from one sum after the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedgap.errors import FedgapError
from fedgap.flower import course as courses
from fedgap.flower.column import room_in
from fedgap.flower.contract import BEHIND
from fedgap.flower.course import Course, Standpoint
from fedgap.flower.coursefile import load_course, save_course
from fedgap.flower.first_model import first_model
from fedgap.flower.preparation import Shape
from fedgap.flower.trail import Trail
from fedgap.flower.workplace import Workplace
from fedgap.secagg.checks import check_outcome
from fedgap.secagg.encoding import Contribution
from fedgap.secagg.errors import SecaggError
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.transcript import Plan


class BehindError(FedgapError):
    """The round starts from sums that this site does not have yet."""

    code = BEHIND
    remedy = "The server sends the sums that are missing, and the invitation again."

    def __init__(self, standpoint: Standpoint, *, wanted: int) -> None:
        super().__init__(f"Round {wanted} follows {wanted - 1} sums; {standpoint.applied} are known here.")
        self.standpoint = standpoint


class UnknownModelError(FedgapError):
    """The manifest's model does not follow from the statistics and our rows."""

    code = "client.unknown-model"
    remedy = "Do not approve it; ask the operator whether the statistics were collected anew."


class WrongSumError(FedgapError):
    """What the server sent as missing sums does not continue the course of this site."""

    code = "client.wrong-sum"
    remedy = "Nothing of it was used; ask the operator."


@dataclass(slots=True)
class Member:
    """Our side of the course of a federation (`fedgap.secagg.participant.Application`).

    Attributes:
        manifest: in force.
        workplace: rows and training.
        shape: that everybody's model fits.
        path: where the course is kept.
        course: where we stand.
        admit: raises if this site does not want to begin the round of this number.
        trail: keeps the sums until they are settled; None if nothing is settled.
    """

    manifest: Manifest
    workplace: Workplace
    shape: Shape
    path: Path
    course: Course
    admit: Callable[[int], None]
    trail: Trail | None = None

    def plan(self, invited: Plan, previous: Outcome | None) -> Plan:
        """Compute the plan of the round from the sums so far.

        Raises:
            BehindError: there are rounds between what we know and the one meant.
            LimitError: the site does not take part in it.
        """
        self.admit(invited.round)
        if previous is not None and previous.plan.round == self.course.applied + 1:
            self._apply(previous, self.manifest)
        if invited.round > self.course.applied + 1:
            raise BehindError(self.course.standpoint, wanted=invited.round)
        return courses.plan_next(self.course, self.manifest, attempt=invited.attempt)

    def train(self, plan: Plan) -> Contribution:
        """Train from the state the plan names, which is ours."""
        return self.workplace.contribute(self.course.state.model, self.shape.like, plan.round)

    def catch_up(
        self, outcome: Outcome, manifests: Sequence[Manifest], keep: Callable[[Outcome], None] | None = None
    ) -> None:
        """Apply the sum of a round that was missed; one that is known already changes nothing.

        Args:
            outcome: from the server; it is checked under the manifest its round ran under.
            manifests: every version we approved, and those from before we joined.
            keep: given the next sum, checked, before it is applied; so a crash between the two loses nothing.

        Raises:
            WrongSumError: it is not the next, or not signed as it must be; nothing of it was used.
        """
        if outcome.plan.round <= self.course.applied:
            return
        manifest = next((one for one in manifests if one.digest == outcome.plan.manifest), None)
        if manifest is None:
            raise WrongSumError("A missing sum is of a manifest that this site does not know.")
        try:
            check_outcome(manifest, outcome)
        except SecaggError as error:
            raise WrongSumError(f"A missing sum does not hold: {error.cause}") from error
        if keep is not None and outcome.plan.round == self.course.applied + 1:
            keep(outcome)
        self._apply(outcome, manifest)

    def _apply(self, outcome: Outcome, manifest: Manifest) -> None:
        try:
            self.course, _ = courses.apply(
                self.course, outcome, manifest, self.workplace.config, room=room_in(self.path.parent)
            )
        except ValueError as error:
            raise WrongSumError("A sum does not continue the course of this site.") from error
        if self.trail is not None:
            self.trail.add(outcome)
        save_course(self.path, self.course)


def become_member(
    manifest: Manifest,
    workplace: Workplace,
    shape: Shape,
    folder: Path,
    admit: Callable[[int], None],
    *,
    trail: Trail | None = None,
) -> Member:
    """Take up the course of a federation: from the disk if it fits, else from w_0.

    Raises:
        UnknownModelError: the manifest's model is another than ours.
    """
    path = folder / f"course-{manifest.start.hex()[:16]}.bin"
    stored = load_course(path)
    if stored is None or stored.state.model.size != manifest.encoding.parameters:
        start = first_model(workplace.task, shape, workplace.config)
        stored = courses.begin(start, manifest.encoding)
        if stored.digest != manifest.start:
            raise UnknownModelError("The manifest's first model is not the one this site computes.")
    if trail is not None:
        trail.begin(stored)
    return Member(
        manifest=manifest, workplace=workplace, shape=shape, path=path, course=stored, admit=admit, trail=trail
    )
