"""Exact numbers as people and programs read them: no rounding that is not said, no float on the way."""

from fractions import Fraction

PLACES = 9


def money(amount: int, digits: int) -> str:
    """Minor units in the currency's own unit: 123456 with 2 digits is 1234.56."""
    if digits == 0:
        return str(amount)
    sign, units = "-" if amount < 0 else "", abs(amount)
    return f"{sign}{units // 10**digits}.{units % 10**digits:0{digits}d}"


def shown_money(amount: int, digits: int, currency: str) -> str:
    """The same for people: 1,234.56 EUR."""
    whole, point, rest = money(abs(amount), digits).partition(".")
    return f"{'-' if amount < 0 else ''}{int(whole):,}{point}{rest} {currency}"


def decimal(value: Fraction, places: int = PLACES) -> str:
    """A fraction, cut off behind so many places (towards zero), so that it is the same everywhere: 0.333333333."""
    sign, units = "-" if value < 0 else "", abs(value).numerator * 10**places // abs(value).denominator
    if units == 0:
        sign = ""
    return f"{sign}{units // 10**places}.{units % 10**places:0{places}d}" if places else f"{sign}{units}"


def percent(value: Fraction) -> str:
    """A part of 1, to a tenth of a per cent, cut off: 12.5 %."""
    return f"{decimal(100 * value, 1)} %"
