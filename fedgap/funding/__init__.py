"""THE MONEY: from what the ledger says to who is paid what, to the cent, the same on any machine years later.

    policy.py     what the funder decided, signed into the ledger before the first round
    bound.py      what can have been spent while the server waited
    cost.py       claims at the policy's prices, metered up to the server's bounds
    rule.py       THE RULE: costs, equal base, pool by value, caps
    apportion.py  filling up to caps; whole cents that add up
    account.py    the fold over records
    settle.py     a period: paid now, held back, due
    statement.py  as JSON and CSV, byte for byte
    words.py      every number in words, with the entries behind it

All of it is a function of the ledger. docs/money.md says why each rule is there.
"""

from fedgap.funding.account import Account
from fedgap.funding.errors import BadPolicyError, FundingError, NoPolicyError, OtherSettlementError
from fedgap.funding.lines import Line, Settlement
from fedgap.funding.policy import Owner, Policy, Price
from fedgap.funding.settle import follow, settle

__all__ = [
    "Account",
    "BadPolicyError",
    "FundingError",
    "Line",
    "NoPolicyError",
    "OtherSettlementError",
    "Owner",
    "Policy",
    "Price",
    "Settlement",
    "follow",
    "settle",
]
