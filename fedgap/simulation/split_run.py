"""One split from start to end, in whichever process: train the contenders, let them answer the test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap.config import FederationConfig
from fedgap.ids import OrgId
from fedgap.learning import scores
from fedgap.learning.engines import Engines
from fedgap.learning.parameters import Vector
from fedgap.learning.rows import Rows, concatenate
from fedgap.learning.scores import Answers
from fedgap.learning.task import Task
from fedgap.learning.threads import use_one_thread
from fedgap.simulation.books import Books, PlainBooks
from fedgap.simulation.contenders import Contenders, Split, Tick
from fedgap.simulation.contribution import Contributions
from fedgap.simulation.federate import AfterRound, RoundDone
from fedgap.simulation.ledger_of import Facts
from fedgap.simulation.lockstep import Course, answered_by, side_by_side
from fedgap.simulation.questions import AnsweredRows, Part, Questions, common_index, target_of
from fedgap.simulation.sites import Site, SplitSites, split_sites

CONTENDERS = ("local", "federated", "personalised", "pooled")
VIEW = {"local": "alone", "federated": "federated", "personalised": "federated", "pooled": "pooled"}


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
    participants: tuple[OrgId, ...]
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
        engine: name of the engine that ran it, and why that one.
        start_utility: utility of the starting model.
        rounds: one entry a round.
        cpu_seconds: processor time of each organisation's local training, over all rounds.
        wall_seconds: likewise.
        notes: what its local trainings reported, by organisation.
        preprocessing: how rows become numbers, kept with the model.
        contributions: what each organisation's updates were worth.
        facts: its ledger; None where there is none.
        books_notes: what a reader should know of both.
    """

    model: Vector
    engine: tuple[str, str]
    start_utility: float | None
    preprocessing: Mapping[str, Any]
    rounds: list[RoundFigures] = field(default_factory=list)
    cpu_seconds: dict[OrgId, float] = field(default_factory=dict)
    wall_seconds: dict[OrgId, float] = field(default_factory=dict)
    notes: dict[OrgId, set[str]] = field(default_factory=dict)
    contributions: Contributions = field(default_factory=Contributions)
    facts: Facts | None = None
    books_notes: tuple[str, ...] = ()


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


def run_some(
    config: FederationConfig,
    task: Task,
    sites: tuple[Site, ...],
    numbers: Sequence[int],
    protocol: str,
    engine: str,
    tick: Tick,
    cores: int = 1,
) -> list[SplitResult]:
    """Do all the work of some splits, side by side where the engine gains by it.

    One thread, so that the same seed gives the same bits; which splits stand together changes none.
    """
    use_one_thread()
    engines = Engines(engine, config.training.device, organisations=len(sites), cores=cores)
    splits = [Split(config, sites, split_sites(config, task, sites, number), tick, engines) for number in numbers]
    found: dict[int, SplitResult] = {}
    for alike in _by_engine(splits):
        courses = [_course(split, protocol) for split in alike]
        together = side_by_side(courses, together=alike[0].together)
        for result in answered_by(alike[0].engine, together):
            found[result.number] = result
    return [found[number] for number in numbers]


def _by_engine(splits: Sequence[Split]) -> list[list[Split]]:
    """Splits whose models have the same form share an engine, and can train side by side."""
    groups: dict[int, list[Split]] = {}
    for split in splits:
        groups.setdefault(id(split.engine), []).append(split)
    return list(groups.values())


def _course(split: Split, protocol: str) -> Course[SplitResult]:
    """One split from start to end.

    Only split 0, which is reported round by round, runs the whole protocol; the others add the same integers unmasked.
    """
    config, rows, task, number = split.config, split.rows, split.rows.task, split.rows.number
    main = None
    if number == 0:
        watched = _evaluation(config, task, rows)
        main = _main_run(split, watched)
        plain = protocol == "plain"
        books = PlainBooks(config, split, watched) if plain else Books(config, split, watched, protocol)
        contenders = yield from split.course(protocol, _watch(main, split, watched, books), books.begin)
        main.model, main.contributions = contenders.federated, books.settle()
        main.facts, main.books_notes = books.facts, books.notes
    else:
        contenders = yield from split.course("sum" if protocol == "full" else protocol)
    examined = examine(config, split, contenders)
    split.tick()
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
    asked = Questions(split.rows, common_index(config, split.rows))
    alike = _for_everybody(split, contenders, asked)
    return Examined(
        common_rows=asked.common_rows(),
        own_rows={org: asked.own_rows(org) for org in split.names},
        answered={org: _answers(split, contenders, asked, org, alike) for org in split.names},
    )


def _notes(task: Task, rows: SplitSites, org: OrgId) -> list[str]:
    found = task.notes(rows.train[org], rows.shared, rows.own[org])
    return [f"training rows: {note}" for note in found] + [
        f"test rows: {note}" for note in task.notes(rows.test[org], rows.shared, rows.own[org])
    ]


def _main_run(split: Split, watched: Rows) -> MainRun:
    task, shared = split.rows.task, split.rows.shared
    outputs = scores.sound(split.engine.outputs(split.start, watched), "The starting model")
    return MainRun(
        model=split.start,
        engine=(split.engine.name, split.why),
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


def _watch(main: MainRun, split: Split, watched: Rows, books: Books | PlainBooks) -> AfterRound:
    """Write down every round of the reported federation."""

    def after_round(done: RoundDone) -> None:
        answers = split.engine.outputs(done.state.model, watched)
        outputs = scores.sound(answers, f"The common model of round {done.number}")
        for update in done.updates:
            main.cpu_seconds[update.org] += update.cpu_seconds
            main.wall_seconds[update.org] += update.wall_seconds
            main.notes[update.org].update(update.notes)
        figures = RoundFigures(
            number=done.number,
            participants=tuple(update.org for update in done.updates),
            utility=scores.utility(split.kind, outputs, watched.y),
            loss=done.added.loss,
            seconds=done.seconds,
            bytes_up=done.added.bytes_up,
            bytes_down=done.added.bytes_down,
        )
        main.rounds.append(figures)
        books.add(done)

    return after_round


_Common = tuple[NDArray[np.float32], Mapping[str, float | None]]
"""Evidence of each common test row, and the measures of them all."""


def _for_everybody(split: Split, contenders: Contenders, asked: Questions) -> dict[tuple[str, int], _Common]:
    """What the two common models answer on the common rows: the same whoever asks, so it is computed once.

    Returns:
        by view and by the vector's identity.
    """
    first = split.names[0]
    return {
        (view, id(vector)): _common(split, vector, asked, (view, first), f"The {view} model")
        for view, vector in (("federated", contenders.federated), ("pooled", contenders.pooled))
    }


def _common(split: Split, vector: Vector, asked: Questions, at: tuple[str, OrgId], whose: str) -> _Common:
    answers = _answer(split, vector, asked.all(*at), whose)
    return answers.evidence(asked.unit).astype(np.float32), answers.measures()


def _answers(
    split: Split, contenders: Contenders, asked: Questions, org: OrgId, alike: Mapping[tuple[str, int], _Common]
) -> dict[str, Answered]:
    vectors = {
        "local": contenders.alone[org],
        "federated": contenders.federated,
        "personalised": contenders.personalised[org],
        "pooled": contenders.pooled,
    }
    found = {}
    for name, vector in vectors.items():
        whose = f"The {name} model of organisation {org}"
        view = VIEW[name]
        own = _answer(split, vector, [asked.own(org, view)], whose)
        common = alike.get((view, id(vector))) or _common(split, vector, asked, (view, org), whose)
        found[name] = Answered(
            own=own.evidence(asked.unit).astype(np.float32),
            common=common[0],
            own_measures=own.measures(),
            common_measures=common[1],
        )
    return found


def _answer(split: Split, vector: Vector, parts: Sequence[Part], whose: str) -> Answers:
    """Let a model answer, in the targets' own units."""
    if not parts:
        return Answers(split.kind, np.zeros((0, 1) if split.kind == "classification" else 0), np.zeros(0, np.int64))
    outputs = [scores.sound(split.engine.outputs(vector, rows), whose).astype(np.float64) for rows, _ in parts]
    if split.kind == "regression":
        outputs = [out.reshape(-1) * scale[1] + scale[0] for out, (_, scale) in zip(outputs, parts, strict=True)]
        return Answers(split.kind, np.concatenate(outputs), np.concatenate([target_of(*part) for part in parts]))
    return Answers(split.kind, np.concatenate(outputs), np.concatenate([rows.y for rows, _ in parts]))
