"""What can be wrong with a policy in a ledger, or with a settlement."""

from fedgap.errors import FedgapError


class FundingError(FedgapError):
    """The ledger does not hold what a statement needs."""

    code = "funding.incomplete"
    remedy = "See `fedgap ledger show LEDGER`; nothing was written."


class NoPolicyError(FundingError):
    """The ledger has no policy, so nothing can be divided."""

    code = "funding.no-policy"
    remedy = 'Name a policy in federation.toml before the first round: [federation] policy = "policy.toml".'
    exit_status = 2


class BadPolicyError(FundingError):
    """The policy in the ledger is not readable, or contradicts itself."""

    code = "funding.bad-policy"
    remedy = "It was written by another version of fedgap, or made up."


class OtherSettlementError(FundingError):
    """A settlement in the ledger is not what the entries before it give."""

    code = "funding.other-settlement"
    remedy = "Whoever settled used other rules or made a mistake: show this to the funder. Do not pay by it."
