"""A whole federation in one process: for `fedgap simulate`, tests and benchmarks. Every message is really made.

Keys come from a seed here, so the manifest is marked `simulation` and no deployed client accepts it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from fedgap.crypto import Identity, digest, seeded
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.errors import RefusalError
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.manifest import Manifest, Member, capped
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Outcome, Sealed
from fedgap.secagg.participant import Participant
from fedgap.secagg.quorum import Quorum
from fedgap.secagg.server import Server
from fedgap.secagg.settler import Settler
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import kind_of, unpack


@dataclass(slots=True)
class MemoryVault:
    """A vault that forgets when the process ends."""

    record: bytes | None = None
    kept: dict[str, bytes] = field(default_factory=dict, repr=False)

    def load(self) -> bytes | None:
        """Give the last committed record."""
        return self.record

    def commit(self, record: bytes) -> None:
        """Replace the record."""
        self.record = record

    def put(self, name: str, content: bytes) -> None:
        """Keep something under a name."""
        self.kept[name] = content

    def get(self, name: str) -> bytes:
        """Give back what was kept under a name."""
        return self.kept[name]

    def erase(self, names: Iterable[str]) -> None:
        """Remove what was kept under these names, if it is there."""
        for name in names:
            self.kept.pop(name, None)


@dataclass(frozen=True, slots=True)
class Trainer:
    """An application that takes the server's plan as it is: in one process both compute it from the same numbers."""

    contribute: Callable[[Plan], Contribution]

    def plan(self, invited: Plan, previous: Outcome | None) -> Plan:
        """Agree with the plan."""
        del previous
        return invited

    def train(self, plan: Plan) -> Contribution:
        """Call the function."""
        return self.contribute(plan)


@dataclass(frozen=True, slots=True)
class LocalCohort:
    """The members of one process, asked one after another; a member that refuses is a member that does not answer."""

    members: Mapping[int, Participant]

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask everybody and give the answers as they come."""
        for seat, request in requests.items():
            reply = None
            with suppress(RefusalError):
                reply = self.members[seat].handle(request)
            if reply is not None:
                yield seat, reply


class Cohort(Protocol):
    """Anything that can be asked (see `fedgap.rounds.Cohort`)."""

    def exchange(self, requests: Mapping[int, bytes]) -> Iterable[tuple[int, bytes]]:
        """Send each seat its request; give what comes back."""
        ...


Change: TypeAlias = Callable[[str, int, bytes], bytes | None]
"""Given the exchange (the kind of the server's message), the seat and the bytes: what arrives instead, or None."""


@dataclass(frozen=True, slots=True)
class Network:
    """A cohort behind a network that loses, repeats or changes messages: for rehearsing faults and attacks."""

    cohort: Cohort
    on_request: Change = lambda exchange, seat, request: request  # noqa: ARG005 - the default changes nothing
    on_reply: Change = lambda exchange, seat, reply: reply  # noqa: ARG005 - the default changes nothing

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask everybody whom the request reaches; give the answers that arrive."""
        for seat, request in requests.items():
            kind = kind_of(unpack(Sealed, request).body).split("/")[2]
            arrived = self.on_request(kind, seat, request)
            if arrived is None:
                continue
            for _, reply in self.cohort.exchange({seat: arrived}):
                returned = self.on_reply(kind, seat, reply)
                if returned is not None:
                    yield seat, returned


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFederation:
    """A manifest with all its keys.

    Attributes:
        manifest: marked `simulation`.
        server: the server's side.
        identities: every member's signing key, by seat.
    """

    manifest: Manifest
    server: Server
    identities: tuple[Identity, ...] = field(repr=False)

    def cohort(
        self,
        contribute: Mapping[OrgId, Callable[[Plan], Contribution]],
        *,
        seed: int,
        settler: Settler | None = None,
        settlers: Sequence[Settler] = (),
    ) -> LocalCohort:
        """Bring the members to life, each with its local training and its own randomness.

        Args:
            contribute: the local training of each.
            seed: their randomness follows from it.
            settler: how all of them settle; None opens nothing.
            settlers: how each settles, by seat, where they differ.
        """
        members = {}
        for seat, identity in enumerate(self.identities):
            org = self.manifest.members[seat].id
            rand = seeded("member", seed, self.manifest.federation, org)
            me = Me(self.manifest, seat, identity)
            members[seat] = Participant(
                me,
                MemoryVault(),
                Trainer(contribute[org]),
                rand=rand,
                simulation=True,
                settler=settlers[seat] if settlers else settler,
            )
        return LocalCohort(members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a simulated federation opens.

    Attributes:
        evaluation: where its directions come from.
        periods: P.
        openings: numbers for each organisation and period.
        confirm_exchanges: V.
    """

    evaluation: Evaluation
    periods: int = 1
    openings: int = 1
    confirm_exchanges: int = 5


def local_federation(  # noqa: PLR0913 - a manifest has many numbers
    federation: FederationId,
    weights: Mapping[OrgId, int],
    encoding: Encoding,
    *,
    seed: int,
    quorum: Quorum | None = None,
    start: bytes | None = None,
    threads: int = 1,
    settled: Settled | None = None,
    policy: bytes | None = None,
) -> LocalFederation:
    """Make the manifest and the keys of a simulated federation.

    Args:
        federation: its id.
        weights: each organisation's weight; cut at three times their median.
        encoding: how updates become whole numbers.
        seed: all keys follow from it.
        quorum: None takes the protocol's default.
        start: digest of the first state.
        threads: for the server's unmasking.
        settled: what is opened; None if nothing is.
        policy: digest of the money rule; None if there is none.
    """
    orgs = sorted(weights)
    quorum = Quorum.of(len(orgs)) if quorum is None else quorum
    keys = [Identity(seeded("identity", seed, federation, org)(32)) for org in orgs]
    server = Identity(server_seed(federation, seed))
    limits = capped([weights[org] for org in orgs])
    manifest = Manifest(
        federation=federation,
        version=1,
        members=tuple(
            Member(id=org, name=org, public=key.public, weight=weight)
            for org, key, weight in zip(orgs, keys, limits, strict=True)
        ),
        server=server.public,
        f=quorum.f,
        tau=quorum.tau,
        encoding=encoding,
        model=digest("simulated", "model"),
        start=digest("simulated", "start") if start is None else start,
        training=digest("simulated", "training"),
        evaluation=digest("simulated", "evaluation") if settled is None else settled.evaluation.digest,
        policy=digest("simulated", "policy") if policy is None else policy,
        periods=1 if settled is None else settled.periods,
        confirm_exchanges=5 if settled is None else settled.confirm_exchanges,
        openings=1 if settled is None else settled.openings,
        amended_by="quorum",
        simulation=True,
    )
    return LocalFederation(manifest=manifest, server=Server(manifest, server, threads), identities=tuple(keys))


def server_seed(federation: FederationId, seed: int) -> bytes:
    """The simulated server's signing key, 32 bytes; whoever knows the seed knows it."""
    return seeded("server-identity", seed, federation)(32)
