"""The organisations of a simulation, with their data loaded, split and prepared as each would do at home."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedgap import counter
from fedgap.config import FederationConfig, Organisation
from fedgap.config.task import CustomOptions, ImageOptions, TabularOptions
from fedgap.errors import FedgapError, MissingExtraError
from fedgap.ids import OrgId
from fedgap.learning.images import ImageTask
from fedgap.learning.rows import Data, Index, Rows
from fedgap.learning.tabular import TabularTask
from fedgap.learning.task import DataError, Kind, Task
from fedgap.simulation.splits import SplitPlan


class TaskNotFoundError(FedgapError):
    """The task named in the configuration cannot be imported."""

    code = "task.not-found"
    remedy = "Install its package here, or put its module beside the configuration file."
    exit_status = 2


def open_task(config: FederationConfig) -> Task:
    """Make the task that the configuration names.

    Raises:
        TaskNotFoundError: no such module or class, it is no `Task`, or it refuses the options of [task].
    """
    options = config.task
    if isinstance(options, TabularOptions):
        kind: Kind = "regression" if config.federation.task == "tabular-regression" else "classification"
        return TabularTask(options, kind)
    if isinstance(options, ImageOptions):
        return ImageTask(options)
    return _own_task(config, options)


def _own_task(config: FederationConfig, options: CustomOptions) -> Task:
    module_name, _, class_name = config.federation.task.partition(":")
    beside = str(config.base.resolve())
    if beside not in sys.path:
        sys.path.append(beside)
    try:
        kind = getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise MissingExtraError(extra="torch", needed_for=f"The task {config.federation.task}") from error
        raise TaskNotFoundError(f"The task {config.federation.task} cannot be made ({error}).") from error
    except Exception as error:  # somebody else's code may fail in any way
        raise _not_made(config, error) from error
    if not (isinstance(kind, type) and issubclass(kind, Task)):  # before it is called: a plan may name any function
        raise TaskNotFoundError(f"{class_name} is no fedgap Task.", remedy="Let it inherit from fedgap.learning.Task.")
    try:
        return kind(**options.options)
    except Exception as error:  # same
        raise _not_made(config, error) from error


def _not_made(config: FederationConfig, error: Exception) -> TaskNotFoundError:
    return TaskNotFoundError(f"The task {config.federation.task} cannot be made ({type(error).__name__}: {error}).")


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """One organisation with its loaded rows.

    Attributes:
        organisation: as configured.
        source: whose rows these are: itself, or the organisation it copies.
        data: all its rows.
    """

    organisation: Organisation
    source: OrgId
    data: Data

    @property
    def org(self) -> OrgId:
        """Its identifier."""
        return self.organisation.id


def load_sites(config: FederationConfig, task: Task) -> tuple[Site, ...]:
    """Load every organisation's file, in name order.

    Raises:
        DataError: a file cannot be used; the organisation is named.
    """
    loaded: dict[OrgId, Data] = {}
    sites = []
    for organisation in sorted(config.organisations, key=lambda o: o.id):
        source = organisation.behave.of or organisation.id
        if source not in loaded:
            loaded[source] = _load(config, task, organisation)
        sites.append(Site(organisation, source, loaded[source]))
    return tuple(sites)


def _load(config: FederationConfig, task: Task, organisation: Organisation) -> Data:
    return load_rows(task, config.data_of(organisation), organisation.behave.of or organisation.id)


def load_rows(task: Task, file: Path, source: OrgId) -> Data:
    """Load an organisation's file, and refuse what a task of one's own may have let through.

    Raises:
        DataError: it cannot be used; the organisation is named.
    """
    data = task.load(file)
    if len(data) == 0:
        raise DataError(f"The file of organisation {source} holds no rows.")
    if not isinstance(data, Rows):
        return data
    finite = np.isfinite(data.x.reshape(len(data), -1)).all(axis=1) & np.isfinite(data.y)
    if not finite.all():
        raise DataError(f"{int((~finite).sum())} rows of organisation {source} hold numbers that are not finite.")
    if task.kind == "classification" and (data.y.dtype.kind != "i" or data.y.min() < 0):
        raise DataError(
            f"The labels of organisation {source} are no class numbers.",
            remedy="Let the task's load return class numbers from 0, as int64.",
        )
    return data


def check_files(config: FederationConfig) -> tuple[dict[OrgId, int], list[FedgapError]]:
    """Load every organisation's file and try whether they fit together; nothing is trained.

    Returns:
        rows of each file that can be used, and everything that is wrong.
    """
    task = open_task(config)
    loaded: dict[OrgId, Data] = {}
    wrong: list[FedgapError] = []
    for organisation in sorted(config.organisations, key=lambda o: o.id):
        if organisation.behave.of is None:
            try:
                loaded[organisation.id] = _load(config, task, organisation)
            except FedgapError as error:
                wrong.append(error)
    if not wrong:
        try:
            task.merge([task.statistics(data) for data in loaded.values()])
        except FedgapError as error:
            wrong.append(error)
    return {org: len(data) for org, data in loaded.items()}, wrong


def split_plan(config: FederationConfig, task: Task) -> SplitPlan:
    """Read from the configuration how rows are split; classes keep their share unless it says otherwise."""
    chosen = config.baselines.split or ("stratified" if task.kind == "classification" else "random")
    return SplitPlan(
        seed=config.federation.seed,
        test_fraction=config.baselines.test_fraction,
        train_rows=config.baselines.train_rows,
        stratified=chosen == "stratified",
    )


@dataclass(frozen=True, slots=True, eq=False)
class SplitSites:
    """The organisations' rows under one split, and the statistics of the training rows.

    Attributes:
        number: of the split, from 0.
        train: training rows by organisation, in name order.
        test: test rows, likewise.
        test_index: positions of the test rows in the organisation's data.
        own: statistics of each organisation's training rows.
        shared: these merged.
        noise: part of the training labels that is wrong, of those that were told to behave so.
        seed: of the study, for which labels these are.
    """

    task: Task
    number: int
    train: Mapping[OrgId, Data]
    test: Mapping[OrgId, Data]
    test_index: Mapping[OrgId, Index]
    own: Mapping[OrgId, Any]
    shared: Any
    noise: Mapping[OrgId, float]
    seed: int

    def training(self, org: OrgId, view: str) -> Rows:
        """An organisation's training rows, prepared.

        Args:
            org: whose rows.
            view: `federated` (as the configuration says), `alone` (own statistics) or `pooled` (everyone's).
        """
        rows = self.prepare(self.train[org], org, view)
        share = self.noise.get(org, 0.0)
        return _relabelled(rows, share, self.task.kind, counter.key(self.seed, "noise", str(org))) if share else rows

    def testing(self, org: OrgId, view: str, at: OrgId) -> Rows:
        """An organisation's test rows as the site `at` would prepare them for its model (see `training`)."""
        return self.prepare(self.test[org], org if view == "federated" else at, view)

    def target_scale(self, view: str, at: OrgId) -> tuple[float, float]:
        """Mean and scale of the targets under a view at a site."""
        return self.task.target_scale(*self._statistics(at, view))

    def prepare(self, data: Data, at: OrgId, view: str) -> Rows:
        """Any rows, as the site `at` prepares them (see `training`)."""
        return self.task.prepare(data, *self._statistics(at, view))

    def _statistics(self, at: OrgId, view: str) -> tuple[Any, Any]:
        if view == "alone":
            return self.task.alone(self.shared, self.own[at]), self.own[at]
        return self.shared, self.shared if view == "pooled" else self.own[at]


def split_sites(config: FederationConfig, task: Task, sites: tuple[Site, ...], number: int) -> SplitSites:
    """Split every organisation's rows; a copy has the training and test rows of the organisation it copies."""
    plan = split_plan(config, task)
    cut = {site.org: plan.split(site.data, site.source, number) for site in sites}
    return arrange(config, task, sites, cut, number)


def arrange(
    config: FederationConfig,
    task: Task,
    sites: tuple[Site, ...],
    cut: Mapping[OrgId, tuple[Index, Index]],
    number: int,
) -> SplitSites:
    """Take a given split, training and test positions for each organisation, and sum up its training rows."""
    train = {site.org: site.data.take(cut[site.org][0]) for site in sites}
    own = {org: task.statistics(data) for org, data in train.items()}
    return SplitSites(
        task=task,
        number=number,
        train=train,
        test={site.org: site.data.take(cut[site.org][1]) for site in sites},
        test_index={org: test for org, (_, test) in cut.items()},
        own=own,
        shared=task.merge(list(own.values())),
        noise={
            site.org: site.organisation.behave.share
            for site in sites
            if site.organisation.behave.kind == "noise" and site.organisation.behave.share
        },
        seed=config.federation.seed,
    )


def _relabelled(rows: Rows, share: float, kind: Kind, key: int) -> Rows:
    """Give a share of the rows a wrong label: another class, or another of these rows' targets."""
    count = round(share * len(rows))
    chosen = counter.permutation(key, len(rows))[:count]
    y = rows.y.copy()
    if kind == "regression":
        y[chosen] = y[np.roll(chosen, 1)]
    else:
        classes = int(rows.y.max()) + 1
        step = 1 + counter.words(counter.key(key, "class"), count) % max(1, classes - 1)
        y[chosen] = (rows.y[chosen] + step.astype(np.int64)) % max(2, classes)
    return Rows(rows.x, y)
