"""Three ways to the same mean update: with every message of secure aggregation, without masks, and in plain floats.

`full` and `sum` add the same integers in the ring modulo 2**32, so they give the same model bit for bit. `plain` adds
floats: for what secure aggregation does not allow (two organisations, weights above its cap) and for comparisons.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fedgap import rounds
from fedgap.config import FederationConfig, SecAgg
from fedgap.errors import FedgapError
from fedgap.ids import OrgId
from fedgap.learning import server
from fedgap.learning.engine import Update
from fedgap.learning.parameters import Vector
from fedgap.learning.server import ServerState
from fedgap.learning.weights import counts, weights
from fedgap.secagg import block
from fedgap.secagg.encoding import Contribution, Encoding, Mean, Metric, next_clip
from fedgap.secagg.errors import QuorumLostError
from fedgap.secagg.local import LocalFederation, Settled, local_federation
from fedgap.secagg.masking import Ring
from fedgap.secagg.messages import Outcome
from fedgap.secagg.plain import mean_of, plain_parts, plain_sum
from fedgap.secagg.quorum import MIN_MEMBERS, Quorum
from fedgap.secagg.settler import Settler
from fedgap.secagg.transcript import Plan, state_digest

FLOAT_BYTES = 4
MOST_MASKED = 128
"""Up to so many organisations the whole protocol is the default."""

MOST_IN_A_BLOCK = 2**20
"""Numbers encoded at once; beyond it one organisation's at a time, which needs no more memory for more of them."""

LOSS = Metric(name="loss", bound=100.0)
"""The training loss travels inside the vector, like everything an organisation tells; beyond the bound it is cut."""


class ProtocolError(FedgapError):
    """The protocol asked for is unknown, or impossible with this configuration."""

    code = "protocol.impossible"
    remedy = "Use --protocol full or --protocol sum, or leave it out."
    exit_status = 2


Parts: TypeAlias = Callable[[], Iterator[tuple[OrgId, NDArray[np.float64]]]]
"""Gives each organisation's part of the mean update, as it was summed; only a simulation can."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aggregated:
    """What a round's sum says.

    Attributes:
        mean: weighted mean update X, float64, shape (d,).
        loss: weighted mean training loss.
        bytes_up: from the organisations to the server; counted, since nothing leaves this process.
        bytes_down: from the server to them.
        parts: what `mean` is the sum of.
    """

    mean: NDArray[np.float64]
    loss: float
    bytes_up: int
    bytes_down: int
    parts: Parts


class Aggregation(Protocol):
    """Turns a round's updates into their weighted mean; made anew for every federation that is run."""

    def add(self, number: int, state: ServerState, updates: Sequence[Update]) -> Aggregated:
        """Aggregate round `number`, which started from `state`."""
        ...


@dataclass(frozen=True, slots=True)
class PlainMean:
    """Float64, in name order."""

    weights: Mapping[OrgId, Fraction]

    def add(self, number: int, state: ServerState, updates: Sequence[Update]) -> Aggregated:
        """Average the updates of those who took part.

        Raises:
            QuorumLostError: nobody did.
        """
        if not updates:
            raise QuorumLostError(f"round {number}", present=0, needed=1)
        there = float(sum(self.weights[update.org] for update in updates))
        traffic = FLOAT_BYTES * state.model.size * len(updates)
        return Aggregated(
            mean=server.mean_update(updates, self.weights),
            loss=sum(float(self.weights[update.org]) * update.loss for update in updates) / there,
            bytes_up=traffic,
            bytes_down=traffic,
            parts=partial(self._parts, updates),
        )

    def _parts(self, updates: Sequence[Update]) -> Iterator[tuple[OrgId, NDArray[np.float64]]]:
        present = sum((self.weights[update.org] for update in updates), Fraction(0))
        for update in updates:
            yield update.org, float(self.weights[update.org] / present) * update.delta


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Released:
    """A round whose sum is known: what settlement and the ledger go on from.

    Attributes:
        plan: of the attempt.
        total: the sum, uint32, shape (D,).
        given: what each organisation gave; only a simulation knows it.
        outcome: with everybody's signatures; None where no message was sent.
    """

    plan: Plan
    total: Ring
    given: Mapping[OrgId, Contribution]
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Last:
    """The last round, as far as `Released` needs it: most federations are never asked for it."""

    number: int
    state: ServerState
    clip: float
    total: Ring
    given: Mapping[OrgId, Contribution]
    outcome: Outcome | None


class RingSum:
    """The integers that secure aggregation would add, added without masks."""

    def __init__(self, federation: LocalFederation) -> None:
        self.manifest = federation.manifest
        self._seats = {member.id: seat for seat, member in enumerate(self.manifest.members)}
        self.clip = self.manifest.encoding.clip_start
        self._last: _Last | None = None

    def add(self, number: int, state: ServerState, updates: Sequence[Update]) -> Aggregated:
        """Encode, add, decode.

        Raises:
            QuorumLostError: so few took part that the whole protocol would open nothing.
        """
        needed = self.manifest.quorum.u_min
        if len(updates) < needed:
            raise QuorumLostError(f"round {number}", present=len(updates), needed=needed)
        given = _contributions(updates)
        total, seats = self._total(number, updates, given)
        mean = mean_of(self.manifest, total, seats=seats, clip=self.clip)
        traffic = FLOAT_BYTES * self.manifest.encoding.words * len(updates)
        self._last = _Last(number=number, state=state, clip=self.clip, total=total, given=given, outcome=None)
        return self._close(number, mean, given, up=traffic, down=traffic)

    def _total(
        self, number: int, updates: Sequence[Update], given: Mapping[OrgId, Contribution]
    ) -> tuple[Ring, tuple[int, ...]]:
        """The sum and who is in it."""
        encoding = self.manifest.encoding
        if not block.fits(encoding) or len(updates) * encoding.words > MOST_IN_A_BLOCK:
            return plain_sum(self.manifest, given.items(), clip=self.clip, round_=number)
        orgs = [update.org for update in updates]  # the same integers with fewer calls, most of a small model's cost
        deltas = np.stack([update.delta for update in updates]).astype(np.float32)
        losses = {LOSS.name: np.array([[update.loss for update in updates]])}
        (total,) = block.plain_sums(self.manifest, orgs, deltas[None], losses, clips=[self.clip], round_=number)
        return total, tuple(self._seats[org] for org in orgs)

    @property
    def released(self) -> Released | None:
        """The last round."""
        last = self._last
        if last is None:
            return None
        plan = self.plan(last.number, last.state, clip=last.clip)
        return Released(plan=plan, total=last.total, given=last.given, outcome=last.outcome)

    def plan(self, number: int, state: ServerState, *, clip: float) -> Plan:
        """The plan of a round's only attempt."""
        return Plan(
            manifest=self.manifest.digest,
            round=number,
            attempt=1,
            state=self.state(state, applied=number - 1, clip=clip),
            clip=clip,
            training=self.manifest.training,
        )

    def state(self, state: ServerState, *, applied: int, clip: float | None = None) -> bytes:
        """Name the model after so many sums, with the clip norm of the round that starts from it."""
        norm = self.clip if clip is None else clip
        return state_digest(state.model, state.first, state.second, clip=norm, applied=applied)

    def _close(self, number: int, mean: Mean, given: Mapping[OrgId, Contribution], *, up: int, down: int) -> Aggregated:
        parts = partial(plain_parts, self.manifest, given, clip=self.clip, round_=number)
        self.clip = next_clip(self.manifest.encoding, self.clip, clipped=mean.clipped, survivors=mean.survivors)
        return Aggregated(mean=mean.update, loss=mean.metrics[LOSS.name], bytes_up=up, bytes_down=down, parts=parts)


class MaskedSum(RingSum):
    """Five exchanges a round between a server and its members, every message built, signed, masked and decoded.

    Attributes:
        journal: what happened, and with `settlers` the uploads.
        cohort: the members.
        desk: the server's part in settlement, if there is one; set before the first round.
    """

    def __init__(self, federation: LocalFederation, seed: int, settlers: Sequence[Settler] = ()) -> None:
        super().__init__(federation)
        self.server = federation.server
        self.journal = rounds.MemoryJournal(keep_uploads=bool(settlers))
        self.desk: rounds.Desk | None = None
        self.previous: Outcome | None = None
        self.knowing: tuple[int, ...] = ()
        self._contributions: Mapping[OrgId, Contribution] = {}
        trainers = {member.id: partial(self._contribution, member.id) for member in self.manifest.members}
        self.cohort = _Counted(federation.cohort(trainers, seed=seed, settlers=settlers))

    def add(self, number: int, state: ServerState, updates: Sequence[Update]) -> Aggregated:
        """Run one round of the protocol."""
        self._contributions = _contributions(updates)
        self.cohort.up = self.cohort.down = 0
        self.cohort.there = {self._seats[org] for org in self._contributions}
        plan, clip = self.plan(number, state, clip=self.clip), self.clip
        opened = rounds.run_round(
            self.server,
            self.cohort,
            self.journal,
            plan,
            previous=self.previous,
            knowing=self.knowing,
            attempts=1,
            desk=self.desk,
        )
        self.previous, self.knowing = opened.outcome, opened.answered
        given = self._contributions
        self._last = _Last(
            number=number, state=state, clip=clip, total=opened.total, given=given, outcome=opened.outcome
        )
        seats = [survivor.seat for survivor in opened.outcome.survivors]
        mean = mean_of(self.manifest, opened.total, seats=seats, clip=self.clip)
        return self._close(number, mean, given, up=self.cohort.up, down=self.cohort.down)

    def _contribution(self, org: OrgId, plan: Plan) -> Contribution:
        """What an organisation gives to the running round; the engine has done its local training already."""
        del plan
        return self._contributions[org]


@dataclass(slots=True)
class _Counted:
    """A cohort that counts the bytes that would travel, and in which some are away.

    Attributes:
        there: seats that answer.
    """

    cohort: rounds.Cohort
    up: int = 0
    down: int = 0
    there: set[int] = field(default_factory=set)

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        reached = {seat: request for seat, request in requests.items() if seat in self.there}
        self.down += sum(map(len, reached.values()))
        for seat, reply in self.cohort.exchange(reached):
            self.up += len(reply)
            yield seat, reply


def _contributions(updates: Iterable[Update]) -> dict[OrgId, Contribution]:
    none = np.zeros(0, np.float32)
    return {
        update.org: Contribution(
            update=update.delta.astype(np.float32), statistics=none, metrics={LOSS.name: update.loss}
        )
        for update in updates
    }


def choose_protocol(config: FederationConfig, wanted: str | None) -> tuple[str, str]:
    """Decide between full, sum and plain, and say why.

    Raises:
        ProtocolError: the one wanted is unknown or cannot be had with this configuration.
    """
    members = len(config.organisations)
    obstacle = None
    if members < MIN_MEMBERS:
        obstacle = "with two organisations each reads the other's update off the sum"
    elif config.server.weights == "rows":
        obstacle = 'server.weights = "rows" lets one organisation dominate the sum'
    if wanted is None:
        if obstacle is not None:
            return "plain", f"no secure aggregation: {obstacle}"
        if members > MOST_MASKED:
            return "sum", f"the default above {MOST_MASKED} organisations"
        return "full", f"the default up to {MOST_MASKED} organisations"
    if wanted not in {"full", "sum"}:
        raise ProtocolError(f"There is no protocol '{wanted}'.")
    if obstacle is not None:
        raise ProtocolError(
            f"The protocol '{wanted}' is not possible: {obstacle}.", remedy="Leave --protocol out, or change that."
        )
    return wanted, "asked for"


def aggregation(protocol: str, config: FederationConfig, rows: Mapping[OrgId, int], parameters: int) -> Aggregation:
    """Make what a federation's rounds are added with, where nothing is opened.

    Args:
        protocol: full, sum or plain.
        config: seed, weights and the numbers of [secagg].
        rows: attested or counted rows of each organisation.
        parameters: d.
    """
    if protocol == "plain":
        return PlainMean(weights(config.server.weights, rows))
    federation = simulated_federation(config, rows, parameters)
    return RingSum(federation) if protocol == "sum" else MaskedSum(federation, config.federation.seed)


def simulated_federation(
    config: FederationConfig,
    rows: Mapping[OrgId, int],
    parameters: int,
    *,
    settled: Settled | None = None,
    policy: bytes | None = None,
    start: Vector | None = None,
) -> LocalFederation:
    """Make the manifest and all keys of a simulated federation.

    Args:
        config: seed, weights and the numbers of [secagg].
        rows: attested or counted rows of each organisation.
        parameters: d.
        settled: what is opened; None if nothing is.
        policy: digest of the money rule; None if there is none.
        start: w_0, to be named in the manifest.
    """
    secagg = config.secagg or SecAgg()
    encoding = Encoding.of(secagg, parameters=parameters, metrics=(LOSS,), seed=config.federation.seed)
    nothing = np.zeros(2 * parameters, np.float64)
    return local_federation(
        config.federation.id,
        counts(config.server.weights, rows),
        encoding,
        seed=config.federation.seed,
        quorum=Quorum.of(len(rows), f=secagg.f, tau=secagg.quorum),
        start=None if start is None else state_digest(start, nothing, clip=secagg.clip_start, applied=0),
        settled=settled,
        policy=policy,
    )
