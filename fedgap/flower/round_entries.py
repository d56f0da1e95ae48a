"""What a deployed round puts on record, from what its journal noted and from its sum.

RoundOpened  DirectionCommitted (of rounds before)  CheckpointCosigned  RosterAgreed  AggregateReleased
"""

from collections.abc import Sequence
from pathlib import Path

from fedgap import storage
from fedgap.crypto import digest, root_of_chunks
from fedgap.crypto.codec import unpack_one_of
from fedgap.flower.server_ledger import Fact
from fedgap.records import AggregateReleased, RosterAgreed, RoundOpened, Survivor, Voice
from fedgap.rounds import RosterAgreed as AgreedEvent
from fedgap.rounds import RoundOpened as OpenedEvent
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.transcript import Plan

_KINDS: tuple[type[OpenedEvent | AgreedEvent], ...] = (OpenedEvent, AgreedEvent)
_EVENTS = {f"fedgap/1/{cls.KIND}": cls for cls in _KINDS}


def events_of(log: Path, plan: Plan) -> list[OpenedEvent | AgreedEvent]:
    """Read what the journal noted of an attempt: who was invited, and who agreed to be in it."""
    found: list[OpenedEvent | AgreedEvent | None] = [unpack_one_of(_EVENTS, entry) for entry in storage.entries(log)]
    return [event for event in found if event is not None and event.plan == plan]


def round_entries(
    manifest: Manifest,
    outcome: Outcome,
    events: Sequence[OpenedEvent | AgreedEvent],
    *,
    state: bytes,
    before: Sequence[Fact] = (),
) -> list[Fact]:
    """List what happened in a round whose sum is known.

    Args:
        manifest: the round ran under it.
        outcome: its sum, with everybody's signatures.
        events: of its last attempt.
        state: digest of the model that its sum leads to.
        before: what became known while members were invited: directions and co-signatures.
    """
    plan, ids = outcome.plan, [member.id for member in manifest.members]
    opened = [event for event in events if isinstance(event, OpenedEvent)]
    agreed = [event for event in events if isinstance(event, AgreedEvent)]
    invited = opened[-1].cohort if opened else range(len(ids))
    roster = [
        RosterAgreed(
            round=plan.round, attempt=plan.attempt, t2=event.t2, organisations=tuple(ids[seat] for seat in event.seats)
        )
        for event in agreed[-1:]
    ]
    return [
        RoundOpened(
            round=plan.round,
            attempt=plan.attempt,
            sid=plan.sid,
            manifest=manifest.digest,
            cohort=tuple(ids[seat] for seat in invited),
        ),
        *before,
        *roster,
        AggregateReleased(
            round=plan.round,
            attempt=plan.attempt,
            agreed=digest("D", [(s.seat, s.root) for s in outcome.survivors], plan.sid, outcome.t2),
            sum_root=root_of_chunks("sum", outcome.total),
            state=state,
            survivors=tuple(Survivor(organisation=ids[s.seat], root=s.root) for s in outcome.survivors),
            voices=tuple(Voice(organisation=ids[v.seat], signature=v.signature) for v in outcome.voices),
        ),
    ]
