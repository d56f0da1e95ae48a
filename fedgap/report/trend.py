"""One number over the rounds, drawn as a line in SVG; gaps stay gaps."""

from collections.abc import Sequence

from fedgap.report import scale
from fedgap.report.figures import count, is_number, score
from fedgap.report.markup import Html, element, joined
from fedgap.report.scale import Scale

Point = tuple[int, float | None]
"""A round (0 is the untrained model) and its number."""

_HEIGHT, _TOP, _BOTTOM = 190, 16, 156
_LEFT, _RIGHT = 15.0, 96.0
_FEW = 50
_UNITS = 1000


def draw(points: Sequence[Point], name: str) -> Html:
    """Draw `name` by round; with few rounds every one has its dot and its tooltip, else the first and the last."""
    known = [(at, value) for at, value in points if value is not None and is_number(value)]
    upright = scale.around([value for _, value in known], intervals=4)
    first, last = points[0][0], points[-1][0]
    across = Scale(first, max(last, first + 1), 1)
    label = f"{name} by round"
    if known:
        (begun, start), (ended, end) = known[0], known[-1]
        label += f": {score(start)} in round {begun}, {score(end)} in round {ended}"
    dots = known if len(known) <= _FEW else [known[0], known[-1]]
    return element(
        "svg",
        _grid(upright),
        _rounds(first, last),
        _line(points, across, upright),
        *(_dot(at, value, across, upright) for at, value in dots),
        class_="chart trend",
        role="img",
        aria_label=label,
        width="100%",
        height=_HEIGHT,
    )


def _grid(upright: Scale) -> Html:
    parts = []
    for value, label in upright.ticks():
        y = _y(upright, value)
        parts.append(element("line", class_="grid", x1=f"{_LEFT:g}%", x2=f"{_RIGHT:g}%", y1=y, y2=y))
        parts.append(element("text", label, class_="tick end", x=f"{_LEFT - 2:g}%", y=y + 4))
    return joined(parts)


def _rounds(first: int, last: int) -> Html:
    middle = element("text", "round", class_="tick middle", x=f"{(_LEFT + _RIGHT) / 2:g}%", y=_HEIGHT - 14)
    left = element("text", count(first), class_="tick middle", x=f"{_LEFT:g}%", y=_HEIGHT - 14)
    right = element("text", count(last), class_="tick middle", x=f"{_RIGHT:g}%", y=_HEIGHT - 14)
    return joined([left, middle, right] if last > first else [left, middle])


def _line(points: Sequence[Point], across: Scale, upright: Scale) -> Html:
    """The line in a box of its own units, stretched to the width there is; the stroke is not stretched."""
    pieces: list[list[str]] = [[]]
    for at, value in points:
        if value is None or not is_number(value):
            pieces.append([])
        else:
            pieces[-1].append(f"{_UNITS * across.share(at):.1f},{_UNITS * (1 - upright.share(value)):.1f}")
    lines = [element("polyline", points=" ".join(piece), class_="line") for piece in pieces if len(piece) > 1]
    return element(
        "svg",
        *lines,
        x=f"{_LEFT:g}%",
        y=_TOP,
        width=f"{_RIGHT - _LEFT:g}%",
        height=_BOTTOM - _TOP,
        viewBox=f"0 0 {_UNITS} {_UNITS}",
        preserveAspectRatio="none",
        overflow="visible",
    )


def _dot(at: int, value: float, across: Scale, upright: Scale) -> Html:
    title = element("title", f"round {count(at)}: {score(value)}")
    x = f"{_LEFT + (_RIGHT - _LEFT) * across.share(at):.2f}%"
    return element("circle", title, class_="point", cx=x, cy=_y(upright, value), r=3.5)


def _y(upright: Scale, value: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * upright.share(value), 1)
