"""The `[training]` and `[server]` sections: how each organisation learns, and what becomes of the sum of updates."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from fedgap.config.section import Problem, Section


class Training(Section):
    """What every organisation does in every round.

    Exactly one of `epochs` and `steps` is not None.
    """

    rounds: int = Field(ge=1, description="how often the organisations train and their updates are added")
    steps: int | None = Field(
        default=None,
        ge=1,
        description="batches in a round, in place of `epochs`",
        json_schema_extra={"unit": "batches", "default_text": "not used"},
    )
    epochs: int | None = Field(
        default_factory=lambda known: None if known.get("steps") is not None else 1,
        ge=1,
        description="passes over an organisation's own training rows in a round",
        json_schema_extra={"unit": "passes", "default_text": "1, unless `steps` is given"},
    )
    batch_size: int = Field(default=16, ge=1, description="rows in a batch", json_schema_extra={"unit": "rows"})
    optimizer: Literal["sgd", "momentum", "nesterov", "adam", "adamw"] = Field(
        default="sgd", description="how a gradient becomes a step"
    )
    lr: float = Field(gt=0, description="learning rate of an organisation's steps")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of the optimizers momentum and nesterov")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="decay of the mean gradient, adam and adamw")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="decay of the mean squared gradient, adam and adamw")
    epsilon: float = Field(default=1e-8, gt=0, description="added to the root of that mean, adam and adamw")
    weight_decay: float = Field(
        default=0.0, ge=0, description="pull of the weights towards 0: added to the gradient, or apart from it in adamw"
    )
    clip_norm: float | None = Field(
        default=None,
        gt=0,
        description="longest L2 norm of the gradient of a step; a longer one is scaled down",
        json_schema_extra={"default_text": "no limit"},
    )
    prox_mu: float = Field(
        default=0.0, ge=0, description="FedProx: pull of the weights towards the round's common model; 0: none"
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="epochs without improvement on the held-out rows after which an organisation stops; 0: never",
        json_schema_extra={"unit": "epochs"},
    )
    holdout: float = Field(
        default=0.2, gt=0, lt=0.5, description="share of its training rows it holds out for that, if `patience` > 0"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="where the arithmetic runs; auto: cuda, else mps, else cpu"
    )

    def broken_rules(self) -> Iterator[Problem]:
        """A round is measured in epochs or in steps, and early stopping counts epochs."""
        if self.epochs is not None and self.steps is not None:
            yield Problem("steps", "Both steps and epochs are given.", "Keep one of the two.")
        if self.patience and self.epochs is None:
            yield Problem("patience", "Early stopping counts epochs, and the round is given in steps.", "Use epochs.")


class Server(Section):
    """How the weighted mean of the updates moves the common model."""

    optimizer: Literal["fedavg", "fedavgm", "fedadam", "fedadagrad", "fedyogi"] = Field(
        default="fedavg", description="how the mean update becomes a step of the common model"
    )
    lr: float = Field(default=1.0, gt=0, description="learning rate of that step; 1 with fedavg: the mean model")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of fedavgm")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="decay of the mean update, fedadam, fedadagrad, fedyogi")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="decay of the mean squared update, fedadam and fedyogi")
    tau: float = Field(
        default=1e-3, gt=0, description="adaptivity: added to the root of that mean, fedadam, fedadagrad, fedyogi"
    )
    weights: Literal["capped", "equal", "sqrt", "rows"] = Field(
        default="capped",
        description="an organisation's weight in the mean: its training rows, at most 3 times the median; the same for "
        "all; the square root of its rows; its rows",
    )
