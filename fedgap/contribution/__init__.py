"""What each organisation's updates were worth: from the path of the model to a value, an interval and a share.

    direction   v^t and r^t of a round: what its updates are multiplied with    -> secagg opens <x_i, v>, one number
    steps       what the server's optimiser does to an organisation's part      -> attributed, or refused
    value       the sum over a period's rounds, and who gets what of the gain
    window      which rounds count
    interval    how sure a value is: two halves of the validation rows, or a bootstrap over them
    discrepancy how far a share lies from one by retraining everybody's coalitions
    share       from values to shares: who contributes, base, pool, ownership groups, balances
    games, oracles   what others compute, for comparison: Shapley values, FedSV, GTG, leave-one-out, cosine

Pure: gradients come in as a `Utility`, numbers go out. No torch, no clock, no randomness but the public counter hash.
"""

from fedgap.contribution.direction import Direction, Utility, direction
from fedgap.contribution.steps import ServerStep, elementwise_step

__all__ = ["Direction", "ServerStep", "Utility", "direction", "elementwise_step"]
