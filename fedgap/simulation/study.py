"""`fedgap simulate`: a federation and what it is compared with, over repeated splits, as one report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedgap import __version__
from fedgap.config import FederationConfig
from fedgap.errors import FedgapError
from fedgap.learning import scores
from fedgap.learning.engines import check_engine
from fedgap.learning.parameters import Vector, digest
from fedgap.simulation import contenders, contribution, gap
from fedgap.simulation.aggregate import choose_protocol
from fedgap.simulation.books import NO_MANIFEST
from fedgap.simulation.ledger_of import Facts
from fedgap.simulation.money import money_of
from fedgap.simulation.questions import MOST_COMMON
from fedgap.simulation.sites import Site, load_sites, open_task
from fedgap.simulation.split_run import MainRun, SplitResult
from fedgap.simulation.verdict import RULE
from fedgap.simulation.workers import Progress, run_splits

IN_ONE_PROCESS = "not measured for each organisation: they share one process"
UTILITY = {"classification": "1 - Brier/2", "regression": "1 - squared error clipped at 4 target variances, /4"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """What a simulation found.

    Attributes:
        report: the mapping that becomes report.json: finite numbers, texts and nulls with reasons.
        model: parameters of the reported common model, float32, shape (d,).
        preprocessing: how rows become its inputs.
        facts: what its ledger holds; None where there is no ledger.
    """

    report: Mapping[str, Any]
    model: Vector
    preprocessing: Mapping[str, Any]
    facts: Facts | None


class GoneOnError(FedgapError):
    """A simulation of a federation that goes on from another one would say nothing true."""

    code = "simulation.start-model"
    remedy = "Simulate the plan without federation.start; a deployment goes on from the model."
    exit_status = 2


def steps(config: FederationConfig) -> int:
    """How many steps of progress `simulate` will report."""
    return config.baselines.splits * (contenders.ticks(config) + 1)


def check_start(config: FederationConfig) -> None:
    """Refuse a plan that goes on from a model: it has seen rows on which everything would be tested.

    Raises:
        GoneOnError: the plan is such.
    """
    if config.federation.start is not None:
        raise GoneOnError(
            "federation.start names a model to go on from, which may have seen the rows kept for testing."
        )


def simulate(config: FederationConfig, *, workers: int, engine: str, protocol: str | None, progress: Progress) -> Study:
    """Simulate a federation and everything it is compared with.

    Args:
        config: the federation; its seed fixes every result.
        workers: processes; changes nothing but the time.
        engine: auto, sequential, stacked or processes, or one that is offered (`fedgap.learning.engines`).
        protocol: full, sum, or None for the default (see `aggregate.choose_protocol`).
        progress: called with the number of steps done.

    Raises:
        EngineUnavailableError, ProtocolError: these cannot be had.
        GoneOnError: training would begin with a given model.
        DataError: an organisation's file cannot be used.
        DivergedError: the federation's numbers ran away.
    """
    check_engine(engine)
    check_start(config)
    money_of(config)
    chosen, why = choose_protocol(config, protocol)
    began = time.perf_counter()
    task = open_task(config)
    sites = load_sites(config, task)
    results = run_splits(config, task, sites, chosen, engine, workers, progress)
    main = results[0].main
    if main is None:
        raise AssertionError("split 0 carries the reported federation")
    scored = gap.score_all(results, task.kind, config.baselines.bootstrap, config.federation.seed)
    mean, reasons = gap.means(scored)
    entries = [
        _site_entry(site, results, main) | gap.organisation_entry(results, site.org, scored[site.org]) for site in sites
    ]
    for entry, baselines in zip(entries, _baselines(sites, results), strict=True):
        entry["reasons"] |= _open_reasons() | dict(main.contributions.reasons)
        entry["baselines"] = baselines
    if main.start_utility is None:
        reasons |= dict.fromkeys(("utility.start", "utility.end", "rounds.utility"), gap.NO_TEST_ROWS)
    report = {
        "fedgap": __version__,
        "federation": _federation(config, sites, main, task.kind),
        "metric": {"name": scores.SCORE[task.kind], "better": "higher"},
        "utility": {
            "name": UTILITY[task.kind],
            "start": main.start_utility,
            "end": main.rounds[-1].utility,
        },
        "rounds": _rounds(main),
        "organisations": entries,
        "contribution": contribution.report_of(main.contributions),
        "mean": mean,
        "splits": len(results),
        "chosen": {
            "federated": gap.middle_choice([r.federation for r in results], "rounds"),
            "pooled": gap.middle_choice([r.pool for r in results], "epochs"),
        },
        "notes": [*_study_notes(config, results), *main.books_notes],
        "rule": RULE,
        "reasons": reasons
        | contribution.reasons_of(main.contributions)
        | ({} if main.facts else {"ledger_root": NO_MANIFEST}),
        "model_sha256": digest(main.model),
        "ledger_root": main.facts.root.hex() if main.facts else None,
        "engine": {"name": main.engine[0], "why": main.engine[1]},
        "protocol": {"name": chosen, "why": why},
        "seconds": time.perf_counter() - began,
    }
    return Study(report=report, model=main.model, preprocessing=main.preprocessing, facts=main.facts)


def _federation(config: FederationConfig, sites: Sequence[Site], main: MainRun, kind: str) -> dict[str, Any]:
    document = config.document()
    settings = {
        f"{section}.{key}": value
        for section in ("task", "training", "server", "baselines")
        for key, value in document.get(section, {}).items()
    }
    return {
        "id": config.federation.id,
        "name": config.federation.name or config.federation.id,
        "task": config.federation.task,
        "kind": kind,
        "seed": config.federation.seed,
        "organisations": len(sites),
        "rows": sum(len(site.data) for site in sites if site.source == site.org),
        "parameters": int(main.model.size),
        "settings": settings,
    }


def _rounds(main: MainRun) -> list[dict[str, Any]]:
    """One entry a round of the reported federation."""
    return [
        {
            "round": figures.number,
            "participants": list(figures.participants),
            "utility": figures.utility,
            "loss": figures.loss,
            "seconds": figures.seconds,
            "bytes_up": figures.bytes_up,
            "bytes_down": figures.bytes_down,
        }
        for figures in main.rounds
    ]


def _site_entry(site: Site, results: Sequence[SplitResult], main: MainRun) -> dict[str, Any]:
    first = results[0]
    return {
        "id": site.org,
        "name": site.organisation.name,
        "rows": len(site.data),
        "train_rows": first.train_rows[site.org],
        "test_rows": len(first.examined.own_rows[site.org].row),
        "behave": str(site.organisation.behave),
        **contribution.entry_of(main.contributions, site.org),
        "metered": {
            "gpu_seconds": None,
            "cpu_seconds": main.cpu_seconds[site.org],
            "wall_seconds": main.wall_seconds[site.org],
            "peak_bytes": None,
            "energy_joules": None,
        },
        "notes": [
            *first.notes[site.org],
            *sorted(main.notes[site.org]),
            *contribution.notes_of(main.contributions, site.org),
        ],
    }


def _open_reasons() -> dict[str, str]:
    return {
        "metered.gpu_seconds": IN_ONE_PROCESS,
        "metered.peak_bytes": IN_ONE_PROCESS,
        "metered.energy_joules": IN_ONE_PROCESS,
    }


def _baselines(sites: Sequence[Site], results: Sequence[SplitResult]) -> list[dict[str, float]]:
    """What paying each by declared size, or everyone the same, would give."""
    rows = [site.organisation.weight or results[0].train_rows[site.org] for site in sites]
    total = sum(rows)
    return [{"size": count / total, "equal": 1 / len(sites)} for count in rows]


def _study_notes(config: FederationConfig, results: Sequence[SplitResult]) -> list[str]:
    notes = [
        "Learning rates and lengths of the models compared were chosen by cross-validation on training rows only.",
        "Bytes are counted, not sent: a simulation has no network.",
    ]
    if config.evaluation is None or config.evaluation.data is None:
        notes.append("The utility is observed on all organisations' test rows; nothing was chosen by it.")
    if len(results) == 1:
        notes.append("There is one split only: the intervals know nothing of other training rows.")
    if len(results[0].examined.common_rows.row) == MOST_COMMON:
        notes.append(f"Of all test rows {MOST_COMMON} were drawn for the comparison on common rows.")
    return notes
