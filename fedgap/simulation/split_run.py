"""One split from start to end, in whichever process: train the contenders, let them answer the test rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap import counter
from fedgap.config import FederationConfig
from fedgap.ids import OrgId
from fedgap.learning import scores
from fedgap.learning.local import DivergedError
from fedgap.learning.rows import Index, Rows, concatenate
from fedgap.learning.scores import Answers
from fedgap.learning.task import Task
from fedgap.learning.vector import Vector, use_one_thread
from fedgap.simulation.contenders import Contenders, Split, Tick
from fedgap.simulation.federate import AfterRound, RoundDone
from fedgap.simulation.sites import Site, SplitSites, split_sites

CONTENDERS = ("local", "federated", "personalised", "pooled")
VIEW = {"local": "alone", "federated": "federated", "personalised": "federated", "pooled": "pooled"}
MOST_COMMON = 2000
"""At most so many of all organisations' test rows are answered by everybody's model."""

LARGEST_ANSWER = 1e15
"""Outputs beyond this come from a training that diverged; their squares would not fit a float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnsweredRows:
    """Which test rows were answered.

    Attributes:
        owner: number of the organisation each row belongs to, shape (n,).
        row: its position in the owner's data, shape (n,).
        target: class number, or the target in its own units, shape (n,).
    """

    owner: Index
    row: Index
    target: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """One model on one organisation's own test rows and on everyone's.

    Attributes:
        own: evidence of each own test row (see `scores`), shape (n_own,).
        common: evidence of each common test row, shape (n,).
        own_measures: what is printed beside the score.
        common_measures: likewise.
    """

    own: NDArray[np.float32]
    common: NDArray[np.float32]
    own_measures: Mapping[str, float | None]
    common_measures: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """All answers of a split.

    Attributes:
        common_rows: the test rows that everybody answered.
        own_rows: each organisation's own.
        answered: by organisation and contender.
    """

    common_rows: AnsweredRows
    own_rows: Mapping[OrgId, AnsweredRows]
    answered: Mapping[OrgId, Mapping[str, Answered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFigures:
    """What one round of the reported federation showed."""

    number: int
    utility: float | None
    loss: float
    seconds: float
    bytes_up: int
    bytes_down: int


@dataclass(slots=True, kw_only=True, eq=False)
class MainRun:
    """The federation that the report is about: split 0 with the configured seed.

    Attributes:
        model: its final parameters.
        start_utility: utility of the starting model.
        rounds: one entry a round.
        cpu_seconds: processor time of each organisation's local training, over all rounds.
        wall_seconds: likewise.
        notes: what its local trainings reported, by organisation.
        preprocessing: how rows become numbers, kept with the model.
    """

    model: Vector
    start_utility: float | None
    preprocessing: Mapping[str, Any]
    rounds: list[RoundFigures] = field(default_factory=list)
    cpu_seconds: dict[OrgId, float] = field(default_factory=dict)
    wall_seconds: dict[OrgId, float] = field(default_factory=dict)
    notes: dict[OrgId, set[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitResult:
    """What a split leaves behind: evidence, choices, and for split 0 the reported federation."""

    number: int
    examined: Examined
    chosen: Mapping[OrgId, Mapping[str, tuple[float, int]]]
    federation: tuple[float, int]
    pool: tuple[float, int]
    accepted: Mapping[OrgId, bool]
    recommended: Mapping[OrgId, str]
    train_rows: Mapping[OrgId, int]
    notes: Mapping[OrgId, Sequence[str]]
    main: MainRun | None


def run_split(
    config: FederationConfig, task: Task, sites: tuple[Site, ...], number: int, protocol: str, tick: Tick
) -> SplitResult:
    """Do all the work of one split. One thread, so that the same seed gives the same bits.

    Only split 0, which is reported round by round, runs the whole protocol; the others add the same integers unmasked.
    """
    use_one_thread()
    rows = split_sites(config, task, sites, number)
    split = Split(config, sites, rows, tick)
    main = None
    if number == 0:
        watched = _evaluation(config, task, rows)
        main = _main_run(split, watched)
        contenders = split.compete(protocol, _watch(main, split, watched))
        main.model = contenders.federated
    else:
        contenders = split.compete("sum" if protocol == "full" else protocol)
    examined = examine(config, split, contenders)
    tick()
    return SplitResult(
        number=number,
        examined=examined,
        chosen={o: {k: (c.lr, c.length) for k, c in of.items()} for o, of in contenders.chosen.items()},
        federation=(contenders.federation.lr, contenders.federation.length),
        pool=(contenders.pool.lr, contenders.pool.length),
        accepted=contenders.accepted,
        recommended=contenders.recommended,
        train_rows={org: len(data) for org, data in rows.train.items()},
        notes={org: _notes(task, rows, org) for org in split.names},
        main=main,
    )


def examine(config: FederationConfig, split: Split, contenders: Contenders) -> Examined:
    """Let every contender answer the test rows, once."""
    asked = _Questions(split.rows, _common_index(config, split.rows))
    return Examined(
        common_rows=asked.common_rows(),
        own_rows={org: asked.own_rows(org) for org in split.names},
        answered={org: _answers(split, contenders, asked, org) for org in split.names},
    )


def _notes(task: Task, rows: SplitSites, org: OrgId) -> list[str]:
    found = task.notes(rows.train[org], rows.shared, rows.own[org])
    return [f"training rows: {note}" for note in found] + [
        f"test rows: {note}" for note in task.notes(rows.test[org], rows.shared, rows.own[org])
    ]


def _main_run(split: Split, watched: Rows) -> MainRun:
    task, shared = split.rows.task, split.rows.shared
    outputs = _sound(split.engine.outputs(split.start, watched), "The starting model")
    return MainRun(
        model=split.start,
        start_utility=scores.utility(task.kind, outputs, watched.y),
        preprocessing=task.describe(shared, shared),
        cpu_seconds=dict.fromkeys(split.names, 0.0),
        wall_seconds=dict.fromkeys(split.names, 0.0),
        notes={org: set() for org in split.names},
    )


def _evaluation(config: FederationConfig, task: Task, rows: SplitSites) -> Rows:
    """The rows on which the reported utility is observed: the federation's evaluation rows, else all test rows."""
    if config.evaluation is not None and config.evaluation.data is not None:
        return task.prepare(task.load(config.base / config.evaluation.data), rows.shared, rows.shared)
    return concatenate([rows.testing(org, "federated", org) for org in rows.test])


def _watch(main: MainRun, split: Split, watched: Rows) -> AfterRound:
    """Write down every round of the reported federation."""

    def after_round(done: RoundDone) -> None:
        outputs = _sound(split.engine.outputs(done.state.model, watched), f"The common model of round {done.number}")
        for update in done.updates:
            main.cpu_seconds[update.org] += update.cpu_seconds
            main.wall_seconds[update.org] += update.wall_seconds
            main.notes[update.org].update(update.notes)
        figures = RoundFigures(
            number=done.number,
            utility=scores.utility(split.kind, outputs, watched.y),
            loss=done.added.loss,
            seconds=done.seconds,
            bytes_up=done.added.bytes_up,
            bytes_down=done.added.bytes_down,
        )
        main.rounds.append(figures)

    return after_round


def _common_index(config: FederationConfig, rows: SplitSites) -> dict[OrgId, Index]:
    """Positions, among each organisation's test rows, of those that everybody answers."""
    sizes = {org: len(data) for org, data in rows.test.items()}
    total = sum(sizes.values())
    if total <= MOST_COMMON:
        return {org: np.arange(size) for org, size in sizes.items()}
    drawn = np.sort(
        counter.permutation(counter.key(config.federation.seed, "common", rows.number), total)[:MOST_COMMON]
    )
    first = np.cumsum([0, *sizes.values()])
    return {org: drawn[(drawn >= first[i]) & (drawn < first[i + 1])] - first[i] for i, org in enumerate(sizes)}


class _Questions:
    """The test rows of a split, prepared as each site would, and remembered where everybody prepares them alike."""

    def __init__(self, rows: SplitSites, common: Mapping[OrgId, Index]) -> None:
        self.rows, self.common = rows, common
        self._kept: dict[str, list[tuple[Rows, tuple[float, float]]]] = {}

    def own(self, org: OrgId, view: str) -> tuple[Rows, tuple[float, float]]:
        """An organisation's test rows as it prepares them, and the scale of its targets."""
        return self.rows.testing(org, view, org), self.rows.target_scale(view, org)

    def all(self, view: str, at: OrgId) -> list[tuple[Rows, tuple[float, float]]]:
        """Everyone's common test rows as the site `at` meets them, organisation by organisation."""
        if view == "alone":
            return list(self._parts(view, at))
        if view not in self._kept:
            self._kept[view] = list(self._parts(view, at))
        return self._kept[view]

    def _parts(self, view: str, at: OrgId) -> Iterator[tuple[Rows, tuple[float, float]]]:
        for org, index in self.common.items():
            if len(index):
                scale = self.rows.target_scale(view, org if view == "federated" else at)
                yield self.rows.testing(org, view, at).take(index), scale

    def common_rows(self) -> AnsweredRows:
        """Identity and target of the common test rows."""
        parts = self.all("pooled", next(iter(self.common)))
        return AnsweredRows(
            owner=np.repeat(np.arange(len(self.common)), [len(index) for index in self.common.values()]),
            row=np.concatenate([self.rows.test_index[org][index] for org, index in self.common.items()]),
            target=np.concatenate([_target(part, scale) for part, scale in parts] or [np.zeros(0)]),
        )

    def own_rows(self, org: OrgId) -> AnsweredRows:
        """Identity and target of an organisation's own test rows."""
        index = self.rows.test_index[org]
        return AnsweredRows(owner=np.zeros(len(index), np.int64), row=index, target=_target(*self.own(org, "pooled")))


def _target(rows: Rows, scale: tuple[float, float]) -> NDArray[np.float64]:
    if rows.y.dtype.kind == "i":
        return rows.y.astype(np.float64)
    return rows.y.astype(np.float64) * scale[1] + scale[0]


def _answers(split: Split, contenders: Contenders, asked: _Questions, org: OrgId) -> dict[str, Answered]:
    vectors = {
        "local": contenders.alone[org],
        "federated": contenders.federated,
        "personalised": contenders.personalised[org],
        "pooled": contenders.pooled,
    }
    found = {}
    for name, vector in vectors.items():
        whose = f"The {name} model of organisation {org}"
        own = _answer(split, vector, [asked.own(org, VIEW[name])], whose)
        common = _answer(split, vector, asked.all(VIEW[name], org), whose)
        found[name] = Answered(
            own=own.evidence().astype(np.float32),
            common=common.evidence().astype(np.float32),
            own_measures=own.measures(),
            common_measures=common.measures(),
        )
    return found


def _answer(split: Split, vector: Vector, parts: Sequence[tuple[Rows, tuple[float, float]]], whose: str) -> Answers:
    """Let a model answer, in the targets' own units."""
    if not parts:
        return Answers(split.kind, np.zeros((0, 1) if split.kind == "classification" else 0), np.zeros(0, np.int64))
    outputs = [_sound(split.engine.outputs(vector, rows), whose).astype(np.float64) for rows, _ in parts]
    if split.kind == "regression":
        outputs = [out.reshape(-1) * scale[1] + scale[0] for out, (_, scale) in zip(outputs, parts, strict=True)]
        return Answers(split.kind, np.concatenate(outputs), np.concatenate([_target(*part) for part in parts]))
    return Answers(split.kind, np.concatenate(outputs), np.concatenate([rows.y for rows, _ in parts]))


def _sound(outputs: Vector, whose: str) -> Vector:
    """Let answers through that can be scored.

    Raises:
        DivergedError: they are beyond every sensible number; the model's training ran away without overflowing.
    """
    if not (np.abs(outputs) < LARGEST_ANSWER).all():
        raise DivergedError(f"{whose} answers with numbers beyond {LARGEST_ANSWER:g}: its training diverged.")
    return outputs
