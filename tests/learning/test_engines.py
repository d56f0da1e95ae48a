"""The engine that is chosen, the reason that is given, and what happens without torch."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from fedgap.config.task import ImageOptions, TabularOptions
from fedgap.errors import MissingExtraError
from fedgap.learning.engines import Engines, EngineUnavailableError, starting_vector
from fedgap.learning.images import ImageTask
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Rows
from fedgap.learning.tabular import TabularTask
from fedgap.learning.threads import use_one_thread
from fedgap.learning.vector import initial
from tests.learning.test_trial import LIKE, Branches, Own

PLAN = LocalTraining(seed=1, lr=0.1)
TABLE = TabularTask(TabularOptions(label="y"), "classification")
CNN = ImageTask(ImageOptions(model="cnn"))
TABLE_ROWS = Rows(np.zeros((4, 3), np.float32), np.arange(4) % 2)
IMAGE_ROWS = Rows(np.zeros((4, 1, 8, 8), np.float32), np.arange(4) % 2)


@pytest.mark.parametrize(
    ("wanted", "device", "name", "words"),
    [
        ("auto", "auto", "stacked", "stack of linear layers"),
        ("auto", "cpu", "stacked", "stack of linear layers"),
        ("stacked", "cpu", "stacked", "asked for"),
        ("sequential", "cpu", "sequential", "asked for"),
    ],
)
def test_linear_layers_are_stacked_unless_another_engine_is_wanted(
    wanted: str, device: str, name: str, words: str
) -> None:
    engine, why = Engines(wanted, device).open(TABLE, TABLE_ROWS, PLAN)

    assert engine.name == name
    assert words in why


@pytest.mark.parametrize(
    ("wanted", "organisations", "name", "words"),
    [
        ("auto", 3, "sequential", "too few"),
        ("auto", 8, "stacked-autograd", "MFLOP"),
        ("stacked", 3, "stacked-autograd", "asked for"),
        ("processes", 8, "processes", "asked for"),
    ],
)
def test_other_models_are_torch_s(wanted: str, organisations: int, name: str, words: str) -> None:
    engine, why = Engines(wanted, "cpu", organisations=organisations, cores=2).open(CNN, IMAGE_ROWS, PLAN)

    assert engine.name == name
    assert words in why


def test_a_model_that_cannot_be_stacked_is_refused_with_the_reason() -> None:
    with pytest.raises(EngineUnavailableError, match="data-dependent"):
        Engines("stacked").open(Own(Branches), LIKE, PLAN)


def test_a_device_other_than_the_processor_is_torch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(Exception, match="'cuda' is not available here"):
        Engines("auto", "cuda").open(TABLE, TABLE_ROWS, PLAN)


def test_an_engine_is_used_again_for_a_model_of_the_same_form() -> None:
    engines = Engines()
    first, _ = engines.open(TABLE, TABLE_ROWS, PLAN)

    assert engines.open(TABLE, TABLE_ROWS.take(np.arange(2)), PLAN)[0] is first
    assert engines.open(TABLE, Rows(np.zeros((4, 5), np.float32), TABLE_ROWS.y), PLAN)[0] is not first


def test_the_starting_vector_is_torch_s_for_every_model() -> None:
    for task, data in ((TABLE, TABLE_ROWS), (CNN, IMAGE_ROWS)):
        np.testing.assert_array_equal(initial(task, data, 7), starting_vector(task, data, 7))


def test_without_torch_tables_are_trained_and_the_rest_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("fedgap.learning.engines.find_spec", lambda _: None)

    assert Engines().open(TABLE, TABLE_ROWS, PLAN)[0].name == "stacked"
    assert starting_vector(TABLE, TABLE_ROWS, 0).size == 8
    for refused in (
        lambda: Engines().open(CNN, IMAGE_ROWS, PLAN),
        lambda: Engines("sequential").open(TABLE, TABLE_ROWS, PLAN),
        lambda: starting_vector(CNN, IMAGE_ROWS, 0),
    ):
        with pytest.raises(MissingExtraError, match="torch"):
            refused()


def test_one_thread_holds_for_torch_too() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert "torch" in sys.modules
        use_one_thread()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
