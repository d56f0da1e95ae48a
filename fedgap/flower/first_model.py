"""The model that a federation begins with: drawn from its seed, or the one that an earlier federation ended with.

A federation that cannot go on (three members, and a key is lost) loses no finished round this way: a new one begins
with its last model. The plan names that model by its digest, so everybody approves the same.
"""

from fedgap.config import FederationConfig
from fedgap.flower.preparation import Shape
from fedgap.flower.start_file import FILE, StartModelError, named_model
from fedgap.learning.parameters import Vector
from fedgap.learning.task import Task
from fedgap.learning.vector import initial


def first_model(task: Task, shape: Shape, config: FederationConfig) -> Vector:
    """Give w_0: the same bits at the server and at every organisation.

    Args:
        task: the installed one.
        shape: that everybody's model fits.
        config: the plan; its folder is where the file lies.

    Raises:
        StartModelError: the plan begins with a model that is not here.
    """
    drawn = initial(task, shape.like, config.federation.seed)
    if config.federation.start is None:
        return drawn
    path = config.base / FILE
    found = named_model(path, config.federation.start)
    if found.size != drawn.size:
        cause = f"The model in {path} has {found.size} parameters; that of the plan has {drawn.size}."
        raise StartModelError(cause, path=path)
    return found
