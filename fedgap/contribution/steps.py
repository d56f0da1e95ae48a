"""What the server's step makes of one organisation's part of the mean update: a factor for each parameter.

    X  weighted mean update     x_i  organisation i's part, sum x_i = X     s  the step: w' = w + s * X, element-wise

For fedavg s is the learning rate. The adaptive rules divide by a root of past squares, which is one and the same for
everybody and known when the step is applied: with beta1 = 0 they are as linear in X as fedavg. With momentum a round's
step holds updates of rounds before; that is divided among the organisations where single updates may be seen
(`Momentum`), and refused where only one number a period is opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedgap.contribution.errors import NotAttributableError
from fedgap.ids import OrgId

Array = NDArray[np.float64]
ADAPTIVE = ("fedadagrad", "fedadam", "fedyogi")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStep:
    """The server's rule, as far as dividing its step needs it.

    Attributes:
        optimizer: fedavg, fedavgm, fedadam, fedadagrad or fedyogi.
        lr: eta.
        momentum: of fedavgm.
        beta1: decay of the adaptive rules' average of X.
        tau: added to the root in their denominator.
    """

    optimizer: str = "fedavg"
    lr: float = 1.0
    momentum: float = 0.0
    beta1: float = 0.0
    tau: float = 1e-3

    @property
    def memory(self) -> tuple[float, float]:
        """How much of the running mean update stays, and how much of X enters it."""
        if self.optimizer == "fedavgm":
            return self.momentum, 1.0
        if self.optimizer in ADAPTIVE:
            return self.beta1, 1.0 - self.beta1
        return 0.0, 1.0

    def check_openable(self) -> None:
        """Let a rule through whose step is known, element by element, when it is applied.

        Raises:
            NotAttributableError: it carries earlier updates over.
        """
        kept, _ = self.memory
        if kept != 0:
            name = "server.momentum" if self.optimizer == "fedavgm" else "server.beta1"
            raise NotAttributableError(
                f"With {self.optimizer} and {name} = {kept:g} a round's step holds updates of earlier rounds, so one "
                "opened number for each organisation and period does not say whose they were."
            )


def elementwise_step(rule: ServerStep, second: Array) -> float | Array:
    """Give s, so that the running mean update m moves the model by s * m.

    Args:
        rule: the server's.
        second: its running squares after the round's update, float64, shape (d,); the adaptive rules need them.

    Returns:
        one number, or shape (d,).
    """
    if rule.optimizer in ADAPTIVE:
        return np.asarray(rule.lr / (np.sqrt(second) + rule.tau), dtype=np.float64)
    return rule.lr


@dataclass(slots=True)
class Momentum:
    """Whose updates the server's running mean update is made of; for simulation and plain federations only.

    Attributes:
        rule: the server's.
        parts: each organisation's part of the running mean update, float64, shape (d,).
    """

    rule: ServerStep
    parts: dict[OrgId, Array] = field(default_factory=dict, repr=False)

    def add(self, updates: Mapping[OrgId, Array]) -> Mapping[OrgId, Array]:
        """Take in one round's parts of X; give the parts of what now moves the model, absent organisations included."""
        kept, enters = self.rule.memory
        if kept == 0:
            return updates
        for org in updates.keys() | self.parts.keys():
            before = self.parts.get(org)
            part = enters * updates[org] if org in updates else np.zeros_like(before)
            self.parts[org] = part if before is None else kept * before + part
        return self.parts
