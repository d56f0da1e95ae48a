"""A witness at work: it recomputes a period's directions from its rows and public numbers, and signs what it finds.

    case -> manifests that their members signed -> models from w_0 and the sums -> directions, rounding included

It signs one direction for a slot, ever: what was signed is on disk before the answer is given.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedgap import storage
from fedgap.config import FederationConfig
from fedgap.contribution.direction import direction
from fedgap.contribution.errors import UtilityError
from fedgap.contribution.openings import Divisible, openings
from fedgap.contribution.steps import elementwise_step
from fedgap.crypto import BadBytesError, Identity, decode, encode
from fedgap.crypto.codec import unpack
from fedgap.errors import FedgapError
from fedgap.flower.charter import CharterError, check_manifest, founding_of
from fedgap.flower.course import Course, apply, begin
from fedgap.flower.first_model import first_model
from fedgap.flower.limits import TaskNotAllowedError
from fedgap.flower.measuring import prepared, utility_on, witness_key
from fedgap.flower.witness_case import Attested, Shown, WitnessCase
from fedgap.flower.workplace import told
from fedgap.learning.task import Task
from fedgap.learning.threads import use_one_thread
from fedgap.secagg.certificates import Listing
from fedgap.secagg.checks import check_outcome
from fedgap.secagg.directions import Unrounded, UnusableDirectionError, agrees, is_spread, rounded, step_of
from fedgap.secagg.errors import SecaggError
from fedgap.secagg.evaluation import periods_of
from fedgap.secagg.manifest import Manifest, check_amendment, check_founding
from fedgap.secagg.messages import EVERYBODY, Outcome
from fedgap.secagg.plain import mean_of
from fedgap.simulation.contribution import server_step
from fedgap.simulation.federate import server_rule
from fedgap.simulation.shards import MOST_ROWS, chosen_rows
from fedgap.simulation.sites import open_task


class CaseRefusedError(FedgapError):
    """A witness does not sign: the case does not hold together, or its directions are not those of its rows."""

    code = "witness.refused"
    remedy = "Nothing was signed. Keep the case: the server signed what is in it. Ask its operator."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Witness:
    """Who recomputes.

    Attributes:
        identity: signs.
        rows: file with the witness's own copy of the evaluation rows.
        task: the only task that may run here.
        log: what was signed.
    """

    identity: Identity
    rows: Path
    task: str
    log: Path

    def attest(self, content: bytes, base: Path) -> Attested:
        """Recompute a case.

        Args:
            content: the case's file.
            base: where a task of one's own may lie.

        Raises:
            CaseRefusedError: it is not signed as it should be, or a direction is another than these rows give.
            TaskNotAllowedError: its task may not run here.
            DataError: our rows cannot be used.
        """
        use_one_thread()
        case = self._read(content)
        config = self._config(case, base)
        task = open_task(config)
        try:
            manifest = _checked(case, config, task)
            moved = _replayed(case, config, task)
        except (SecaggError, CharterError, ValueError) as error:
            raise CaseRefusedError(f"The case does not hold together: {error}") from error
        parts = self._parts(case, config, task, manifest)
        versions = _versions(case)
        for shown in case.directions:
            if not (1 <= shown.round <= len(moved) and 1 <= shown.slot <= len(parts)):
                raise CaseRefusedError("The case names a direction of no round.")
            outcome = case.sums[shown.round - 1]
            ran_under = versions[outcome.plan.manifest]
            ours = _direction(case, config, ran_under, parts[shown.slot - 1], moved[shown.round - 1])
            _compare(ran_under, case, shown, ours, outcome)
        return Attested(period=case.period, signatures=self._sign(case.directions))

    def _read(self, content: bytes) -> WitnessCase:
        try:
            case = unpack(WitnessCase, content)
        except (BadBytesError, FedgapError) as error:
            raise CaseRefusedError("The file is no case of this version.") from error
        slots = [(shown.round, shown.slot) for shown in case.directions]
        if not slots or slots != sorted(set(slots)):
            raise CaseRefusedError("The case names no direction, or one twice.")
        return case

    def _config(self, case: WitnessCase, base: Path) -> FederationConfig:
        try:
            document: Any = json.loads(case.plan)
            config = told(document, base)
        except (ValueError, TypeError, AttributeError) as error:
            raise CaseRefusedError("The case holds no plan.") from error
        if config.federation.task != self.task:
            raise TaskNotAllowedError(f"The case is of the task '{config.federation.task}', not '{self.task}'.")
        if witness_key(config) != self.identity.public or case.evaluation.witness != self.identity.public:
            raise CaseRefusedError("The plan names another witness.")
        return config

    def _parts(self, case: WitnessCase, config: FederationConfig, task: Task, manifest: Manifest) -> list[Divisible]:
        """Our own rows: all of them, or a half for each opening."""
        seed, periods = config.federation.seed, manifest.periods
        rows = chosen_rows(prepared(self.rows, task, case.shared), seed, MOST_ROWS * periods)
        return openings(utility_on(task, case.shape)(rows), manifest.openings, seed)

    def _sign(self, shown: Sequence[Shown]) -> tuple[bytes, ...]:
        """Sign each direction, unless another one was signed for its slot."""
        storage.mend(self.log)
        before = dict(_pair(entry) for entry in storage.entries(self.log))
        for one in shown:
            if before.get(one.name, one.said) != one.said:
                raise CaseRefusedError(f"Another direction of round {one.round} was signed before.")
        for one in shown:
            if one.name not in before:
                storage.append(self.log, encode((one.name, one.said)))
        return tuple(self.identity.sign("witnessed", one.name, EVERYBODY, one.said) for one in shown)


def _pair(entry: bytes) -> tuple[bytes, bytes]:
    match decode(entry):
        case (bytes(name), bytes(said)):
            return name, said
        case _:
            raise storage.DamagedFileError("The record of what was signed is damaged.")


def _checked(case: WitnessCase, config: FederationConfig, task: Task) -> Manifest:
    """Give the manifest in force, once all of them say what was agreed and are signed by their members."""
    start = first_model(task, case.shape, config)
    founding = founding_of(config, case.shared, case.shape, start, case.policy or None, case.evaluation)
    for place, signed in enumerate(case.manifests):
        check_manifest(signed.manifest, founding, None)
        if place == 0:
            check_founding(signed)
        else:
            check_amendment(case.manifests[place - 1].manifest, signed)
    if not case.manifests:
        raise CaseRefusedError("The case holds no manifest.")
    return case.manifests[-1].manifest


def _versions(case: WitnessCase) -> dict[bytes, Manifest]:
    """Every manifest of the case, by its digest."""
    return {signed.manifest.digest: signed.manifest for signed in case.manifests}


def _replayed(case: WitnessCase, config: FederationConfig, task: Task) -> list[tuple[Course, Course]]:
    """Compute the models before and after every round, from sums that tau members agreed on."""
    manifests = _versions(case)
    course = begin(first_model(task, case.shape, config), case.manifests[0].manifest.encoding)
    moved = []
    for outcome in case.sums:
        manifest = manifests.get(outcome.plan.manifest)
        if manifest is None:
            raise CaseRefusedError(f"Round {outcome.plan.round} ran under a manifest that is not in the case.")
        check_outcome(manifest, outcome)
        before, (course, _) = course, apply(course, outcome, manifest, config)
        moved.append((before, course))
    return moved


def _direction(
    case: WitnessCase, config: FederationConfig, manifest: Manifest, part: Divisible, moved: tuple[Course, Course]
) -> Unrounded:
    """What our own rows give for a round, float64, shape (d,)."""
    before, after = moved
    outcome = case.sums[before.applied]
    total, seats = np.frombuffer(outcome.total, dtype="<u4"), [one.seat for one in outcome.survivors]
    mean = mean_of(manifest, total, seats=seats, clip=before.clip).update
    step = elementwise_step(server_step(server_rule(config)), after.state.second[:])
    try:
        return direction(part, before.state.model, after.state.model, mean, step).unrounded
    except UtilityError as error:
        raise CaseRefusedError(f"Our rows give no direction of round {after.applied}.") from error


def _compare(manifest: Manifest, case: WitnessCase, shown: Shown, ours: Unrounded, outcome: Outcome) -> None:
    """Compare a direction with ours, scaling and rounding included.

    Raises:
        CaseRefusedError: it is another.
    """
    listing, periods = Listing.of(outcome), periods_of(manifest, case.evaluation)
    where = f"round {shown.round}"
    if shown.agreed != listing.agreed or periods.of(shown.round) != case.period:
        raise CaseRefusedError(f"A direction is not of {where} of this period.")
    step = step_of(manifest, listing.seats, clip=outcome.plan.clip)
    try:
        again = rounded(
            manifest.encoding,
            ours,
            step=step,
            scale=shown.scale,
            length=periods.length,
            round_=shown.round,
            slot=shown.slot,
        )
    except UnusableDirectionError as error:
        raise CaseRefusedError(f"Our own direction of {where} cannot be used.") from error
    entries = np.frombuffer(shown.entries, "<i2").astype(np.int16, copy=False)
    if not agrees(entries, again.entries):
        raise CaseRefusedError(f"The direction of {where} is not the one that our rows give.")
    if not is_spread(ours):
        raise CaseRefusedError(f"The direction of {where} singles out a few numbers of the model.")
