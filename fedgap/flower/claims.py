"""What an organisation says it spent in a period: asked by the server when the period is settled, signed at the site.

Processor time, GPU time and energy come from the site's own meter; its rows are declared once, in the first period.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fedgap.crypto import BadBytesError, Identity
from fedgap.crypto.codec import Count, Signature, pack, unpack
from fedgap.ids import OrgId
from fedgap.ledger import Signed
from fedgap.records import (
    BadRecordError,
    CostClaimed,
    Quantity,
    is_record_signed,
    read_record,
    sign_record,
    write_record,
)
from fedgap.records.values import Number
from fedgap.secagg.manifest import Member

_PAID = ("load", "train", "evaluate", "crypto")
"""Phases whose work is claimed; waiting and sending are not."""
_MILLI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AskClaim:
    """Body of a request `claim`: the period, its first and its last round."""

    KIND: ClassVar[str] = "ask-claim/1"

    period: Number
    first: Count
    last: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimReply:
    """Body of its answer: the record's bytes, and the organisation's signature for the ledger."""

    KIND: ClassVar[str] = "claim/1"

    record: bytes
    signature: Signature


def claim_of(asked: AskClaim, org: OrgId, metering: Path, *, rows: int) -> CostClaimed:
    """Add up what the meter wrote down for the rounds of a period.

    Args:
        asked: which period.
        org: who we are.
        metering: the site's metering.jsonl; what cannot be read of it is not claimed.
        rows: training rows, declared in the first period.
    """
    lines = [phases for round_, phases in _lines(metering) if asked.first <= round_ <= asked.last]
    costs = [phases[name] for phases in lines for name in _PAID if name in phases]
    metered = {
        "cpu-ms": _sum(costs, "cpu_seconds", _MILLI),
        "gpu-ms": _sum(costs, "gpu_seconds", _MILLI),
        "joules": _sum(costs, "energy_joules", 1),
    }
    return CostClaimed(
        period=asked.period,
        organisation=org,
        metered=tuple(Quantity(what=what, amount=amount) for what, amount in metered.items() if amount is not None),
        declared=(Quantity(what="rows", amount=rows),) if asked.period == 1 else (),
    )


def sign_claim(claim: CostClaimed, identity: Identity, *, origin: bytes) -> bytes:
    """Make the answer."""
    return pack(ClaimReply(record=write_record(claim), signature=sign_record(claim, identity, origin=origin)))


def read_claim(answer: bytes, member: Member, asked: AskClaim, *, origin: bytes) -> Signed | None:
    """Read a member's claim for the ledger; None if it is none, or about somebody or something else."""
    try:
        reply = unpack(ClaimReply, answer)
        record = read_record(reply.record)
    except (BadBytesError, BadRecordError):
        return None
    right = isinstance(record, CostClaimed) and (record.organisation, record.period) == (member.id, asked.period)
    if not right or not is_record_signed(member.public, reply.signature, reply.record, origin=origin):
        return None
    return Signed(record=record, author=member.public, signature=reply.signature)


def _lines(metering: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    try:
        text = metering.read_text(encoding="utf-8")
    except OSError:
        return
    for line in text.splitlines():
        try:
            found = json.loads(line)
            yield int(found["round"]), found["phases"]
        except (ValueError, KeyError, TypeError):
            continue


def _sum(costs: Iterable[Mapping[str, Any]], what: str, scale: int) -> int | None:
    known = [cost[what] for cost in costs if cost.get(what) is not None]
    return round(scale * sum(known)) if known else None
