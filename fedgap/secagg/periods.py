"""When contributions are opened: a run of T rounds is cut into P periods, and each is settled once.

    T  rounds      P  periods      L  rounds in a period, ceil(T / P)      m  openings, numbers for each organisation

An opening is one linear equation in an organisation's d unknowns, so their number is bounded by the model: at most one
period for ten rounds, and twenty parameters for every opening. A period is settled L rounds after its last one, since
whoever knows a direction early can send it back as an update; what is due at the end waits for the closing exchange.
"""

from dataclasses import dataclass

from fedgap.secagg.errors import BadManifestError

ROUNDS_A_PERIOD = 10
PARAMETERS_AN_OPENING = 20
LEAST_FOR_TWO = 100
"""Parameters below which a second opening, and with it an interval, is not given."""


def most_periods(*, rounds: int, parameters: int, openings: int) -> int:
    """Give the largest P: min(ceil(T / 10), floor(d / (20 m))); 0 means that weights decide instead."""
    return min(-(-rounds // ROUNDS_A_PERIOD), parameters // (PARAMETERS_AN_OPENING * openings))


def most_parts(*, rounds: int, parameters: int, openings: int, periods: int, rosters: int) -> int:
    """Give how often an organisation may be asked under so many rosters: each new one cuts a period in two.

    A cut takes one of the openings that the bound leaves beside the P planned periods; when there is none left, the
    rounds before it are credited by weight.
    """
    most = most_periods(rounds=rounds, parameters=parameters, openings=openings)
    return min(most, periods + rosters - 1)


@dataclass(frozen=True, slots=True)
class Periods:
    """A run cut into periods; both are counted from 1.

    Attributes:
        rounds: T.
        count: P, at least 1.

    Raises:
        BadManifestError: there are no rounds for so many periods.
    """

    rounds: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= max(self.rounds, 0):
            raise BadManifestError(f"{self.rounds} rounds cannot be cut into {self.count} periods.")

    @property
    def length(self) -> int:
        """L: rounds in a period; the last one may be shorter."""
        return -(-self.rounds // self.count)

    def of(self, round_: int) -> int:
        """Which period a round belongs to."""
        return 1 + (round_ - 1) // self.length

    def next(self, begun: int) -> int:
        """The first period of which no round has begun, when so many have; above `count` if there is none."""
        return self.of(begun) + 1

    def rounds_of(self, period: int) -> range:
        """The rounds of a period; empty if the periods before it used them all up."""
        first = (period - 1) * self.length + 1
        return range(first, min(first + self.length, self.rounds + 1))

    def due(self, period: int) -> int | None:
        """The round in which a period may be settled; None: after the closing exchange only."""
        when = (period + 1) * self.length
        return when if when < self.rounds else None
