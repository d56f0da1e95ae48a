"""Three ways to the same mean update: with every message of secure aggregation, without masks, and in plain floats.

`full` and `sum` add the same integers in the ring modulo 2**32, so they give the same model bit for bit. `plain` adds
floats: for what secure aggregation does not allow (two organisations, weights above its cap) and for comparisons.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedgap import rounds
from fedgap.config import FederationConfig, SecAgg
from fedgap.errors import FedgapError
from fedgap.ids import OrgId
from fedgap.learning import server
from fedgap.learning.engine import Update
from fedgap.learning.server import ServerState
from fedgap.learning.weights import counts, weights
from fedgap.secagg.encoding import Contribution, Encoding, Mean, Metric, next_clip
from fedgap.secagg.local import LocalFederation, local_federation
from fedgap.secagg.messages import Outcome
from fedgap.secagg.plain import mean_of, plain_mean
from fedgap.secagg.quorum import MIN_MEMBERS, Quorum
from fedgap.secagg.transcript import Plan, state_digest

FLOAT_BYTES = 4
MOST_MASKED = 128
"""Up to so many organisations the whole protocol is the default."""

LOSS = Metric(name="loss", bound=100.0)
"""The training loss travels inside the vector, like everything an organisation tells; beyond the bound it is cut."""


class ProtocolError(FedgapError):
    """The protocol asked for is unknown, or impossible with this configuration."""

    code = "protocol.impossible"
    remedy = "Use --protocol full or --protocol sum, or leave it out."
    exit_status = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aggregated:
    """What a round's sum says.

    Attributes:
        mean: weighted mean update X, float64, shape (d,).
        loss: weighted mean training loss.
        bytes_up: from the organisations to the server; counted, since nothing leaves this process.
        bytes_down: from the server to them.
    """

    mean: NDArray[np.float64]
    loss: float
    bytes_up: int
    bytes_down: int


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
        """Average the updates."""
        del number
        traffic = FLOAT_BYTES * state.model.size * len(updates)
        return Aggregated(
            mean=server.mean_update(updates, self.weights),
            loss=sum(float(self.weights[update.org]) * update.loss for update in updates),
            bytes_up=traffic,
            bytes_down=traffic,
        )


class RingSum:
    """The integers that secure aggregation would add, added without masks."""

    def __init__(self, federation: LocalFederation) -> None:
        self.manifest = federation.manifest
        self.clip = self.manifest.encoding.clip_start

    def add(self, number: int, state: ServerState, updates: Sequence[Update]) -> Aggregated:
        """Encode, add, decode."""
        del state
        mean = plain_mean(self.manifest, _contributions(updates), clip=self.clip, round_=number)
        traffic = FLOAT_BYTES * self.manifest.encoding.words * len(updates)
        return self._close(mean, up=traffic, down=traffic)

    def _close(self, mean: Mean, *, up: int, down: int) -> Aggregated:
        self.clip = next_clip(self.manifest.encoding, self.clip, clipped=mean.clipped, survivors=mean.survivors)
        return Aggregated(mean=mean.update, loss=mean.metrics[LOSS.name], bytes_up=up, bytes_down=down)


class MaskedSum(RingSum):
    """Five exchanges a round between a server and its members, every message built, signed, masked and decoded."""

    def __init__(self, federation: LocalFederation, seed: int) -> None:
        super().__init__(federation)
        self.server = federation.server
        self.journal = rounds.MemoryJournal()
        self.previous: Outcome | None = None
        self._contributions: Mapping[OrgId, Contribution] = {}
        trainers = {member.id: partial(self._contribution, member.id) for member in self.manifest.members}
        self.cohort = _Counted(federation.cohort(trainers, seed=seed))

    def add(self, number: int, state: ServerState, updates: Sequence[Update]) -> Aggregated:
        """Run one round of the protocol."""
        self._contributions = _contributions(updates)
        self.cohort.up = self.cohort.down = 0
        optimiser = np.concatenate([state.first, state.second])
        plan = Plan(
            manifest=self.manifest.digest,
            round=number,
            attempt=1,
            state=state_digest(state.model, optimiser, clip=self.clip, applied=number - 1),
            clip=self.clip,
            training=self.manifest.training,
        )
        opened = rounds.run_round(self.server, self.cohort, self.journal, plan, previous=self.previous, attempts=1)
        self.previous = opened.outcome
        seats = [survivor.seat for survivor in opened.outcome.survivors]
        mean = mean_of(self.manifest, opened.total, seats=seats, clip=self.clip)
        return self._close(mean, up=self.cohort.up, down=self.cohort.down)

    def _contribution(self, org: OrgId, plan: Plan) -> Contribution:
        """What an organisation gives to the running round; the engine has done its local training already."""
        del plan
        return self._contributions[org]


@dataclass(slots=True)
class _Counted:
    """A cohort that counts the bytes that would travel."""

    cohort: rounds.Cohort
    up: int = 0
    down: int = 0

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        self.down += sum(map(len, requests.values()))
        for seat, reply in self.cohort.exchange(requests):
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
    """Make what a federation's rounds are added with.

    Args:
        protocol: full, sum or plain.
        config: seed, weights and the numbers of [secagg].
        rows: attested or counted rows of each organisation.
        parameters: d.
    """
    if protocol == "plain":
        return PlainMean(weights(config.server.weights, rows))
    secagg = config.secagg or SecAgg()
    encoding = Encoding(
        parameters=parameters,
        clip_low=secagg.clip_low,
        clip_start=secagg.clip_start,
        clip_high=secagg.clip_high,
        metrics=(LOSS,),
        seed=config.federation.seed,
    )
    federation = local_federation(
        config.federation.id,
        counts(config.server.weights, rows),
        encoding,
        seed=config.federation.seed,
        quorum=Quorum.of(len(rows), f=secagg.f, tau=secagg.quorum),
    )
    return RingSum(federation) if protocol == "sum" else MaskedSum(federation, config.federation.seed)
