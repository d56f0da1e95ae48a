"""Tasks, local training, server optimisers and engines: everything that learns.

A task of your own needs `Task` and `Rows` (see `fedgap.learning.task` for a complete example). torch is loaded when
a model is built, not when this package is imported.
"""

from fedgap.learning.linear_stack import LinearStack
from fedgap.learning.rows import Data, Rows
from fedgap.learning.task import DataError, Task

__all__ = ["Data", "DataError", "LinearStack", "Rows", "Task"]
