"""The server's step against the same formulas written with Python's own numbers, coordinate by coordinate."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.ids import OrgId
from fedgap.learning.engine import Update
from fedgap.learning.server import ServerRule, ServerState, begin, mean_update, step, step_in_parts

RULES = ("fedavg", "fedavgm", "fedadam", "fedadagrad", "fedyogi")
numbers = st.floats(-100, 100, width=32)
NAMES = [OrgId(name) for name in ("a", "b", "c", "d", "e")]


def update(org: OrgId, delta: list[float]) -> Update:
    """An organisation's update."""
    return Update(org=org, delta=np.array(delta), steps=1, loss=0.0, cpu_seconds=0.0, wall_seconds=0.0)


def by_hand(rule: ServerRule, w: float, xs: list[float]) -> float:
    """One coordinate through several rounds, as in the papers; the model is rounded to float32 after each."""
    m = v = 0.0
    for x in xs:
        if rule.optimizer == "fedavg":
            change = rule.lr * x
        elif rule.optimizer == "fedavgm":
            m = rule.momentum * m + x
            change = rule.lr * m
        else:
            m = rule.beta1 * m + (1 - rule.beta1) * x
            if rule.optimizer == "fedadagrad":
                v = v + x * x
            elif rule.optimizer == "fedadam":
                v = rule.beta2 * v + (1 - rule.beta2) * (x * x)
            else:
                sign = (v > x * x) - (v < x * x)
                v = v - (1 - rule.beta2) * (x * x) * sign
            change = rule.lr * m / (math.sqrt(v) + rule.tau)
        w = float(np.float32(w + change))
    return w


@pytest.mark.parametrize("optimizer", RULES)
@given(start=st.lists(numbers, min_size=1, max_size=4), data=st.data())
def test_every_rule_is_its_formula_to_the_bit(optimizer: str, start: list[float], data: st.DataObject) -> None:
    rule = ServerRule(optimizer=optimizer, lr=0.7, momentum=0.8, beta1=0.85, beta2=0.97, tau=1e-3)
    rounds = data.draw(st.lists(st.lists(numbers, min_size=len(start), max_size=len(start)), min_size=1, max_size=4))

    state = begin(np.array(start, np.float32))
    for mean in rounds:
        state = step(rule, state, np.array(mean))

    expected = [by_hand(rule, w, [mean[i] for mean in rounds]) for i, w in enumerate(start)]
    assert state.model.dtype == np.float32
    assert state.model.tolist() == expected


def test_yogi_moves_its_second_moment_towards_the_square_from_either_side() -> None:
    """Zaheer et al. 2018: v <- v - (1 - beta2) x^2 sign(v - x^2)."""
    rule = ServerRule(optimizer="fedyogi", beta2=0.9)
    one = np.zeros(2, np.float32)
    state = ServerState(model=one, first=np.zeros(2), second=np.array([10.0, 1.0]))

    assert step(rule, state, np.array([2.0, 2.0])).second[:].tolist() == pytest.approx([10 - 0.4, 1 + 0.4])


def test_a_step_changes_none_of_what_it_was_given() -> None:
    state, mean = begin(np.ones(3, np.float32)), np.ones(3)
    for optimizer in RULES:
        step(ServerRule(optimizer=optimizer), state, mean)

    assert (state.model.tolist(), state.first[:].tolist(), state.second[:].tolist()) == ([1] * 3, [0] * 3, [0] * 3)
    assert mean.tolist() == [1] * 3


@pytest.mark.parametrize("optimizer", RULES)
def test_a_mean_update_of_zero_leaves_a_fresh_model_alone(optimizer: str) -> None:
    model = np.array([0.1, -2.5], np.float32)

    assert step(ServerRule(optimizer=optimizer), begin(model), np.zeros(2)).model.tolist() == model.tolist()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="fedmagic"):
        step(ServerRule(optimizer="fedmagic"), begin(np.zeros(1, np.float32)), np.zeros(1))


@given(
    deltas=st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=5, max_size=5),
    order=st.permutations(range(5)),
    parts=st.lists(st.integers(1, 50), min_size=5, max_size=5),
)
def test_the_mean_update_has_the_same_bits_in_any_order(
    deltas: list[list[float]], order: list[int], parts: list[int]
) -> None:
    weight = {name: Fraction(part, sum(parts)) for name, part in zip(NAMES, parts, strict=True)}
    updates = [update(name, delta) for name, delta in zip(NAMES, deltas, strict=True)]

    mean = mean_update(updates, weight)

    assert mean.tobytes() == mean_update([updates[i] for i in order], weight).tobytes()
    for i in range(3):
        total = 0.0
        for name, delta in zip(NAMES, deltas, strict=True):
            total += float(weight[name]) * delta[i]
        assert mean[i] == total


def test_those_who_are_absent_leave_their_weight_to_the_others() -> None:
    weight = {NAMES[0]: Fraction(1, 2), NAMES[1]: Fraction(1, 8), NAMES[2]: Fraction(3, 8)}

    mean = mean_update([update(NAMES[2], [4.0]), update(NAMES[1], [8.0])], weight)

    assert mean.tolist() == [0.25 * 8 + 0.75 * 4]


def test_a_single_update_is_its_own_mean() -> None:
    assert mean_update([update(NAMES[0], [0.1, -3.0])], {NAMES[0]: Fraction(1, 7)}).tolist() == [0.1, -3.0]


@pytest.mark.parametrize("optimizer", RULES)
def test_a_step_in_parts_gives_the_same_bits(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedgap.learning.server._STRIPE", 7)
    rng, rule = np.random.default_rng(1), ServerRule(optimizer=optimizer, lr=0.3)
    whole = parts = begin(rng.normal(size=50).astype(np.float32))
    for _ in range(3):
        mean = rng.normal(size=50)
        whole = step(rule, whole, mean)
        parts = step_in_parts(rule, parts, mean.__getitem__)

    for name in ("model", "first", "second"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))
        assert getattr(whole, name).dtype == getattr(parts, name).dtype
