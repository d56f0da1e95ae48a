"""The `[baselines]` section: what the federation is compared with, and how carefully."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from fedgap.config.section import Problem, Section


class Baselines(Section):
    """What the federation is compared with: training alone, pooled training, fine-tuning.

    Exactly one of `test_fraction` and `train_rows` is not None.
    """

    splits: int = Field(
        default=10, ge=1, description="how often each organisation's rows are split into training and test rows anew"
    )
    train_rows: int | None = Field(
        default=None,
        ge=1,
        description="rows of each organisation to train on, the rest for testing; in place of `test_fraction`",
        json_schema_extra={"unit": "rows", "default_text": "not used"},
    )
    test_fraction: float | None = Field(
        default_factory=lambda known: None if known.get("train_rows") is not None else 0.4,
        gt=0,
        lt=1,
        description="share of an organisation's rows that is kept for testing",
        json_schema_extra={"default_text": "0.4, unless `train_rows` is given"},
    )
    split: Literal["stratified", "random"] | None = Field(
        default=None,
        description="whether a split keeps the shares of the classes",
        json_schema_extra={"default_text": '"stratified" for classification, "random" for regression'},
    )
    folds: int = Field(
        default=5, ge=2, description="parts of the training rows for cross-validation, which chooses lr and epochs"
    )
    lrs: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(),
        max_length=100,
        description="learning rates that cross-validation tries",
        json_schema_extra={"default_text": "`training.lr` times 0.3, 1 and 3"},
    )
    epochs: int = Field(
        default=100,
        ge=1,
        description="most epochs of training alone and of pooled training; cross-validation chooses how many",
        json_schema_extra={"unit": "epochs"},
    )
    tune_federation: bool = Field(
        default=False, description="let cross-validation choose the federation's learning rate and rounds too"
    )
    personal_epochs: int = Field(
        default=20,
        ge=0,
        description="most epochs in which an organisation fine-tunes the common model for itself; 0: none",
        json_schema_extra={"unit": "epochs"},
    )
    bootstrap: int = Field(
        default=1000, ge=200, description="resamples behind each 95 % interval", json_schema_extra={"unit": "resamples"}
    )

    def broken_rules(self) -> Iterator[Problem]:
        """Training and test rows are told apart in one way, and no learning rate is tried twice."""
        if self.test_fraction is not None and self.train_rows is not None:
            yield Problem("train_rows", "Both train_rows and test_fraction are given.", "Keep one of the two.")
        for lr in sorted({lr for lr in self.lrs if self.lrs.count(lr) > 1}):
            yield Problem("lrs", f"It names {lr:g} {self.lrs.count(lr)} times.", "Name it once.")
