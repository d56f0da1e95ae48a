"""The books of the reported federation: its rounds go in, its ledger and what each organisation contributed come out.

    begin     found the federation       -> ManifestSigned, PolicySigned
    add       a round that ended         -> its records; its directions are committed to; periods that are due
    settle    after the last round       -> the closing exchange, the periods left: values, claims, money

Values are opened by the deployed protocol (`--protocol full`) or are the same exact fractions without messages (`sum`).
Where nothing can be opened, single updates are looked at, which only a simulation can do; the ledger says by-weight.
"""

from fractions import Fraction

import numpy as np

from fedgap.config import FederationConfig
from fedgap.contribution.steps import elementwise_step
from fedgap.funding.bound import Devices
from fedgap.learning.rows import Rows
from fedgap.ledger import Signed
from fedgap.records import UtilityObserved
from fedgap.secagg.desk import Desk
from fedgap.secagg.local import server_seed
from fedgap.secagg.periods import Periods
from fedgap.settling import NothingToSettleError
from fedgap.simulation.aggregate import Aggregation, MaskedSum, RingSum, aggregation
from fedgap.simulation.assessing import Moved
from fedgap.simulation.contenders import Split
from fedgap.simulation.contribution import Accounting, Contributions, accounting_for, opened_contributions, server_step
from fedgap.simulation.federate import RoundDone
from fedgap.simulation.founded import found, utility_on
from fedgap.simulation.ledger_of import Book, Fact, Facts
from fedgap.simulation.metering import Meter
from fedgap.simulation.money import money_of
from fedgap.simulation.openings import Openings
from fedgap.simulation.period_facts import by_weight, settled_facts, weight_shares, window_closed
from fedgap.simulation.round_facts import founding, round_facts
from fedgap.simulation.terms import Terms, terms_of

UTILITY_UNITS = 10**9
NO_MANIFEST = "without secure aggregation there is no manifest for the organisations to sign"


class PlainBooks:
    """Without secure aggregation there is no manifest to sign, so there is no ledger; values are in plain text."""

    def __init__(self, config: FederationConfig, split: Split, watched: Rows) -> None:
        self._config, self._split = config, split
        self._accounting = accounting_for(config, split, utility_on(config, split, watched))
        unpaid = f"The policy is not applied: {NO_MANIFEST}."
        self.notes = () if config.federation.policy is None else (unpaid,)
        self.facts: Facts | None = None

    def begin(self, rounds: int) -> Aggregation:
        """Give what adds up the updates."""
        del rounds
        return aggregation("plain", self._config, self._split.attested, self._split.start.size)

    def add(self, done: RoundDone) -> None:
        """Take in a round."""
        self._accounting.add(done)

    def settle(self) -> Contributions:
        """Sum up."""
        return self._accounting.settle()


class Books:
    """What is written down of the one federation that a report is about, with its ledger.

    Args:
        config: of the study.
        split: the split that is reported.
        watched: rows on which the reported utility is observed.
        protocol: full or sum.
    """

    def __init__(self, config: FederationConfig, split: Split, watched: Rows, protocol: str) -> None:
        self._config, self._split, self._watched, self._protocol = config, split, watched, protocol
        self._step, self._model = server_step(split.plan.rule), split.start
        self._observed: list[int] = []
        self._noted, self._shown, self._settled = 0, b"", 0
        self._bare: Accounting | None = None

    @property
    def facts(self) -> Facts:
        """The ledger."""
        return self._book.facts()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know."""
        nothing = self._terms.nothing
        more = self._terms.size_note
        return (*self._founded.notes, *more) if not nothing else (f"Nothing is opened in the ledger: {nothing}.",)

    # --- before the first round ---

    def begin(self, rounds: int) -> Aggregation:
        """Found the federation, once its number of rounds is known; give what adds up its updates.

        Raises:
            TooManyPeriodsError, NotAttributableError, BadManifestError: it cannot be settled as it is wanted.
        """
        config, split = self._config, self._split
        utility = utility_on(config, split, self._watched)
        terms = terms_of(config, self._step, rounds=rounds, parameters=split.start.size)
        if isinstance(utility, str) and terms.periods:
            terms = Terms(periods=0, openings=1, nothing=utility)
        self._terms = terms
        money = self._money = money_of(config)
        self._founded = found(
            config,
            split,
            self._watched,
            terms,
            protocol=self._protocol,
            rounds=rounds,
            policy=None if money is None else money.policy.digest,
            show=self._show,
        )
        self._book = Book(founding(self._founded.federation), server_seed(config.federation.id, config.federation.seed))
        if money is not None:
            self._book.add(money.signed)
        self._periods = Periods(rounds, max(1, terms.periods))
        batch = config.training.batch_size
        batches = {org: min(batch, len(rows)) for org, rows in split.federated_rows.items()}
        devices = {one.id: Devices(processors=one.processors, gpus=one.gpus) for one in config.organisations}
        self._meter = Meter(batches, split.start.size, split.attested, devices)
        if self._openings is None or (terms.periods == terms.openings == 1 and config.settlement is None):
            self._bare = accounting_for(config, split, utility)
        self._observe(0)
        return self._founded.adding

    # --- after each round ---

    def add(self, done: RoundDone) -> None:
        """Take in a round."""
        adding, manifest = self._founded.adding, self._founded.federation.manifest
        moved = Moved(
            before=self._model, after=done.state.model, step=elementwise_step(self._step, done.state.second[:])
        )
        self._model = done.state.model
        released = adding.released
        assert released is not None  # noqa: S101 - it just added a round; tells mypy
        cosigned, committed = self._cosigned(adding), self._openings.opener.committed() if self._openings else []
        events = adding.journal.events[self._noted :] if isinstance(adding, MaskedSum) else []
        self._noted += len(events)
        state = adding.state(done.state, applied=done.number)
        facts = round_facts(manifest, released, events=events, state=state, committed=committed, cosigned=cosigned)
        self._book.add(*facts)
        self._observe(done.number)
        self._meter.add(self._periods.of(done.number), done.updates)
        directed = self._bare.add(done) if self._bare is not None else None
        if self._openings is not None:
            self._openings.add(done.added.mean, released, moved, None if directed is None else [directed])
        for period in range(self._settled + 1, self._periods.count + 1):
            if self._periods.due(period) == done.number:
                self._settle(period)

    def settle(self) -> Contributions:
        """End the run, settle what is left, and sum up."""
        if self._openings is not None:
            self._openings.opener.close()
            closing = self._cosigned(self._founded.adding)
            self._book.add(*self._openings.opener.committed(), *closing)
        while self._settled < self._periods.count:
            self._settle(self._settled + 1)
        bare = self._bare.settle() if self._bare is not None else None
        if self._openings is None:
            assert bare is not None  # noqa: S101 - set in `begin` where nothing is opened; tells mypy
            return bare
        return opened_contributions(
            self._config, self._split.attested, self._openings, bare, no_interval=self._terms.no_interval
        )

    # --- one period ---

    def _settle(self, period: int) -> None:
        self._book.add(*self._valued(period))
        origin = self._book.origin
        keys = dict(zip(sorted(self._split.attested), self._founded.federation.identities, strict=True))
        claims = self._meter.claims(period)
        signed = (Signed.by(keys[claim.organisation], claim, origin=origin) for claim in claims)
        self._book.add(*signed, *self._meter.bounds(claims))
        if self._money is not None:
            self._book.add(self._money.settled(self._book.records, period))
        self._settled = period

    def _valued(self, period: int) -> list[Fact]:
        manifest, openings = self._founded.federation.manifest, self._openings
        gain = self._gain(period)
        if openings is None:
            return list(by_weight(manifest, period, gain))
        try:
            settled = openings.settle(period)
        except NothingToSettleError:
            openings.credit(weight_shares(manifest), gain)
            return list(by_weight(manifest, period, gain))
        if settled is None:
            openings.credit(weight_shares(manifest), Fraction(0))
            return list(window_closed(manifest, period))
        return settled_facts(manifest, settled, openings.intervals_of(settled))

    def _gain(self, period: int) -> Fraction:
        """Of the utility on all evaluation rows, over a period."""
        rounds = self._periods.rounds_of(period)
        if not self._observed or not rounds:
            return Fraction(0)
        return Fraction(self._observed[rounds[-1]] - self._observed[rounds[0] - 1], UTILITY_UNITS)

    # --- what goes on record ---

    @property
    def _openings(self) -> Openings | None:
        return self._founded.openings

    def _observe(self, round_: int) -> None:
        """Measure the common model on all evaluation rows."""
        founded = self._founded
        if isinstance(founded.utility, str):
            return
        value = founded.utility.value(self._model.astype(np.float64))
        if not np.isfinite(value):
            return
        self._observed.append(round(UTILITY_UNITS * value))
        if founded.openings is not None:
            founded.openings.utilities.append(value)
        evaluation = founded.federation.manifest.evaluation
        self._book.add(UtilityObserved(round=round_, utility=self._observed[-1], evaluation=evaluation))

    def _show(self) -> bytes:
        """Give the checkpoint that goes out with an invitation."""
        self._shown = self._book.show()
        return self._shown

    def _cosigned(self, adding: RingSum) -> list[Fact]:
        """Who co-signed the checkpoint that went out last."""
        if not isinstance(adding, MaskedSum) or not isinstance(adding.desk, Desk):
            return []
        members = adding.manifest.members
        found = sorted(adding.desk.cosignatures.items())
        adding.desk.cosignatures.clear()
        return [
            self._book.cosigned(self._shown, members[seat].id, members[seat].public, signature)
            for seat, signature in found
        ]
