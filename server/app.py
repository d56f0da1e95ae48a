"""The entry that Flower's own commands look for; README.md says what it is good for. All of it is in fedgap.flower."""  # noqa: INP001 - a folder of files to copy, not a package

from fedgap.flower.server_app import app

__all__ = ["app"]
