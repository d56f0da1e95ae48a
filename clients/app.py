"""The entry that Flower's own commands look for: trainings of a simulation; README.md says what is weaker."""  # noqa: INP001 - a folder of files to copy, not a package

from fedgap.flower.simulation import app

__all__ = ["app"]
