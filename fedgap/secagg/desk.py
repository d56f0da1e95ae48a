"""What the server keeps for settlement beside the rounds: dossiers, directions, and who certified them.

Everything is in an archive, durable, under a name; nothing is held in memory between two calls but which directions the
last invitation offered, and of which rounds nothing is left to offer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

from fedgap.crypto import Rand
from fedgap.secagg.certificates import Certified, Offer
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.dossier import Dossier
from fedgap.secagg.errors import BadMessageError
from fedgap.secagg.evaluation import Evaluation, periods_of
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome, Voice
from fedgap.secagg.periods import most_periods
from fedgap.secagg.proposals import Offered, Proposal, propose, with_reply
from fedgap.secagg.server import Server
from fedgap.secagg.tenures import Tenure, tenure_of, tenures
from fedgap.secagg.wire import kind_of, pack, unpack


class Archive(Protocol):
    """What must survive until a period is settled. Every call is durable when it returns."""

    def put(self, name: str, content: bytes) -> None:
        """Keep something under a name."""
        ...

    def get(self, name: str) -> bytes:
        """Give back what was kept under a name."""
        ...

    def has(self, name: str) -> bool:
        """Tell whether something is kept under a name."""
        ...

    def erase(self, names: Iterable[str]) -> None:
        """Remove what is kept under these names, if it is there."""
        ...

    def uploaded(self, number: tuple[int, int], seat: int) -> bytes:
        """Give back a spooled upload of a round and attempt."""
        ...

    def drop(self, number: tuple[int, int], seats: Iterable[int]) -> None:
        """Remove the spooled uploads of a settled round."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Who signed something so far."""

    KIND: ClassVar[str] = "server-state/votes/1"

    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Directed:
    """The directions of a round, as they were committed to: one for each opening."""

    KIND: ClassVar[str] = "server-state/directed/1"

    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certifying:
    """Who certified the directions of a round so far, slot by slot."""

    KIND: ClassVar[str] = "server-state/certifying/1"

    slots: tuple[Votes, ...]


class Desk:
    """The server's part in settlement (see `fedgap.rounds.Desk`).

    Args:
        server: who we are.
        evaluation: the specification that the manifest names.
        archive: durable memory; the journal of the rounds, which spools the uploads.
        rand: for the salts that hide directions; the operating system's in a deployment.
        origin: digest of the federation's first manifest; the ledger's records are bound to it.
        checkpoint: gives the ledger's checkpoint to be co-signed.
        earlier: manifests that were in force before, oldest first.
    """

    def __init__(
        self,
        server: Server,
        evaluation: Evaluation,
        archive: Archive,
        *,
        rand: Rand,
        origin: bytes,
        checkpoint: Callable[[], bytes] = bytes,
        earlier: Iterable[Manifest] = (),
    ) -> None:
        self.server, self.evaluation, self.archive, self.origin = server, evaluation, archive, origin
        self.manifest, self.periods = server.manifest, periods_of(server.manifest, evaluation)
        self.cosignatures: dict[int, bytes] = {}
        self.checkpoint = checkpoint
        self.tenures = tenures((*earlier, server.manifest))
        self.tenure = self.tenures[-1]
        self._rand, self._offered, self._certified = rand, list[Offered](), set[int]()

    def under(self, tenure: Tenure) -> Self:
        """The same desk for what was done under one of its tenures."""
        other = copy(self)
        other.tenure, other.manifest = tenure, tenure.manifest
        other.server = replace(self.server, manifest=tenure.manifest)
        return other

    # --- beside the rounds ---

    def file(self, dossier: Dossier) -> None:
        """Keep what settlement needs of an opened round."""
        plan = dossier.listing.plan
        self.archive.put(blob("version", plan.round), plan.manifest)
        self.archive.put(blob("dossier", plan.round), pack(dossier))

    def propose(self, round_: int, unrounded: Sequence[Unrounded]) -> list[Proposal]:
        """Commit to the directions of an opened round; only the first call for a round counts.

        Args:
            round_: its number.
            unrounded: one for each opening: utility for each unit of the mean update, float64, shape (parameters,).

        Returns:
            one for each opening; none if the direction is zero or not finite. The round is then credited by weight.
        """
        found = self.proposals(round_)
        if found:
            return found
        listing = self.dossier(round_).listing
        before = (self.proposals(earlier) for earlier in self.periods.rounds_of(self.periods.of(round_)))
        made = propose(
            self.tenure_of_round(round_).versions[self._version(round_)],
            self.server.identity,
            listing,
            unrounded,
            length=self.periods.length,
            scale=next((proposals[0].scale for proposals in before if proposals), None),
            salts=[self._rand(32) for _ in unrounded],
        )
        if any(proposal.reason for proposal in made):
            self.archive.put(blob("unusable", round_), b"")
        if made:
            self.archive.put(blob("directed", round_), pack(Directed(proposals=tuple(made))))
        return made

    def offers(self, previous: Outcome | None) -> tuple[bytes, ...]:
        """Every direction that is not certified yet, in order."""
        self._offered, offers = [], []
        for round_ in range(1, self.evaluation.rounds + 1):
            if self.archive.has(blob("unusable", round_)) or self._is_certified(round_):
                continue
            found = self.proposals(round_)
            if not found:
                continue
            tenure, version = self.tenure_of_round(round_), self._version(round_)
            if self.archive.has(self.under(tenure).blob("agenda", self.periods.of(round_))):
                continue
            listing = self.dossier(round_).listing
            known = previous is not None and previous.plan.round == round_
            for proposal in found:
                if len(proposal.voices) < tenure.manifest.tau:
                    self._offered.append(Offered(proposal=proposal, tenure=tenure, version=version))
                    offers.append(pack(proposal.offer(None if known else listing)))
        return tuple(offers)

    def expect(self, offers: Sequence[bytes], previous: Outcome) -> None:
        """Count the next signatures for these offers: those of a request that was written earlier."""
        self._offered = []
        for offer in (unpack(Offer, data) for data in offers):
            round_ = (previous if offer.listing is None else offer.listing).plan.round
            proposal, tenure = self.proposals(round_)[offer.slot - 1], self.tenure_of_round(round_)
            self._offered.append(Offered(proposal=proposal, tenure=tenure, version=self._version(round_)))

    def joined(self, replies: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Keep what members signed beside their one-time keys, and pass the keys on."""
        counted = {offered.place: offered for offered in self._offered}
        members = self.tenures[-1].manifest.members
        for seat, reply in replies:
            said = _certified(seat, reply)
            if said is None:
                yield seat, reply
                continue
            offered = [counted[one.place] for one in self._offered]
            counted.update((new.place, new) for new in with_reply(offered, said, members[seat].id))
            if said.cosignature:
                self.cosignatures[seat] = said.cosignature
            if said.advert:
                yield seat, said.advert
        for round_ in sorted({round_ for round_, _ in counted}):
            self._certify(round_, {slot: one.proposal.voices for (r, slot), one in counted.items() if r == round_})

    # --- what is kept ---

    def dossier(self, round_: int) -> Dossier:
        """What is kept of an opened round."""
        return unpack(Dossier, self.archive.get(blob("dossier", round_)))

    def proposals(self, round_: int) -> list[Proposal]:
        """The directions of a round with everybody who certified them; none if there is none."""
        if not self.is_directed(round_):
            return []
        found = unpack(Directed, self.archive.get(blob("directed", round_))).proposals
        votes = self._votes(round_)
        return [replace(proposal, voices=votes[proposal.slot - 1]) for proposal in found]

    def is_directed(self, round_: int) -> bool:
        """Tell whether a round's directions are committed to, without reading them."""
        return self.archive.has(blob("directed", round_))

    def tenure_of_round(self, round_: int) -> Tenure:
        """The tenure that a round with a sum ran under, without reading the sum."""
        tenure = tenure_of(self.tenures, self._version(round_))
        assert tenure is not None  # noqa: S101 - no round ran under any other; tells mypy
        return tenure

    def _version(self, round_: int) -> bytes:
        """The version that a round with a sum ran under, by its digest."""
        return self.archive.get(blob("version", round_))

    def opened_rounds(self, period: int) -> list[int]:
        """The rounds of a period whose sum is known."""
        return [r for r in self.periods.rounds_of(period) if self.archive.has(blob("dossier", r))]

    def parts(self, period: int) -> list[Self]:
        """The same desk for each tenure that rounds of a period ran under, oldest first."""
        if len(self.tenures) == 1:
            return [self]
        names = {self.tenure_of_round(r).name for r in self.opened_rounds(period)}
        return [self.under(tenure) for tenure in self.tenures if tenure.name in names]

    def has_room(self, period: int) -> bool:
        """Tell whether this tenure's part of a period may be opened, and is not one more than the bound on periods.

        The last part of a period has the opening that is planned for it; each one before it takes one that is left.
        """
        manifest, cuts = self.manifest, 0
        for number in range(1, period + 1):
            parts = self.parts(number)
            if number == period and parts[-1].tenure is self.tenure:
                return True
            before = [part.tenure for part in parts[:-1]]
            cuts += before.index(self.tenure) + 1 if number == period else len(before)
        most = most_periods(
            rounds=self.evaluation.rounds, parameters=manifest.encoding.parameters, openings=manifest.openings
        )
        return self.periods.count + cuts <= most

    def blob(self, what: str, *numbers: int) -> str:
        """How something of this tenure's part of a period is called in the archive; the first tenure is not named."""
        first = self.tenure is self.tenures[0]
        return blob(what, *numbers) if first else f"{blob(what, *numbers)}-since-{self.tenure.first}"

    def _is_certified(self, round_: int) -> bool:
        """Tell whether nothing of a round is left to certify, without reading its directions."""
        votes = [] if round_ in self._certified else self._votes(round_)
        if votes and all(votes):
            tenure = self.tenure_of_round(round_)
            if all(len(one) >= tenure.manifest.tau for one in votes):
                self._certified.add(round_)
        return round_ in self._certified

    def _votes(self, round_: int) -> list[tuple[Voice, ...]]:
        """Who certified each direction of a round."""
        name = blob("votes", round_)
        if not self.archive.has(name):
            return [()] * self.manifest.openings
        return [votes.voices for votes in unpack(Certifying, self.archive.get(name)).slots]

    def _certify(self, round_: int, voices: Mapping[int, tuple[Voice, ...]]) -> None:
        """Keep who certified a round's directions by now, if somebody new did."""
        before = self._votes(round_)
        after = [voices.get(slot, kept) for slot, kept in enumerate(before, 1)]
        if after != before:
            votes = tuple(Votes(voices=one) for one in after)
            self.archive.put(blob("votes", round_), pack(Certifying(slots=votes)))


def blob(what: str, *numbers: int) -> str:
    """How something is called in the archive."""
    return "-".join(("settlement", what, *map(str, numbers)))


def _certified(seat: int, reply: bytes) -> Certified | None:
    """Read what a member signed; None if the reply is something else."""
    try:
        if kind_of(reply) != f"fedgap/1/{Certified.KIND}":
            return None
        said = unpack(Certified, reply)
    except BadMessageError:
        return None
    return said if said.seat == seat else None
