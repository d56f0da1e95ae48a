"""THE LEDGER'S CHECKS: is this the history that was signed, entry by entry, and may it be believed?

Whoever has only the file learns that it is whole and consistent with the manifest inside; that this manifest is the
right one must be compared with something from elsewhere: its digest, the keys of the members, a kept checkpoint.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedgap.ids import OrgId
from fedgap.ledger.chain import Chain
from fedgap.ledger.checkpoint import Checkpoint
from fedgap.ledger.errors import BadEntryError

SERVER = "@server"
"""The server's name in a list of trusted keys; no organisation's identifier has an @."""

_EXACT = frozenset({"malformed", "missing-entry", "repeated", "unreadable"})
"""Faults that only the entry they are found at can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong first.

    Attributes:
        position: the first entry that fails a check, from 0; None if it is not an entry.
        since: the change is in the entries from here to `position`: what stands before is as it was signed.
        code: for programs.
        cause: a sentence.
    """

    position: int | None
    since: int | None
    code: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the reader knows from elsewhere.

    Attributes:
        manifest: digest of the federation's first manifest.
        keys: public keys by organisation, and of `SERVER`.
        checkpoints: heads that somebody kept.
    """

    manifest: bytes | None = None
    keys: Mapping[str, bytes] | None = None
    checkpoints: Sequence[Checkpoint] = ()

    @property
    def names_a_manifest(self) -> bool:
        """Whether it says which manifest is the right one."""
        return self.manifest is not None or self.keys is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found.

    Attributes:
        fault: the first thing that is wrong, None if nothing is.
        entries: how many were found good.
        root: over them.
        origin: digest of the first manifest, empty if there is none.
        federation, version: what the manifest in force calls itself.
        members: ids of its roster.
        cosigned: for every organisation that co-signed, the size of the largest checkpoint it did.
        compared: whether the manifest was compared with something from elsewhere.
        simulation: whether its keys come from a seed.
        unsigned_sums: sums of a simulation without the members' signatures.
    """

    fault: Fault | None
    entries: int
    root: bytes
    origin: bytes
    federation: str
    version: int
    members: tuple[OrgId, ...]
    cosigned: Mapping[OrgId, int]
    compared: bool
    simulation: bool
    unsigned_sums: int

    def document(self) -> dict[str, Any]:
        """As JSON can hold it."""
        fault = self.fault
        return {
            "ok": fault is None,
            "fault": None
            if fault is None
            else {"entry": fault.position, "since": fault.since, "code": fault.code, "cause": fault.cause},
            "entries": self.entries,
            "root": self.root.hex(),
            "manifest": self.origin.hex(),
            "compared": self.compared,
            "federation": self.federation,
            "version": self.version,
            "members": list(self.members),
            "cosigned": dict(self.cosigned),
            "simulation": self.simulation,
            "sums_without_signatures": self.unsigned_sums,
        }


def verify(
    bodies: Iterable[tuple[int, bytes]], head: Checkpoint | None, *, trust: Trust, chain: Chain | None = None
) -> Verification:
    """Check a ledger in one pass.

    Args:
        bodies: (position, stored bytes) of every entry, in order; need not fit into memory.
        head: the checkpoint stored beside them.
        trust: what the reader knows from elsewhere.
        chain: an empty one that the caller wants to look at afterwards.
    """
    chain = Chain() if chain is None else chain
    fault = _first_bad_entry(bodies, chain)
    if fault is None:
        fault = next(_faults(chain, head, trust), None)
    rosters = chain.story.rosters
    return Verification(
        fault=fault,
        entries=chain.size,
        root=chain.root,
        origin=chain.origin,
        federation=rosters[-1].federation if rosters else "",
        version=rosters[-1].version if rosters else 0,
        members=tuple(member.id for member in rosters[-1].members) if rosters else (),
        cosigned=dict(sorted(chain.story.cosigned.items())),
        compared=trust.names_a_manifest and (fault is None or not fault.code.startswith("untrusted-")),
        simulation=bool(rosters) and rosters[0].simulation,
        unsigned_sums=chain.story.unsigned_sums,
    )


def _first_bad_entry(bodies: Iterable[tuple[int, bytes]], chain: Chain) -> Fault | None:
    try:
        for position, body in bodies:
            chain.require_next(position)
            chain.add(body)
    except BadEntryError as error:
        since = chain.size if error.fault in _EXACT else chain.anchored
        return Fault(position=chain.size, since=since, code=error.fault, cause=error.cause)
    return None


def _faults(chain: Chain, head: Checkpoint | None, trust: Trust) -> Iterator[Fault]:
    """What is wrong although every entry is right by itself."""
    if chain.size == 0:
        yield Fault(position=0, since=0, code="no-manifest", cause="There is no entry.")
        return
    yield from _faults_of_head(chain, head)
    yield from _faults_of_trust(chain, trust)
    for kept in trust.checkpoints:
        yield from _faults_of_kept(chain, kept)


def _faults_of_head(chain: Chain, head: Checkpoint | None) -> Iterator[Fault]:
    if head is None:
        yield Fault(position=None, since=None, code="no-checkpoint", cause="The ledger's checkpoint is missing.")
        return
    if head.origin != chain.origin or not head.is_signed_by(chain.story.roster.server):
        cause = "The ledger's checkpoint is not signed by the server."
        yield Fault(position=None, since=None, code="bad-checkpoint", cause=cause)
        return
    if head.size > chain.size:
        cause = f"The last {head.size - chain.size} of {head.size} entries were cut off."
        yield Fault(position=chain.size, since=chain.size, code="cut-off", cause=cause)
    elif head.size < chain.size:
        cause = f"The server signed {head.size} entries; there are {chain.size}."
        yield Fault(position=head.size, since=head.size, code="added-entry", cause=cause)
    elif head.root != chain.root:
        cause = "The last entries are not those that the server signed."
        yield Fault(position=chain.size - 1, since=chain.anchored, code="changed-end", cause=cause)


def _faults_of_trust(chain: Chain, trust: Trust) -> Iterator[Fault]:
    if trust.manifest is not None and trust.manifest != chain.origin:
        cause = "The first manifest is not the trusted one: this is the ledger of somebody else."
        yield Fault(position=0, since=0, code="untrusted-manifest", cause=cause)
    if trust.keys is None:
        return
    for roster in chain.story.rosters[:1]:
        known: dict[str, bytes] = {member.id: member.public for member in roster.members} | {SERVER: roster.server}
        wrong = sorted(name for name, key in known.items() if trust.keys.get(name) != key)
        if wrong:
            cause = (
                f"The first manifest has other keys than the trusted ones, or none is known, for: {', '.join(wrong)}."
            )
            yield Fault(position=0, since=0, code="untrusted-keys", cause=cause)


def _faults_of_kept(chain: Chain, kept: Checkpoint) -> Iterator[Fault]:
    servers = {roster.server for roster in chain.story.rosters}
    if kept.origin != chain.origin:
        cause = "A kept checkpoint belongs to the ledger of another federation."
        yield Fault(position=None, since=None, code="foreign-checkpoint", cause=cause)
    elif not any(kept.is_signed_by(server) for server in servers):
        cause = "A kept checkpoint is not signed by this ledger's server."
        yield Fault(position=None, since=None, code="unsigned-checkpoint", cause=cause)
    elif kept.size > chain.size:
        cause = f"A kept checkpoint covers {kept.size} entries, this ledger has {chain.size}: it is an old copy."
        yield Fault(position=chain.size, since=chain.size, code="rolled-back", cause=cause)
    elif chain.root_at(kept.size) != kept.root:
        cause = f"The first {kept.size} entries are not those of a checkpoint the server signed: a split view."
        yield Fault(position=None, since=None, code="split-view", cause=cause)
