"""Whatever is configured, the answer is a whole report or one typed error: never a NaN, never a crash."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap.config import load_federation
from fedgap.errors import FedgapError
from fedgap.learning.plan import DivergedError
from fedgap.report import page, summary
from fedgap.simulation.study import Study, simulate
from tests.simulation.tiny import REGRESSION, csv, study, unexplained, write

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
SERVERS = ("fedavg", "fedavgm", "fedadam", "fedadagrad", "fedyogi")
BEHAVIOURS = ("honest", "zero", "flip", "noise:0.5", "noise:1", "copy:ash")

training = st.fixed_dictionaries(
    {
        "rounds": st.integers(1, 3),
        "lr": st.sampled_from([1e-3, 0.1, 30.0, 1e6, 1e12]),
        "batch_size": st.sampled_from([1, 4, 1000]),
        "optimizer": st.sampled_from(OPTIMIZERS),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "prox_mu": st.sampled_from([0.0, 0.1]),
    },
    optional={"clip_norm": st.just(0.01), "steps": st.sampled_from([1, 7])},
)
task = st.one_of(
    st.just({"model": "linear"}),
    st.just({"model": "mlp", "hidden": [4], "dropout": 0.5}),
    st.just({"statistics": "local"}),
)
server = st.fixed_dictionaries(
    {"optimizer": st.sampled_from(SERVERS), "weights": st.sampled_from(["capped", "equal", "sqrt", "rows"])}
)
baselines = st.fixed_dictionaries(
    {"splits": st.integers(1, 2), "personal_epochs": st.sampled_from([0, 2]), "tune_federation": st.booleans()},
    optional={"train_rows": st.sampled_from([1, 2, 500])},
)
sizes = st.lists(st.sampled_from([1, 2, 3, 5, 12]), min_size=3, max_size=3)


@settings(max_examples=30)
@given(training, task, server, baselines, sizes, st.sampled_from(BEHAVIOURS), st.booleans())
def test_a_report_is_whole_or_there_is_one_typed_error(
    training: dict[str, Any],
    task: dict[str, Any],
    server: dict[str, Any],
    baselines: dict[str, Any],
    sizes: list[int],
    behave: str,
    regression: bool,  # noqa: FBT001 - drawn
) -> None:
    kind = "regression" if regression else "classification"
    files = {org: csv(n, n, kind=kind) for org, n in zip(("ash", "birch", "cedar"), sizes, strict=True)}
    sections = {**(REGRESSION if regression else {}), "training": training, "task": task, "server": server}
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), files, {"cedar": behave}, baselines=baselines, **sections)
        found, code = _outcome(path)
    if found is None:
        assert code not in {None, FedgapError.code}
        return
    json.dumps(found.report, allow_nan=False)
    assert unexplained(found.report) == []
    assert summary(found.report)
    assert page(found.report).lower().startswith("<!doctype html>")


def _outcome(path: Path) -> tuple[Study | None, str | None]:
    """What was found, or the code of the error."""
    try:
        found = simulate(load_federation(path), workers=1, engine="auto", protocol=None, progress=lambda _: None)
    except FedgapError as error:
        return None, error.code
    return found, None


def test_a_training_that_runs_away_without_overflowing_is_an_error_too(tmp_path: Path) -> None:
    """Its parameters are finite, its answers are not sensible; no score is made up for them."""
    with pytest.raises(DivergedError, match="answers with numbers beyond"):
        study(tmp_path, **REGRESSION, training={"lr": 1e16, "clip_norm": 1.0, "rounds": 1})
