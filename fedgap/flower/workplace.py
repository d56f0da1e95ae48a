"""What an organisation works with at home: its rows, its installed task, and training, which is the simulation's.

Split 0 of the simulation is the split of a deployment, drawn from the study seed and the organisation's name: the same
rows train here as in `fedgap simulate` of the same configuration, so that both give the same model, bit for bit.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgap.config import FederationConfig, parse_federation
from fedgap.config.site import Limits
from fedgap.errors import FedgapError
from fedgap.flower import plainvalues
from fedgap.flower.course import plan_digest
from fedgap.flower.meter import Meter
from fedgap.flower.preparation import own_shape, own_statistics
from fedgap.ids import OrgId
from fedgap.learning.device import GpuUse, limit_gpu
from fedgap.learning.faults import MissingFileError
from fedgap.learning.local import train
from fedgap.learning.parameters import Vector
from fedgap.learning.plan import LocalTraining
from fedgap.learning.rows import Data, Rows
from fedgap.learning.task import DataError, Task
from fedgap.learning.threads import use_threads
from fedgap.learning.vector import FlatModel, build, pick_device
from fedgap.secagg.encoding import Contribution
from fedgap.simulation.aggregate import LOSS
from fedgap.simulation.federate import local_training
from fedgap.simulation.sites import load_rows, open_task, split_plan

_STRIPE = 2**17
_MOST_KEPT = 10**6
"""Up to so many parameters the model is kept between two rounds, with its gradient; building it takes longer."""


class NotPreparedError(FedgapError):
    """Training was asked for before it is known how rows become numbers."""

    code = "client.not-prepared"
    remedy = "The server asks for statistics and shape first; if this recurs, ask its operator."


def told(document: dict[str, Any], base: Path) -> FederationConfig:
    """Read the federation that a server tells about: its file without anybody's data.

    Args:
        document: `FederationConfig.document()`.
        base: where a task of one's own may lie, beside what is installed.

    Raises:
        ConfigError: it is no configuration.
    """
    return parse_federation(document, base=base, name="The server's federation", deployed=True)


@dataclass(slots=True, kw_only=True)
class Workplace:
    """Rows and training of one organisation.

    Attributes:
        config: the federation's plan.
        org: who we are.
        source: our file.
        limits: threads, device, GPU share.
        meter: counts what loading and training cost.
        shared: merged statistics as bytes, once they are known.
        evaluation_data: our copy of public evaluation rows, if we have one.
    """

    config: FederationConfig
    org: OrgId
    source: Path
    limits: Limits
    meter: Meter
    shared: bytes | None = None
    evaluation_data: Path | None = None
    _task: Task | None = field(default=None, repr=False)
    _own: Data | None = field(default=None, repr=False)
    _rows: Rows | None = field(default=None, repr=False)
    _model: FlatModel | None = field(default=None, repr=False)

    @property
    def task(self) -> Task:
        """The locally installed task.

        Raises:
            TaskNotFoundError: it is not installed.
        """
        if self._task is None:
            self._task = open_task(self.config)
        return self._task

    @property
    def plan(self) -> bytes:
        """Digest of the settings that were approved."""
        return plan_digest(self.config.document())

    def training_data(self) -> Data:
        """Load our file and keep the rows that train: split 0.

        Raises:
            DataError: it cannot be used.
        """
        if self._own is None:
            with self.meter.phase("load"):
                data = self._loaded()
                trains, _ = split_plan(self.config, self.task).split(data, self.org, 0)
                self._own = data.take(trains)
        return self._own

    def _loaded(self) -> Data:
        """Load our file; what is wrong with it is said in words of site.toml, the one file that is ours to correct."""
        try:
            return load_rows(self.task, self.source, self.org)
        except MissingFileError as error:
            error.remedy = "Correct `data` under [site] in site.toml, or put the file there."
            raise
        except DataError as error:
            error.remedy = error.remedy.replace("fedgap config check", "fedgap client check")
            if "task." in error.remedy or "[task]" in error.remedy:
                error.remedy += " [task] stands in the federation's plan, which is its operator's to change."
            raise

    def statistics(self) -> bytes:
        """Sum up our training rows, as the server may see them."""
        return own_statistics(self.task, self.training_data(), self.org)

    def prepare(self, shared: bytes) -> bytes:
        """Turn our training rows into numbers with everybody's statistics, and tell their shape."""
        with self.meter.phase("load"):
            if shared != self.shared:
                self._rows = self._model = None
            self.shared = shared
            return own_shape(self.rows())

    def rows(self) -> Rows:
        """Our training rows, ready for the model.

        Raises:
            NotPreparedError: nobody told the merged statistics yet.
        """
        if self.shared is None:
            raise NotPreparedError("Everybody's statistics are not known here yet.")
        if self._rows is None:
            data = self.training_data()
            with self.meter.phase("load"):
                self._rows = self.task.prepare(data, plainvalues.read(self.shared), self.task.statistics(data))
        return self._rows

    def contribute(self, start: Vector, like: Rows, round_number: int) -> Contribution:
        """Train one round from the common model.

        Args:
            start: float32, shape (d,).
            like: a row of the shape that everybody's model fits.
            round_number: from 1.

        Returns:
            the update, local minus common parameters, and the training loss.

        Raises:
            DivergedError: the training ran away; nothing may be sent.
        """
        rows = self.rows()
        with self.meter.phase("train"):
            use_threads(self.limits.threads)
            wanted = self.config.training.device if self.limits.device == "auto" else self.limits.device
            device = pick_device(wanted)
            limit_gpu(device, self.limits.gpu_share)
            if self._model is None:
                self._model = build(self.task, like, device)
            began = time.perf_counter()
            with GpuUse(device) as used:
                trained = train(self._model, start, rows, self.training, self.org, round_number)
            if used.peak_bytes is not None:
                self.meter.held_gpu(seconds=time.perf_counter() - began, peak_bytes=used.peak_bytes)
            update = _minus(trained.vector, start)
            if update.size > _MOST_KEPT:
                self._model = None  # twice the model in memory, until the next round
        none = np.zeros(0, np.float32)
        return Contribution(update=update, statistics=none, metrics={LOSS.name: trained.loss})

    def preprocessing(self) -> Mapping[str, Any]:
        """Say how our rows become numbers; kept with the model.

        Raises:
            NotPreparedError: nobody told the merged statistics yet.
        """
        if self.shared is None:
            raise NotPreparedError("Everybody's statistics are not known here yet.")
        return self.task.describe(plainvalues.read(self.shared), self.task.statistics(self.training_data()))

    @property
    def training(self) -> LocalTraining:
        """How we train."""
        return local_training(self.config)


def _minus(trained: NDArray[np.float32] | NDArray[np.float64], start: Vector) -> Vector:
    """Subtract in float64 and round to float32 once, as the simulation does, in stripes and in place."""
    update = trained if trained.dtype == np.float32 else np.empty(trained.size, np.float32)
    for at in range(0, trained.size, _STRIPE):
        part = slice(at, at + _STRIPE)
        update[part] = trained[part].astype(np.float64) - start[part].astype(np.float64)
    return update.astype(np.float32, copy=False)
