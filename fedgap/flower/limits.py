"""The site's own limits, checked before anything is answered: what is beyond them is refused and logged.

A plan and a roster are looked at before they are approved, a round before it begins, and the list of who stayed before
it is signed. Nothing here asks the server's opinion.
"""

from collections.abc import Collection
from datetime import datetime

from fedgap.config import FederationConfig
from fedgap.config.site import Limits
from fedgap.errors import FedgapError
from fedgap.ids import OrgId
from fedgap.secagg.manifest import Manifest


class LimitError(FedgapError):
    """Something is beyond what site.toml allows; this site does not take part in it."""

    code = "site.limit"
    remedy = "To allow it, change [limits] in site.toml and start the client again."


class TaskNotAllowedError(LimitError):
    """The federation wants to run a task that this site does not allow."""

    code = "site.task"


class TooManyRoundsError(LimitError):
    """The site has taken part in as many rounds as it wants to."""

    code = "site.rounds"


class OutsideHoursError(LimitError):
    """It is not the time of day at which rounds may begin here."""

    code = "site.hours"
    remedy = "The client takes part again within its hours; to change them edit [limits] hours in site.toml."


class SmallCohortError(LimitError):
    """Too few organisations would share the sum."""

    code = "site.cohort"


class MissingMemberError(LimitError):
    """An organisation that this site insists on is not there."""

    code = "site.required"


def check_task(limits: Limits, config: FederationConfig) -> None:
    """Let a federation through whose task may run here.

    Raises:
        TaskNotAllowedError: it may not.
    """
    wanted = config.federation.task
    if wanted not in limits.tasks:
        raise TaskNotAllowedError(f"The task '{wanted}' is not among [limits] tasks ({', '.join(limits.tasks)}).")


def check_roster(limits: Limits, manifest: Manifest) -> None:
    """Let a roster through in which every opened sum hides us as the site wants.

    Raises:
        SmallCohortError: a sum over fewer than the minimum could be opened even if all stay.
        MissingMemberError: a required organisation is not in it.
    """
    members = len(manifest.members)
    if members < limits.minimum_cohort:
        raise SmallCohortError(f"The roster has {members} organisations; this site wants {limits.minimum_cohort}.")
    _require(limits, {member.id for member in manifest.members}, "in the roster")


def check_round(limits: Limits, round_number: int, now: datetime) -> None:
    """Let the beginning of a round through.

    Args:
        limits: of the site.
        round_number: from 1.
        now: local time.

    Raises:
        TooManyRoundsError, OutsideHoursError: it may not begin here.
    """
    if round_number > limits.rounds:
        raise TooManyRoundsError(f"This is round {round_number}; this site takes part in {limits.rounds}.")
    hours = limits.open_hours
    if hours and not any(part.hold(now.time()) for part in hours):
        raise OutsideHoursError(f"It is {now:%H:%M}; rounds begin here in {', '.join(map(str, hours))}.")


def check_present(limits: Limits, present: Collection[OrgId]) -> None:
    """Let a list of who is there through: of who takes part, or of who stayed.

    Raises:
        SmallCohortError: too few.
        MissingMemberError: a required one is not there.
    """
    if len(present) < limits.minimum_cohort:
        raise SmallCohortError(f"{len(present)} organisations are there; this site wants {limits.minimum_cohort}.")
    _require(limits, present, "there")


def _require(limits: Limits, present: Collection[OrgId], where: str) -> None:
    missing = [org for org in limits.required if org not in present]
    if missing:
        raise MissingMemberError(f"{', '.join(missing)} must be {where} for this site to take part.")
