"""What a simulated round puts on record, in the order in which it happens.

    RoundOpened  DirectionCommitted (of the round before)  CheckpointCosigned  RosterAgreed  AggregateReleased

Without messages (`--protocol sum`) nobody signs who stayed, so no roster is agreed on and a sum has no voices; the
ledger of a simulation may leave these out, and says how many sums are unsigned.
"""

from collections.abc import Iterable, Sequence

from fedgap.crypto import digest, root_of_chunks
from fedgap.records import (
    AggregateReleased,
    Approval,
    DirectionCommitted,
    ManifestSigned,
    Record,
    RosterAgreed,
    RoundOpened,
    Survivor,
    Voice,
)
from fedgap.rounds import Event
from fedgap.rounds import RosterAgreed as AgreedEvent
from fedgap.secagg.local import LocalFederation
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring
from fedgap.secagg.plain import plain_vectors
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import pack
from fedgap.simulation.aggregate import Released
from fedgap.simulation.ledger_of import Fact

NOTHING = bytes(32)


def founding(federation: LocalFederation) -> ManifestSigned:
    """The manifest, signed by all its simulated members."""
    name = federation.manifest.digest  # once: thousands may sign
    approvals = [Approval(public=one.public, signature=one.sign("manifest", name)) for one in federation.identities]
    return ManifestSigned(manifest=pack(federation.manifest), approvals=tuple(approvals))


def round_facts(
    manifest: Manifest,
    released: Released,
    *,
    events: Iterable[Event],
    state: bytes,
    committed: Sequence[DirectionCommitted],
    cosigned: Sequence[Fact],
) -> list[Fact]:
    """List what happened in a round whose sum is known.

    Args:
        manifest: names the organisations.
        released: the round.
        events: what the round's journal noted of it.
        state: digest of the model that its sum leads to.
        committed: directions that were certified in it.
        cosigned: co-signatures of it.
    """
    plan = released.plan
    agreed = [_roster(manifest, event) for event in events if isinstance(event, AgreedEvent)]
    return [_opened(manifest, plan), *committed, *cosigned, *agreed, _released(manifest, released, state)]


def _opened(manifest: Manifest, plan: Plan) -> RoundOpened:
    everybody = tuple(member.id for member in manifest.members)
    return RoundOpened(round=plan.round, attempt=plan.attempt, sid=plan.sid, manifest=manifest.digest, cohort=everybody)


def _roster(manifest: Manifest, event: AgreedEvent) -> Record:
    organisations = tuple(manifest.members[seat].id for seat in event.seats)
    return RosterAgreed(round=event.plan.round, attempt=event.plan.attempt, t2=event.t2, organisations=organisations)


def _released(manifest: Manifest, released: Released, state: bytes) -> AggregateReleased:
    plan, outcome = released.plan, released.outcome
    if outcome is None:
        vectors = plain_vectors(manifest, released.given.items(), clip=plan.clip, round_=plan.round)
        roots = {seat: root_of_chunks("unmasked", _bytes_of(vector)) for _, seat, vector in vectors}
        voices: tuple[Voice, ...] = ()
        t2 = NOTHING
    else:
        roots = {survivor.seat: survivor.root for survivor in outcome.survivors}
        voices = tuple(
            Voice(organisation=manifest.members[voice.seat].id, signature=voice.signature) for voice in outcome.voices
        )
        t2 = outcome.t2
    survivors = sorted(roots.items())
    return AggregateReleased(
        round=plan.round,
        attempt=plan.attempt,
        agreed=digest("D", survivors, plan.sid, t2),
        sum_root=root_of_chunks("sum", _bytes_of(released.total)),
        state=state,
        survivors=tuple(Survivor(organisation=manifest.members[seat].id, root=root) for seat, root in survivors),
        voices=voices,
    )


def _bytes_of(vector: Ring) -> bytes:
    return vector.astype("<u4", copy=False).tobytes()
