"""fedgap: federated learning for organisations that each have too little data.

Importing this package is cheap: neither torch nor flwr is loaded until a command needs it.
"""

from fedgap.errors import FedgapError
from fedgap.ids import FederationId, OrgId

__version__ = "0.1.0"

__all__ = ["FederationId", "FedgapError", "OrgId", "__version__"]
