"""Before the first round: how rows become numbers, agreed between organisations that do not show their rows.

    statistics  server asks for the sums of the training rows that the task's preprocessing needs; merges them
    shape       server sends the merged ones; each organisation prepares its rows with them and tells their shape

From task, statistics, shape and seed everybody computes the same model and the same w_0. The statistics of one
organisation (for a table: counts, means, squared deviations, names of levels and classes) are seen by the server, not
by the other organisations; all see the merged ones. A client says so before its organisation joins.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fedgap.crypto import BadBytesError, digest
from fedgap.crypto.codec import Count, Hash, pack, unpack
from fedgap.errors import FedgapError
from fedgap.flower import plainvalues
from fedgap.flower.plainvalues import StatisticsError
from fedgap.ids import OrgId
from fedgap.learning.images import ImageStatistics
from fedgap.learning.moments import Moments
from fedgap.learning.rows import Data, Rows
from fedgap.learning.table_statistics import TableStatistics
from fedgap.learning.task import DataError, Task

MOST_CLASSES, MOST_INPUTS = 1 << 20, 1 << 28
"""No model is built for more: what one member says must not take all memory of the others."""


class DifferentShapesError(FedgapError):
    """The rows of an organisation do not look like the others'."""

    code = "flower.different-shapes"
    remedy = "Compare its columns, or the size of its images, with the federation's; then let it enrol again."


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStatistics:
    """Body of a request `statistics`: for which settings (`course.plan_digest`)."""

    KIND: ClassVar[str] = "ask-statistics/1"

    plan: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Body of its answer.

    Attributes:
        rows: how many rows train; the organisation's weight follows from it unless the operator wrote one down.
        content: `plainvalues.write` of the task's statistics of these rows.
    """

    KIND: ClassVar[str] = "statistics/1"

    rows: Count
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AskShape:
    """Body of a request `shape`: the merged statistics, as `plainvalues.write` wrote them."""

    KIND: ClassVar[str] = "ask-shape/1"

    plan: Hash
    shared: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Body of its answer: what a model must fit.

    Attributes:
        inputs: shape of one prepared row.
        classes: whether targets are class numbers.
        largest: the largest class number, -1 if there is none.
    """

    KIND: ClassVar[str] = "shape/1"

    inputs: tuple[Count, ...]
    classes: bool
    largest: int

    @property
    def like(self) -> Rows:
        """One row of this shape, from which a task builds its model."""
        y = np.array([max(self.largest, 0)]) if self.classes else np.zeros(1, np.float32)
        return Rows(np.zeros((1, *self.inputs), np.float32), y)


def own_statistics(task: Task, data: Data, org: OrgId) -> bytes:
    """Answer a request `statistics`: sum up one's own training rows; the file's name stays at home.

    Args:
        task: the locally installed one.
        data: training rows of split 0, as `fedgap.simulation.sites` cuts them.
        org: who we are; stands where a message would name the file.
    """
    found = needed(task, task.statistics(data))
    if hasattr(found, "source"):
        found = replace(found, source=str(org))
    return pack(Statistics(rows=len(data), content=plainvalues.write(found)))


def needed(task: Task, own: Any) -> Any:  # noqa: ANN401 - each task has its own statistics
    """Keep of the statistics what others need: where everybody scales by itself, or by given numbers, no moments."""
    chosen = getattr(getattr(task, "options", None), "statistics", "federated")
    if chosen == "federated":
        return own
    if isinstance(own, TableStatistics):
        return replace(own, numeric=_blank(own.numeric))
    return replace(own, pixels=_blank(own.pixels)) if isinstance(own, ImageStatistics) else own


def _blank(moments: Moments) -> Moments:
    """Moments of as many columns, of no cell."""
    zero = np.zeros_like(moments.mean)
    return Moments(count=np.zeros_like(moments.count), mean=zero, rest=zero, squares=zero)


def merged(task: Task, parts: Mapping[OrgId, bytes]) -> bytes:
    """Merge organisations' statistics, in name order as a simulation does; the result is everybody's.

    Raises:
        StatisticsError: an answer is none, or they are not of one kind.
        DataError: the files do not fit together.
    """
    return plainvalues.write(_merge(task, [_content(parts[org]) for org in sorted(parts)]))


def check_statistics(task: Task, answer: bytes) -> None:
    """Let an answer `statistics` through that this task can merge: one that breaks it must not end the server.

    Raises:
        StatisticsError: it is none, or there are no rows.
    """
    rows_of(answer)
    content = _content(answer)
    try:
        _merge(task, [content, content])  # of one alone a task may hand back what it was given
    except DataError as error:
        raise StatisticsError("An organisation's statistics do not hold together.") from error


def _merge(task: Task, parts: list[Any]) -> Any:  # noqa: ANN401 - each task has its own statistics
    try:
        return task.merge(parts)
    except FedgapError:
        raise
    except Exception as error:  # what a member sends may break a task's own code in any way
        raise StatisticsError("The statistics are not those of the federation's task.") from error


def rows_of(answer: bytes) -> int:
    """Read from an answer `statistics` how many rows train.

    Raises:
        StatisticsError: it is none, or there are no rows.
    """
    rows: int = _read(Statistics, answer).rows
    if rows == 0:
        raise StatisticsError("An organisation has no row to train on.")
    return rows


def own_shape(rows: Rows) -> bytes:
    """Answer a request `shape` from one's own prepared training rows."""
    classes = rows.y.dtype.kind == "i"
    largest = int(rows.y.max(initial=-1)) if classes else -1
    return pack(Shape(inputs=rows.x.shape[1:], classes=classes, largest=largest))


def read_shape(content: bytes) -> Shape:
    """Read a shape.

    Raises:
        StatisticsError: it is none, or one that nobody works with.
    """
    shape: Shape = _read(Shape, content)
    if not -1 <= shape.largest < MOST_CLASSES or math.prod(shape.inputs) > MOST_INPUTS:
        raise StatisticsError("A shape of rows is not one that anybody works with.")
    return shape


def merged_shape(parts: Mapping[OrgId, bytes]) -> Shape:
    """Find the shape that fits every organisation.

    Raises:
        StatisticsError: an answer is none.
        DifferentShapesError: there is no such shape.
    """
    shapes = {org: read_shape(parts[org]) for org in sorted(parts)}
    first, *_ = shapes.values()
    for org, shape in shapes.items():
        if (shape.inputs, shape.classes) != (first.inputs, first.classes):
            raise DifferentShapesError(f"The rows of {org} have another shape than those of {next(iter(shapes))}.")
    return replace(first, largest=max(shape.largest for shape in shapes.values()))


def model_digest(plan: bytes, shared: bytes, shape: Shape) -> bytes:
    """Name how rows become numbers and which model they go into: the manifest's `model`."""
    return digest("model", plan, digest("shared-statistics", shared), pack(shape))


def _content(answer: bytes) -> Any:  # noqa: ANN401 - each task has its own statistics
    return plainvalues.read(_read(Statistics, answer).content)


def _read(cls: type[Any], answer: bytes) -> Any:  # noqa: ANN401 - the class decides
    try:
        return unpack(cls, answer)
    except BadBytesError as error:
        raise StatisticsError("What came are no statistics.") from error
