"""What the server's step makes of an organisation's part: linear for every rule, refused where it is not in time."""

import numpy as np
import pytest

from fedgap.contribution.errors import NotAttributableError
from fedgap.contribution.steps import Momentum, ServerStep, elementwise_step
from fedgap.ids import OrgId
from fedgap.learning import server
from fedgap.learning.server import ServerRule

ORGS = [OrgId("a"), OrgId("b"), OrgId("c")]
RULES = [
    ServerRule(optimizer="fedavg", lr=0.7),
    ServerRule(optimizer="fedavgm", lr=0.7, momentum=0.6),
    ServerRule(optimizer="fedadagrad", lr=0.1, beta1=0.0),
    ServerRule(optimizer="fedadam", lr=0.1, beta1=0.9),
    ServerRule(optimizer="fedyogi", lr=0.1, beta1=0.5),
]


def step_of(rule: ServerRule) -> ServerStep:
    return ServerStep(optimizer=rule.optimizer, lr=rule.lr, momentum=rule.momentum, beta1=rule.beta1, tau=rule.tau)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.optimizer)
def test_the_parts_of_the_organisations_add_up_to_the_servers_own_step(rule: ServerRule) -> None:
    """Over several rounds, with momentum, and with an organisation that is absent in one of them."""
    draw = np.random.default_rng(1)
    state = server.begin(draw.normal(size=6).astype(np.float32))
    books = Momentum(rule=step_of(rule))
    for round_ in range(4):
        present = ORGS if round_ != 2 else ORGS[:2]
        updates = {org: draw.normal(size=6) for org in present}
        before = state.model.astype(np.float64)
        state = server.step(rule, state, np.sum(list(updates.values()), axis=0))
        parts = books.add(updates)
        moved = elementwise_step(step_of(rule), state.second[:]) * np.sum(list(parts.values()), axis=0)
        assert before + moved == pytest.approx(state.model.astype(np.float64), abs=1e-6)


def test_an_absent_organisation_keeps_its_part_of_the_momentum() -> None:
    books = Momentum(rule=ServerStep(optimizer="fedavgm", momentum=0.5))
    books.add({ORGS[0]: np.ones(2), ORGS[1]: np.zeros(2)})
    assert books.add({ORGS[1]: np.ones(2)})[ORGS[0]] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    "step",
    [
        ServerStep(optimizer="fedavg"),
        ServerStep(optimizer="fedavgm", momentum=0.0),
        *(ServerStep(optimizer=name, beta1=0.0) for name in ("fedadagrad", "fedadam", "fedyogi")),
    ],
    ids=lambda step: step.optimizer,
)
def test_rules_that_are_linear_when_applied_may_be_opened(step: ServerStep) -> None:
    step.check_openable()


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (ServerStep(optimizer="fedavgm", momentum=0.9), "server.momentum = 0.9"),
        (ServerStep(optimizer="fedadam", beta1=0.1), "server.beta1 = 0.1"),
    ],
)
def test_a_rule_that_carries_updates_over_is_refused_where_one_number_is_opened(step: ServerStep, key: str) -> None:
    with pytest.raises(NotAttributableError, match=key) as refused:
        step.check_openable()
    assert "fedavg" in refused.value.remedy
