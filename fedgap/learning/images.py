"""Images as a task: one npz file an organisation, with an array of images and an array of class numbers.

A pixel becomes (value / scale - mean) / deviation, with one mean and deviation a channel: those of the configuration,
everyone's, or the organisation's own (`task.statistics`).
"""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedgap.config.task import ImageOptions
from fedgap.learning import moments
from fedgap.learning.faults import (
    DifferentShapesError,
    InfiniteNumberError,
    MissingArrayError,
    NoRowsError,
    NotAnArchiveError,
    NothingToLearnError,
    UnknownLabelError,
    WrongArrayError,
)
from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.moments import Moments, Numbers
from fedgap.learning.rows import Data, Index, Rows
from fedgap.learning.scores import UNKNOWN
from fedgap.learning.table import LARGEST, read_bytes
from fedgap.learning.task import Kind, Task

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]

CHANNELS = (1, 3)
"""Grey or colour."""

MOST_CLASSES = 10_000
"""Unless task.classes says otherwise; a larger label is no class number but something else."""

_BROKEN = (ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise on a file that is cut off, damaged, encrypted, pickled or larger than memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """One organisation's images.

    Attributes:
        source: the file's folder and name, for notes and errors.
        pixels: as in the file, shape (n, c, h, w).
        classes: class number of each, int64, shape (n,).
    """

    source: str
    pixels: Array
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, index: Index) -> "Images":
        """Keep the images at these positions, in this order."""
        return Images(self.source, self.pixels[index], self.classes[index])

    def labels(self) -> NDArray[np.generic]:
        """Class number of each image, shape (n,)."""
        return self.classes

    @classmethod
    def join(cls, parts: "Sequence[Images]") -> "Images":
        """Put images of the same shape under one another."""
        pixels = np.concatenate([part.pixels for part in parts])
        return cls("all organisations", pixels, np.concatenate([part.classes for part in parts]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageStatistics:
    """Statistics of some images.

    Attributes:
        source: the file, for messages; of several, the first.
        rows: how many images.
        shape: (c, h, w) of each.
        present: sorted class numbers.
        pixels: moments of the channels after `scale`; of no pixel with given statistics.
    """

    source: str
    rows: int
    shape: tuple[int, ...]
    present: tuple[int, ...]
    pixels: Moments


class ImageTask(Task):
    """Classification of images, one npz file an organisation."""

    kind: Kind = "classification"

    def __init__(self, options: ImageOptions) -> None:
        self.options = options

    def load(self, source: Path) -> Images:
        """Read an organisation's npz file.

        Raises:
            DataError: it cannot be used (`fedgap.learning.faults`).
        """
        pixels, classes = _arrays(source, self.options.images, self.options.labels)
        pixels, classes = _as_images(pixels, source), _as_classes(classes, source)
        if len(pixels) != len(classes):
            raise WrongArrayError(f"{source} has {len(pixels)} images and {len(classes)} labels.")
        if len(pixels) == 0:
            raise NoRowsError(f"{source} has no images.")
        wrong = (classes < 0) | (classes >= (self.options.classes or MOST_CLASSES))
        if wrong.any():
            raise UnknownLabelError(
                f"{source}: {int(wrong.sum())} of {len(classes)} labels are no class number.",
                remedy="Number the classes from 0, or raise task.classes.",
            )
        return Images(str(Path(*source.parts[-2:])), pixels, classes)

    def statistics(self, data: Data) -> ImageStatistics:
        """Sum up one organisation's training images."""
        images = _images(data)
        channels = images.pixels.shape[1]
        counted = images.pixels[:0] if self.options.statistics == "given" else images.pixels
        values = np.moveaxis(self._scaled(counted), 1, -1).reshape(-1, channels)
        return ImageStatistics(
            source=images.source,
            rows=len(images),
            shape=images.pixels.shape[1:],
            present=tuple(sorted(set(images.classes.tolist()))),
            pixels=moments.moments(values),
        )

    def merge(self, parts: Sequence[ImageStatistics]) -> ImageStatistics:
        """Put several organisations' statistics together.

        Raises:
            DifferentShapesError: their images do not have the same shape.
            NothingToLearnError: there are several organisations and all their images have the same class.
        """
        first = parts[0]
        for part in parts[1:]:
            if part.shape != first.shape:
                raise DifferentShapesError(
                    f"Images (c, h, w) of {part.source} are {part.shape}, those of {first.source} {first.shape}."
                )
        present = tuple(sorted({number for part in parts for number in part.present}))
        rows = sum(part.rows for part in parts)
        if len(parts) > 1 and len(present) == 1:
            raise NothingToLearnError(f"All {rows} training images of all organisations have the same class.")
        pixels = moments.merge([part.pixels for part in parts])
        return ImageStatistics(source=first.source, rows=rows, shape=first.shape, present=present, pixels=pixels)

    def alone(self, shared: ImageStatistics, own: ImageStatistics) -> ImageStatistics:
        """Statistics of an organisation that trains alone: its own moments, everyone's classes."""
        return replace(own, present=shared.present)

    def prepare(self, data: Data, shared: ImageStatistics, own: ImageStatistics) -> Rows:
        """Scale pixels; a class that no training image has becomes -1.

        Returns:
            x float32, shape (n, c, h, w), finite; y int64.

        Raises:
            InfiniteNumberError: a scaled pixel does not fit a float32.
        """
        images = _images(data)
        mean, scale = self._scaling(shared, own)
        x = (self._scaled(images.pixels) - mean[:, None, None]) / scale[:, None, None]
        if np.abs(x).max(initial=0.0) > np.finfo(np.float32).max:
            raise InfiniteNumberError(f"{images.source}: a pixel is too large once it is scaled.")
        y = np.where(np.isin(images.classes, shared.present), images.classes, UNKNOWN)
        return Rows(x.astype(np.float32), y.astype(np.int64))

    def describe(self, shared: ImageStatistics, own: ImageStatistics) -> Mapping[str, Any]:
        """Say how an image becomes a model's input, and how many classes there are."""
        mean, scale = self._scaling(shared, own)
        return {
            "shape": list(shared.shape),
            "divided_by": self.options.scale,
            "means": mean.tolist(),
            "sds": scale.tolist(),
            "classes": self.options.classes or max(shared.present) + 1,
        }

    def notes(self, data: Data, shared: ImageStatistics, own: ImageStatistics) -> list[str]:
        """Say in plain words what `prepare` had to work around in these images."""
        classes = _images(data).classes
        absent = sorted({*shared.present} - {*own.present})
        unknown = int((~np.isin(classes, shared.present)).sum())
        constant = self.options.statistics != "given" and bool(self._known(shared, own).constant.any())
        found = [
            f"No training image here has the class {', '.join(map(str, absent))}." if absent else "",
            f"{unknown} images have a class that no training image has; any answer is wrong." if unknown else "",
            "A channel has the same value in every pixel of every training image." if constant else "",
        ]
        return [note for note in found if note]

    def model(self, rows: Rows) -> "nn.Module":
        """Build the network.

        Args:
            rows: of everyone who trains together; unless task.classes says how many classes, they are counted.
        """
        from fedgap.learning import models  # noqa: PLC0415 - torch is loaded when a model is built

        stack = self.stack(rows)
        if stack is not None:
            return models.module_of(stack)
        channels, height, width = rows.x.shape[1:]
        return models.cnn(channels, (height, width), self._classes(rows), self.options.channels, self.options.dropout)

    def stack(self, rows: Rows) -> LinearStack | None:
        """Describe the linear model or the mlp; None for the cnn."""
        options, inputs = self.options, math.prod(rows.x.shape[1:])
        if options.model == "cnn":
            return None
        hidden = () if options.model == "linear" else options.hidden
        return LinearStack(
            widths=(inputs, *hidden, self._classes(rows)), dropout=options.dropout if hidden else 0.0, loss="softmax"
        )

    def _classes(self, rows: Rows) -> int:
        return self.options.classes or max(2, int(rows.y.max(initial=0)) + 1)

    def _scaled(self, pixels: Array) -> Numbers:
        return pixels.astype(np.float64) / self.options.scale

    def _known(self, shared: ImageStatistics, own: ImageStatistics) -> Moments:
        return (own if self.options.statistics == "local" else shared).pixels

    def _scaling(self, shared: ImageStatistics, own: ImageStatistics) -> tuple[Numbers, Numbers]:
        """What to take from each channel and what to divide it by; shapes (c,)."""
        if self.options.statistics == "given":
            channels = shared.shape[0]
            return np.full(channels, self.options.mean), np.full(channels, self.options.std)
        known = self._known(shared, own)
        return known.mean, known.scale


def _arrays(path: Path, *names: str) -> tuple[Array, ...]:
    """Read arrays from an npz file; nothing pickled is ever opened, because that could run code."""
    content = read_bytes(path)
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise NotAnArchiveError(f"{path} is no npz archive, or only a part of one.")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            absent = [name for name in names if name not in archive.files]
            if absent:
                there = ", ".join(sorted(archive.files)) or "none"
                raise MissingArrayError(f"{path} has no array {absent[0]}; its arrays: {there}.")
            return tuple(np.asarray(archive[name]) for name in names)
    except _BROKEN as error:
        raise NotAnArchiveError(
            f"{path} is damaged, holds something else than plain arrays, or does not fit into memory."
        ) from error


def _as_images(pixels: Array, path: Path) -> Array:
    if pixels.dtype.kind not in "uifb" or pixels.ndim not in {3, 4} or 0 in pixels.shape[1:]:
        raise WrongArrayError(f"{path}: images are {pixels.dtype} of shape {pixels.shape}.")
    if pixels.ndim == 3:  # noqa: PLR2004 - (n, h, w): grey
        pixels = pixels[:, None]
    if pixels.shape[1] not in CHANNELS:
        raise WrongArrayError(f"{path}: images have {pixels.shape[1]} channels.")
    if pixels.dtype.kind == "f":
        wrong = int((~(np.abs(pixels.astype(np.float64)) <= LARGEST)).sum())
        if wrong:
            raise InfiniteNumberError(
                f"{path}: {wrong} of {pixels.size} pixels are NaN, infinite or too large.",
                remedy="Correct these pixels, or leave their images out.",
            )
    return pixels


def _as_classes(labels: Array, path: Path) -> NDArray[np.int64]:
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels  # noqa: PLR2004 - (n, 1): a column
    if flat.dtype.kind not in "ui" or flat.ndim != 1:
        raise WrongArrayError(f"{path}: labels are {labels.dtype} of shape {labels.shape}.")
    return flat.astype(np.int64)


def _images(data: Data) -> Images:
    if not isinstance(data, Images):
        raise TypeError(f"an ImageTask prepares what it loaded, Images, not {type(data).__name__}")
    return data
