"""The funder's policy in a simulated federation: signed before round 1, and followed when a period is settled."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedgap.config import FederationConfig
from fedgap.config.policy import load_policy
from fedgap.errors import FedgapError
from fedgap.funding import Policy, follow, settle
from fedgap.funding.statement import statement_digest
from fedgap.records import FundingSettled, PolicySigned, Record


class PolicyPeriodsError(FedgapError):
    """The policy has budgets for other periods than the federation settles."""

    code = "policy.periods"
    exit_status = 2

    def __init__(self, *, budgets: int, periods: int) -> None:
        super().__init__(
            f"The policy has {budgets} periods; settlement.periods of the federation is {periods}.",
            remedy="Give each settlement period one budget: write as many [[period]] as settlement.periods.",
        )


class PolicyOwnersError(FedgapError):
    """The policy gives an owner to organisations that the federation does not have."""

    code = "policy.owners"
    remedy = "Correct the ids under [[owner]]: an organisation that is not named there is paid as its own owner."
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Money:
    """A policy that applies from the first period on."""

    policy: Policy

    @property
    def signed(self) -> PolicySigned:
        """Its record, signed by the server for the funder."""
        return PolicySigned(version=1, policy=self.policy.data, from_period=1)

    def settled(self, records: Sequence[Record], period: int) -> FundingSettled:
        """Divide a period's budget by what is on record.

        Raises:
            FundingError: the records do not allow it.
        """
        found = settle(follow(enumerate(records)), period)
        return found.record(statement_digest(found))


def money_of(config: FederationConfig) -> Money | None:
    """Read the policy that a federation names; None if it names none.

    Raises:
        ConfigError: it cannot be used.
        PolicyPeriodsError: its budgets are for other periods.
        PolicyOwnersError: it gives an owner to somebody who is not in the federation.
    """
    if config.federation.policy is None:
        return None
    policy = Policy.of_config(load_policy(config.base / config.federation.policy))
    periods = max(1, 1 if config.settlement is None else config.settlement.periods)
    if len(policy.budgets) != periods:
        raise PolicyPeriodsError(budgets=len(policy.budgets), periods=periods)
    strangers = sorted(policy.owned().keys() - {organisation.id for organisation in config.organisations})
    if strangers:
        raise PolicyOwnersError(f"The federation has no {', '.join(strangers)}, to whom the policy gives an owner.")
    return Money(policy)
