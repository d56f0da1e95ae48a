"""What a federation may open: how many periods, how many numbers in each, and why not more.

T: rounds. P: periods. d: parameters. m: openings.
"""

from dataclasses import dataclass

from fedgap.config import FederationConfig
from fedgap.config.protocol import Settlement
from fedgap.contribution.errors import NotAttributableError
from fedgap.contribution.steps import ServerStep
from fedgap.errors import FedgapError
from fedgap.secagg.periods import LEAST_FOR_TWO, PARAMETERS_AN_OPENING, ROUNDS_A_PERIOD, most_periods

NEVER = "settlement.periods is 0: contributions are not settled"
ONE_NUMBER = "one number is opened for each organisation and period; settlement.openings = 2 gives an interval"


class TooManyPeriodsError(FedgapError):
    """The configuration asks for more settlements than rounds and model allow."""

    code = "settlement.too-many-periods"
    exit_status = 2

    def __init__(self, *, wanted: int, most: int, rounds: int, parameters: int) -> None:
        super().__init__(
            f"settlement.periods is {wanted}; {rounds} rounds and a model of {parameters} parameters allow {most}.",
            remedy=f"Write at most {most}: one for every {ROUNDS_A_PERIOD} rounds, and "
            f"{PARAMETERS_AN_OPENING} parameters for every opening.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is opened.

    Attributes:
        periods: P; 0 if nothing is opened.
        openings: numbers for each organisation and period.
        nothing: why nothing is opened; empty if something is.
        confirm_exchanges: V, exchanges in which a missing answer may still come.
        no_interval: why values have no interval from openings; empty if they have.
    """

    periods: int
    openings: int
    confirm_exchanges: int = 5
    nothing: str = ""
    no_interval: str = ""


def terms_of(config: FederationConfig, step: ServerStep, *, rounds: int, parameters: int) -> Terms:
    """Say what is opened in a run.

    Args:
        config: what is wanted.
        step: the server's.
        rounds: T.
        parameters: d.

    Raises:
        TooManyPeriodsError: more periods are wanted than there may be.
        NotAttributableError: values are wanted for money, and the server's step does not allow them.
    """
    wanted = config.settlement or Settlement()
    if wanted.periods == 0:
        return Terms(periods=0, openings=1, nothing=NEVER)
    try:
        step.check_openable()
    except NotAttributableError as error:
        if config.settlement is not None or config.federation.policy is not None:
            raise
        return Terms(periods=0, openings=1, nothing=error.cause)
    openings, no_interval = wanted.openings, "" if wanted.openings > 1 else ONE_NUMBER
    if openings > 1 and parameters < LEAST_FOR_TWO:
        openings = 1
    if parameters < LEAST_FOR_TWO:
        no_interval = (
            f"a model of {parameters} parameters allows one opening a period; an interval needs two, and "
            f"{LEAST_FOR_TWO} parameters"
        )
    most = most_periods(rounds=rounds, parameters=parameters, openings=openings)
    if most == 0:
        return Terms(
            periods=0,
            openings=1,
            nothing=f"a model of {parameters} parameters is too small: an opening needs {PARAMETERS_AN_OPENING}",
        )
    if wanted.periods > most:
        raise TooManyPeriodsError(wanted=wanted.periods, most=most, rounds=rounds, parameters=parameters)
    return Terms(
        periods=wanted.periods,
        openings=openings,
        confirm_exchanges=wanted.confirm_exchanges,
        no_interval=no_interval,
    )
