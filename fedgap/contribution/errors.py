"""What can go wrong when contributions are estimated."""

from fedgap.errors import FedgapError


class NotAttributableError(FedgapError):
    """The server's step cannot be divided among the organisations when it is applied."""

    code = "contribution.not-attributable"
    remedy = (
        'Use server.optimizer = "fedavg" or "fedadagrad", or "fedadam" or "fedyogi" with beta1 = 0. In a simulation '
        "every optimiser is attributed."
    )
    exit_status = 2


class UtilityError(FedgapError):
    """The utility cannot be measured or differentiated on these rows."""

    code = "contribution.utility"
    remedy = "Look at the validation rows: there must be at least one, and the model must answer with finite numbers."


class ShareRuleError(FedgapError):
    """The numbers given to the share rule do not belong together."""

    code = "contribution.share-rule"
    remedy = "Give every organisation a weight, and lambda and floor between 0 and 1."
    exit_status = 2


class TooManyCoalitionsError(FedgapError):
    """Exact Shapley values need one training or evaluation for every set of organisations."""

    code = "contribution.too-many-coalitions"
    remedy = "Use at most 12 organisations, or the path value, which needs none of them."
    exit_status = 2
