"""One split: every organisation alone, the federation, the federation fine-tuned at home, and all rows pooled.

Everything is chosen on training rows only. Test rows are looked at once, at the end, and nothing depends on them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from fedgap.config import FederationConfig
from fedgap.ids import OrgId
from fedgap.learning import scores
from fedgap.learning.engine import Member
from fedgap.learning.engines import Engines, starting_vector
from fedgap.learning.parameters import ModelError, Vector
from fedgap.learning.plan import DivergedError, LocalTraining
from fedgap.learning.rows import Index, Rows, concatenate
from fedgap.learning.server import ServerState
from fedgap.simulation.aggregate import Aggregation, aggregation
from fedgap.simulation.federate import AfterRound, FederationPlan, RoundDone, federation, local_training, server_rule
from fedgap.simulation.lockstep import Course, answered_by, side_by_side
from fedgap.simulation.sites import Site, SplitSites, split_plan
from fedgap.simulation.tuning import Choice, Losses, best, checkpoints, curves, retrained, tuned

Tick = Callable[[], None]
Found = Callable[[int], Aggregation]
POOLED = OrgId("pooled")
"""Seeds the row order of the pooled training; no organisation trains under this name in round 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contenders:
    """The trained models of one split and how they were chosen.

    Attributes:
        alone: parameters of each organisation's own model.
        federated: the common model.
        personalised: each organisation's fine-tuned model; the common one where fine-tuning was not accepted.
        pooled: trained on all training rows in one place.
        chosen: for each organisation, what cross-validation chose for `local` and `personalised`.
        federation: what it chose, or the configuration said, for the federation; `pooled` likewise.
        accepted: where fine-tuning was accepted.
        recommended: alone, federated or personalised: the smallest loss on training rows left out.
    """

    alone: Mapping[OrgId, Vector]
    federated: Vector
    personalised: Mapping[OrgId, Vector]
    pooled: Vector
    chosen: Mapping[OrgId, Mapping[str, Choice]]
    federation: Choice
    pool: Choice
    accepted: Mapping[OrgId, bool]
    recommended: Mapping[OrgId, str]


def ticks(config: FederationConfig) -> int:
    """How often `compete` reports progress."""
    trials = len(learning_rates(config)) if config.baselines.tune_federation else 1
    return 2 * len(config.organisations) + 2 + trials * config.baselines.folds


def learning_rates(config: FederationConfig) -> tuple[float, ...]:
    """Candidates of cross-validation."""
    lr = config.training.lr
    return config.baselines.lrs or tuple(float(f"{factor * lr:.12g}") for factor in (0.3, 1, 3))


class Split:
    """The work on one split; `compete`, or `course` beside that of other splits, is the way in."""

    def __init__(
        self,
        config: FederationConfig,
        sites: Sequence[Site],
        rows: SplitSites,
        tick: Tick,
        engines: Engines | None = None,
    ) -> None:
        self.config, self.rows, self.tick = config, rows, tick
        self.kind = rows.task.kind
        self.names = list(rows.train)
        self.federated_rows = {org: rows.training(org, "federated") for org in self.names}
        like = concatenate(list(self.federated_rows.values()))
        engines = engines or Engines(device=config.training.device)
        self.engine, self.why = engines.open(rows.task, like, local_training(config))
        self.together = self.engine.name.startswith("stacked")
        self.start = starting_vector(rows.task, like, config.federation.seed)
        self._check_outputs(like)
        cut = split_plan(config, rows.task)
        self.folds = {
            site.org: cut.folds(rows.train[site.org], site.source, rows.number, config.baselines.folds)
            for site in sites
        }
        self.attested = {site.org: site.organisation.weight or len(rows.train[site.org]) for site in sites}
        self.plan = FederationPlan(
            rule=server_rule(config),
            rounds=config.training.rounds,
            behaviours={site.org: site.organisation.behave for site in sites},
        )

    def compete(self, protocol: str, after_round: AfterRound | None = None) -> Contenders:
        """Train every contender of this split (see `course`)."""
        return answered_by(self.engine, self.course(protocol, after_round))

    def course(
        self, protocol: str, after_round: AfterRound | None = None, found: Found | None = None
    ) -> Course[Contenders]:
        """Train every contender of this split.

        Args:
            protocol: what the federation that counts is added with; cross-validation leaves out the masks.
            after_round: watches the rounds of the federation that counts (not those of cross-validation).
            found: gives what the federation that counts is added with, in place of `protocol`, once its number of
                rounds is known.
        """
        solo = [self._alone(org) for org in self.names]
        *apart, (pooled, pool) = yield from side_by_side([*solo, self._pooled()], together=self.together)
        alone = dict(zip(self.names, apart, strict=True))
        unmasked = "sum" if protocol == "full" else protocol
        choice, starts, left_out = yield from self._tune_federation(unmasked)
        adding = None if found is None else found(choice.length)
        members = self._members(None)
        common = yield from self._federation(choice.lr, choice.length, members, protocol, after_round, adding)
        self.tick()
        tunings = [self._personalise(org, common.model, starts, left_out[org]) for org in self.names]
        own = dict(zip(self.names, (yield from side_by_side(tunings, together=self.together)), strict=True))
        return Contenders(
            alone={org: vector for org, (vector, _) in alone.items()},
            federated=common.model,
            personalised={org: vector for org, (vector, _) in own.items()},
            pooled=pooled,
            chosen={org: {"local": alone[org][1], "personalised": own[org][1]} for org in self.names},
            federation=choice,
            pool=pool,
            accepted={org: own[org][1].length > 0 for org in self.names},
            recommended={o: self._recommend(o, alone[o][1], left_out[o], own[o][1]) for o in self.names},
        )

    def _check_outputs(self, rows: Rows) -> None:
        """A model of one's own may be too narrow for the classes there are."""
        if self.kind == "classification":
            outputs = self.engine.outputs(self.start, rows.take(np.arange(1))).shape[1]
            if int(rows.y.max()) >= outputs:
                remedy = "Give the model one output for each class."
                raise ModelError(f"There are more classes than the model's {outputs} outputs.", remedy=remedy)

    def _alone(self, org: OrgId) -> Course[tuple[Vector, Choice]]:
        """An organisation by itself: its rows, its own statistics, tuned."""
        rows = self.rows.training(org, "alone")
        return self._tuned(rows, self.folds[org], org)

    def _tuned(self, rows: Rows, folds: Sequence[Index], who: OrgId) -> Course[tuple[Vector, Choice]]:
        plan, lrs = self._solo(self.config.baselines.epochs), learning_rates(self.config)
        found = yield from tuned(self.engine.outputs, self.start, rows, folds, plan, lrs, who, self.kind)
        self.tick()
        return found

    def _pooled(self) -> Course[tuple[Vector, Choice]]:
        """All training rows in one place; the parts left out are the organisations' parts together."""
        parts = [self.rows.training(org, "pooled") for org in self.names]
        first = dict(zip(self.names, np.cumsum([0, *map(len, parts)]), strict=False))
        folds = []
        for number in range(self.config.baselines.folds):
            left_out = [first[org] + fold[number] for org, fold in self.folds.items() if number < len(fold)]
            if left_out:
                folds.append(np.concatenate(left_out))
        rows = concatenate(parts)
        covered = np.concatenate(folds) if folds else np.zeros(0, np.int64)
        if len(covered) < len(rows) and folds:  # organisations with a single row never leave it out
            folds[0] = np.concatenate([folds[0], np.setdiff1d(np.arange(len(rows)), covered)])
        return self._tuned(rows, folds, POOLED)

    def _tune_federation(self, protocol: str) -> Course[tuple[Choice, list[Vector], dict[OrgId, Losses]]]:
        """Federations in which every organisation leaves a part out.

        Returns:
            learning rate and rounds; the common model of each fold under these; for each organisation the loss of each
            of its training rows when it was left out (NaN for rows that never were).
        """
        tune = self.config.baselines.tune_federation
        lrs = learning_rates(self.config) if tune else (self.config.training.lr,)
        lengths = checkpoints(self.plan.rounds) if tune else (self.plan.rounds,)
        count = self.config.baselines.folds
        cohorts = [self._members(fold) for fold in range(count)]
        watched = [self._watched(lr, cohort, protocol, lengths) for lr in lrs for cohort in cohorts]
        kept = yield from side_by_side(watched, together=self.together)
        models = {
            (lr, length): [of[length] for of in kept[first : first + count]]
            for first, lr in zip(range(0, len(kept), count), lrs, strict=True)
            for length in lengths
        }
        losses = {key: self._left_out_losses(vectors) for key, vectors in models.items()}
        joined = {key: np.concatenate(list(of.values())) for key, of in losses.items()}
        lr, rounds = min(joined, key=lambda key: _mean(joined[key]))
        return Choice(lr=lr, length=rounds, losses=joined[lr, rounds]), models[lr, rounds], losses[lr, rounds]

    def _watched(
        self, lr: float, cohort: Sequence[Member], protocol: str, lengths: Sequence[int]
    ) -> Course[dict[int, Vector]]:
        """Run one federation; keep the model after each number of rounds asked for, NaN once it ran away."""
        kept = {length: np.full_like(self.start, np.nan) for length in lengths}

        def after_round(done: RoundDone) -> None:
            if done.number in kept:
                kept[done.number] = done.state.model

        with suppress(DivergedError):
            yield from self._federation(lr, max(lengths), cohort, protocol, after_round)
        self.tick()
        return kept

    def _left_out_losses(self, models: Sequence[Vector]) -> dict[OrgId, Losses]:
        found = {}
        for org in self.names:
            rows = self.federated_rows[org]
            found[org] = np.full(len(rows), np.nan)
            for vector, left_out in zip(models, self.folds[org], strict=False):
                watched = rows.take(left_out)
                losses = scores.row_losses(self.kind, self.engine.outputs(vector, watched), watched.y)
                found[org][left_out] = np.where(np.isfinite(losses), losses, np.inf)
        return found

    def _members(self, fold: int | None) -> list[Member]:
        """The cohort, with the rows of one fold left out."""
        members = []
        for org, rows in self.federated_rows.items():
            folds = self.folds[org]
            if fold is None or fold >= len(folds):
                members.append(Member(org=org, rows=rows))
            else:
                kept = np.setdiff1d(np.arange(len(rows)), folds[fold])
                members.append(Member(org=org, rows=rows.take(kept)))
        return members

    def _federation(
        self,
        lr: float,
        rounds: int,
        cohort: Sequence[Member],
        protocol: str,
        after_round: AfterRound | None,
        adding: Aggregation | None = None,
    ) -> Course[ServerState]:
        local, plan = local_training(self.config, lr=lr), replace(self.plan, rounds=rounds)
        if adding is None:
            adding = aggregation(protocol, self.config, self.attested, self.start.size)
        return federation(self.start, cohort, plan, local, adding, after_round)

    def _personalise(
        self, org: OrgId, common: Vector, starts: Sequence[Vector], before: Losses
    ) -> Course[tuple[Vector, Choice]]:
        """Fine-tune the common model on the organisation's rows, if its own rows left out say that it helps.

        It must help by more than one standard error of the mean improvement; else the common model stays.
        """
        rows, folds = self.federated_rows[org], self.folds[org]
        plan = self._solo(self.config.baselines.personal_epochs)
        keep = Choice(lr=plan.lr, length=0, losses=before)
        self.tick()
        if not folds or not plan.epochs:
            return common, keep
        lrs, outputs = learning_rates(self.config), self.engine.outputs
        choice = best((yield from curves(outputs, starts[: len(folds)], rows, folds, plan, lrs, org, self.kind)))
        gain = before - choice.losses if np.isfinite(before).all() else np.zeros(1)
        if choice.length == 0 or not gain.mean() > gain.std() / np.sqrt(len(gain)):
            return common, keep
        vector = yield from retrained(common, rows, plan, choice, org)
        return vector, choice

    def _recommend(self, org: OrgId, alone: Choice, federated: Losses, personalised: Choice) -> str:
        """Name the model with the smallest loss on the organisation's rows left out, in the same units."""
        joined = "personalised" if personalised.length > 0 else "federated"
        loss = personalised.mean_loss if personalised.length > 0 else _mean(federated)
        own, common = (self.rows.target_scale(view, org)[1] for view in ("alone", "federated"))
        return "alone" if alone.mean_loss * (own / common) ** 2 < loss else joined

    def _solo(self, epochs: int) -> LocalTraining:
        """Training outside the federation: the same optimiser, its own length."""
        plan = local_training(self.config)
        return replace(plan, epochs=epochs, steps=None, prox_mu=0.0, patience=0)


def _mean(losses: Losses) -> float:
    """Mean over the rows that were left out; infinite if none was or a model diverged."""
    known = losses[~np.isnan(losses)]
    return float(known.mean()) if known.size else float("inf")
