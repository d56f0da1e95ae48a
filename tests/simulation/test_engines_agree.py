"""Stacked and sequential tell the same story: the same choices, and scores that differ in last digits only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedgap.simulation.study import Study, simulate
from fedgap.simulation.workers import MOST_TOGETHER, batched
from tests.simulation.tiny import REGRESSION, config

MLP = {"task": {"model": "mlp", "hidden": [6], "activation": "tanh", "dropout": 0.2}}
ADAPTIVE = {"training": {"optimizer": "adam", "lr": 0.02, "prox_mu": 0.1, "clip_norm": 1.0, "rounds": 3}}
EARLY = {"training": {"epochs": 4, "patience": 1, "lr": 0.3}}
TUNED = {"baselines": {"tune_federation": True, "splits": 3}, "server": {"optimizer": "fedavgm", "weights": "rows"}}


def study(folder: Path, engine: str, workers: int = 1, **wanted: Any) -> Study:  # noqa: ANN401 - passed on to `write`
    """Simulate with this engine."""
    found = config(folder, **wanted)
    return simulate(found, workers=workers, engine=engine, protocol=None, progress=lambda _: None)


def numbers_apart(one: object, other: object, path: str = "") -> list[tuple[str, object, object]]:
    """All that differs in two reports, numbers by more than 1e-4, but for times, digests and names of engines."""
    if path in {".engine", ".seconds", ".model_sha256", ".ledger_root"} or path.endswith(("seconds", ".metered")):
        return []
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = {*one, *other}
        return [d for key in keys for d in numbers_apart(one.get(key), other.get(key), f"{path}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for place, (a, b) in pairs for d in numbers_apart(a, b, f"{path}[{place}]")]
    if isinstance(one, float) and isinstance(other, float):
        return [] if one == pytest.approx(other, rel=1e-4, abs=1e-4) else [(path, one, other)]
    return [] if one == other else [(path, one, other)]


@pytest.mark.parametrize(
    "wanted",
    [{}, MLP, ADAPTIVE, EARLY, TUNED, REGRESSION, {**REGRESSION, **MLP, **ADAPTIVE}],
    ids=["linear", "mlp", "adaptive", "early stopping", "tuned", "regression", "regression with all of it"],
)
def test_both_engines_give_one_report(tmp_path: Path, wanted: dict[str, Any]) -> None:
    stacked, sequential = (study(tmp_path, engine, **wanted) for engine in ("stacked", "sequential"))

    assert stacked.report["engine"] == {"name": "stacked", "why": "asked for"}
    assert sequential.report["engine"] == {"name": "sequential", "why": "asked for"}
    assert numbers_apart(stacked.report, sequential.report) == []
    assert stacked.model == pytest.approx(sequential.model, abs=1e-5)


def test_the_comparison_finds_what_differs(tmp_path: Path) -> None:
    one, other = study(tmp_path, "stacked"), study(tmp_path, "stacked", training={"lr": 0.2})

    assert any(path.startswith(".rounds") for path, _, _ in numbers_apart(one.report, other.report))


def test_neither_workers_nor_batches_of_splits_change_a_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: dict[str, Any] = {**MLP, "baselines": {"splits": 5}}
    together = study(tmp_path, "stacked", **wanted)
    apart = study(tmp_path, "stacked", workers=2, **wanted)
    monkeypatch.setattr("fedgap.simulation.workers.MOST_TOGETHER", 1)
    single = study(tmp_path, "stacked", **wanted)

    for other in (apart, single):
        assert together.model.tobytes() == other.model.tobytes()
        assert together.report["organisations"][0]["local"] == other.report["organisations"][0]["local"]
        assert together.report["mean"] == other.report["mean"]


@pytest.mark.parametrize(("splits", "workers"), [(1, 1), (1, 4), (5, 2), (30, 2), (100, 3)])
def test_every_split_is_in_one_batch_and_workers_get_as_many(splits: int, workers: int) -> None:
    batches = batched(range(splits), workers)

    assert [number for batch in batches for number in batch] == list(range(splits))
    assert max(map(len, batches)) <= MOST_TOGETHER
    assert max(map(len, batches)) - min(map(len, batches)) <= 1
    assert len(batches) == splits or len(batches) % workers == 0
