"""A federation in one TOML file: read, checked as a whole, explained key by key."""

from fedgap.config.baselines import Baselines
from fedgap.config.federation import Federation, FederationConfig
from fedgap.config.load import load_federation, parse_federation
from fedgap.config.organisation import Behaviour, Organisation
from fedgap.config.problems import ConfigError, NotTomlError, UnreadableConfigError
from fedgap.config.protocol import Evaluation, SecAgg, Settlement
from fedgap.config.section import Problem
from fedgap.config.task import CustomOptions, ImageOptions, TabularOptions, TaskOptions
from fedgap.config.training import Server, Training

__all__ = [
    "Baselines",
    "Behaviour",
    "ConfigError",
    "CustomOptions",
    "Evaluation",
    "Federation",
    "FederationConfig",
    "ImageOptions",
    "NotTomlError",
    "Organisation",
    "Problem",
    "SecAgg",
    "Server",
    "Settlement",
    "TabularOptions",
    "TaskOptions",
    "Training",
    "UnreadableConfigError",
    "load_federation",
    "parse_federation",
]
