"""Numbers as people read them: one function per unit. Nothing here rounds what is stored, only what is shown."""

import math
from collections.abc import Sequence

_MINUTE_S, _HOUR_S = 60, 3600


def is_number(value: object) -> bool:
    """Tell whether `value` can be shown as a number: neither null, nor text, nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def score(value: float) -> str:
    """A score or an error, to three decimals: 0.953."""
    shown = f"{value:.3f}" if abs(value) < 1e6 else f"{value:.3e}"  # noqa: PLR2004 - wider does not fit a column
    return "0.000" if shown == "-0.000" else shown


def signed(value: float) -> str:
    """A difference of scores with its sign: +0.056."""
    shown = score(value)
    return shown if shown.startswith("-") or shown == "0.000" else f"+{shown}"


def between(interval: Sequence[float]) -> str:
    """An interval of scores: 0.910 to 0.980."""
    low, high = interval
    return f"{score(low)} to {score(high)}"


def between_signed(interval: Sequence[float]) -> str:
    """An interval of differences: -0.010 to +0.080."""
    low, high = interval
    return f"{signed(low)} to {signed(high)}"


def finely_signed(value: float) -> str:
    """A part of a gain, which many share, to four decimals: +0.0035."""
    shown = f"{value:+.4f}"
    return "0.0000" if float(shown) == 0 else shown


def between_finely_signed(interval: Sequence[float]) -> str:
    """An interval of parts of a gain: +0.0021 to +0.0049."""
    low, high = interval
    return f"{finely_signed(low)} to {finely_signed(high)}"


def percent(value: float) -> str:
    """A ratio of 1 as per cent: 92 %."""
    shown = f"{100 * value:.0f}"
    return "0 %" if shown == "-0" else f"{shown} %"


def fine_percent(value: float) -> str:
    """A share of the whole, to a tenth: 12.5 %."""
    return f"{100 * value:.1f} %"


def count(value: float) -> str:
    """A number of things: 12,345."""
    return f"{value:,.0f}"


def seconds(value: float) -> str:
    """A duration: 0.42 s, 42 s, 2 min 05 s, 1 h 03 min."""
    if value < 10:  # noqa: PLR2004 - below, hundredths matter
        return f"{value:.2f} s"
    whole = round(value)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"


def size(value: float) -> str:
    """Bytes in steps of a thousand: 992 B, 1.2 kB, 34.5 MB."""
    return f"{value:.0f} B" if value < 999.5 else _scaled(value, "B")  # noqa: PLR2004 - rounds to 1000


def joules(value: float) -> str:
    """Energy in steps of a thousand: 5.0 J, 1.2 kJ."""
    return f"{value:.1f} J" if value < 999.95 else _scaled(value, "J")  # noqa: PLR2004 - rounds to 1000


def _scaled(value: float, unit: str) -> str:
    for prefix in ("k", "M", "G"):
        value /= 1000
        if value < 999.95:  # noqa: PLR2004 - rounds to 1000
            return f"{value:.1f} {prefix}{unit}"
    return f"{value / 1000:,.1f} T{unit}"


def setting(value: object) -> str:
    """A setting as a person would write it: yes, 0.01, clinic-1, clinic-2."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(setting, value)) or "none"
    return str(value)
