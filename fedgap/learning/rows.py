"""An organisation's rows: what a task loads, what splits cut, what a model is trained on."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


class Data(Sized, Protocol):
    """One organisation's loaded rows, before preprocessing."""

    def take(self, index: Index) -> Self:
        """Keep the rows at these positions, in this order."""
        ...

    def labels(self) -> NDArray[np.generic]:
        """What each row is to predict, shape (n,): class names or numbers; splits stratify by it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows ready for a model; also the `Data` of a task that needs no preprocessing.

    Attributes:
        x: float32, shape (n, ...): one entry a row, finite.
        y: int64 class numbers or float32 targets, shape (n,).
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Index) -> "Rows":
        """Keep the rows at these positions, in this order."""
        return Rows(self.x[index], self.y[index])

    def labels(self) -> NDArray[np.generic]:
        """What each row is to predict, shape (n,)."""
        return self.y


def join(parts: Sequence[Data]) -> Data | None:
    """Put loaded rows of several organisations under one another; None if there are none, or if they have no `join`.

    A `Data` whose rows are prepared one by one may offer `join(parts)`, a class method that takes a sequence of its
    kind. It makes simulations of thousands of organisations possible, and changes no result.
    """
    joining = getattr(type(parts[0]), "join", None) if parts else None
    return None if joining is None else joining(parts)


def concatenate(parts: list[Rows]) -> Rows:
    """Put organisations' rows under one another, in the given order."""
    return Rows(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))
