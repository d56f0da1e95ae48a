"""What a federation may open: how many periods, how many numbers in each, and why not more.

T: rounds. P: periods. d: parameters. m: openings.
"""

from dataclasses import dataclass

from fedgap.config import FederationConfig
from fedgap.config.protocol import DIRECTION_BYTES, Settlement
from fedgap.contribution.errors import NotAttributableError
from fedgap.contribution.steps import ServerStep
from fedgap.errors import FedgapError
from fedgap.secagg.periods import LEAST_FOR_TWO, PARAMETERS_AN_OPENING, ROUNDS_A_PERIOD, Periods, most_periods

NEVER = "settlement.periods is 0: contributions are not settled"
MOST_SHOWN_BYTES = 2**31
"""What one settlement may show an organisation: it is one message, and held several times where it is made and read."""

NOTED_BYTES = 10**8
"""From this size on a report says what a settlement moves."""

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


class TooLargeSettlementError(FedgapError):
    """What one settlement would show each organisation is more than one message can hold."""

    code = "settlement.too-large"
    exit_status = 2

    def __init__(self, *, shown_bytes: int, length: int, enough: int | None) -> None:
        otherwise = "let fewer parameters train (adapters), plan fewer rounds, or write settlement.periods = 0"
        super().__init__(
            f"Settling {length} rounds would show every organisation {shown_bytes / 1e9:.1f} GB at once; "
            f"{MOST_SHOWN_BYTES / 1e9:.1f} GB is the most.",
            remedy=f"Write settlement.periods = {enough}, or more."
            if enough
            else f"Here no number of periods does: {otherwise}.",
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
        shown_bytes: what settling the longest period shows each organisation, in one message.
    """

    periods: int
    openings: int
    confirm_exchanges: int = 5
    nothing: str = ""
    no_interval: str = ""
    shown_bytes: int = 0

    @property
    def size_note(self) -> tuple[str, ...]:
        """What a reader should know of a settlement that is large; empty for others."""
        if self.shown_bytes < NOTED_BYTES:
            return ()
        size = f"{self.shown_bytes / 1e9:.1f} GB"
        return (f"In a deployment settling a period shows every organisation {size} at once, held several times.",)


def terms_of(config: FederationConfig, step: ServerStep, *, rounds: int, parameters: int) -> Terms:
    """Say what is opened in a run.

    Args:
        config: what is wanted.
        step: the server's.
        rounds: T.
        parameters: d.

    Raises:
        TooManyPeriodsError: more periods are wanted than there may be.
        TooLargeSettlementError: a settlement is wanted, and what it shows does not fit a message.
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
    shown = shown_in_one(rounds=rounds, periods=wanted.periods, parameters=parameters, openings=openings)
    if shown > MOST_SHOWN_BYTES:
        large = _too_large(shown, rounds=rounds, periods=wanted.periods, parameters=parameters, openings=openings)
        if config.settlement is not None or config.federation.policy is not None:
            raise large
        return Terms(periods=0, openings=1, nothing=f"{large.cause} {large.remedy}")
    return Terms(
        periods=wanted.periods,
        openings=openings,
        shown_bytes=shown,
        confirm_exchanges=wanted.confirm_exchanges,
        no_interval=no_interval,
    )


def shown_in_one(*, rounds: int, periods: int, parameters: int, openings: int) -> int:
    """Bytes that settling the longest period shows each organisation: two a parameter, round and opening."""
    return DIRECTION_BYTES * parameters * openings * Periods(rounds, min(periods, rounds)).length


def _too_large(shown: int, *, rounds: int, periods: int, parameters: int, openings: int) -> TooLargeSettlementError:
    """Say how many periods would do, if any number does."""
    most = most_periods(rounds=rounds, parameters=parameters, openings=openings)
    enough = (
        count
        for count in range(periods, most + 1)
        if shown_in_one(rounds=rounds, periods=count, parameters=parameters, openings=openings) <= MOST_SHOWN_BYTES
    )
    length = Periods(rounds, min(periods, rounds)).length
    return TooLargeSettlementError(shown_bytes=shown, length=length, enough=next(enough, None))
