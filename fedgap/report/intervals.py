"""A dot and an interval for every organisation and every way to get a model, drawn as SVG.

Horizontal places are per cent of the width and everything else is in pixels: the drawing fits a telephone and a
wide screen without shrinking its words. Every row carries its own label, so colour and shape only help.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fedgap.report import scale
from fedgap.report.fields import MODELS, PLACES, Place, dig, scores_path
from fedgap.report.figures import between, count, is_number, score
from fedgap.report.markup import Html, element, joined
from fedgap.report.names import shortened
from fedgap.report.reasons import DASH, Reasons
from fedgap.report.scale import Scale

_LEFT, _RIGHT = 30.0, 82.0
_AXIS, _HEAD, _ROW, _GAP = 22, 20, 15, 10
_NAME_COLUMNS = 28
_SHAPES = {
    "local": element("circle", r=3.5),
    "federated": element("circle", r=4.5),
    "personalised": element("path", d="M0-5.5 5.5 0 0 5.5-5.5 0z"),
    "pooled": element("rect", x=-4, y=-4, width=8, height=8),
}


def shared_scale(organisations: Sequence[Mapping[str, Any]]) -> Scale:
    """Span one axis for both charts, so that they can be compared."""
    return scale.for_scores(
        value
        for org in organisations
        for place in PLACES
        for model in MODELS
        for value in _shown(org, scores_path(model, place))
    )


def draw(
    organisations: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    place: Place,
    axis: Scale,
    metric: str,
    reasons: Reasons,
) -> Html:
    """Draw the scores on one set of test rows; organisations come in the given order."""
    block = _HEAD + _ROW * len(MODELS) + _GAP
    height = 2 * _AXIS + block * len(organisations)
    blocks = [
        _block(org, names[org["id"]], place, axis, reasons, top=_AXIS + block * position)
        for position, org in enumerate(organisations)
    ]
    label = (
        f"{metric} of {len(organisations)} organisations on {PLACES[place]}, each with a 95 % interval: alone, "
        "federated, personalised and pooled. The tables below hold the same numbers."
    )
    return element(
        "svg", _grid(axis, height), *blocks, class_="chart", role="img", aria_label=label, width="100%", height=height
    )


def _grid(axis: Scale, height: int) -> Html:
    parts = []
    for value, label in axis.ticks():
        x = _x(axis, value)
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=_AXIS - 4, y2=height - _AXIS + 4))
        parts += [
            element("text", label, class_="tick middle", x=x, y=_AXIS - 9),
            element("text", label, class_="tick middle", x=x, y=height - _AXIS + 16),
        ]
    return joined(parts)


def _block(org: Mapping[str, Any], name: str, place: Place, axis: Scale, reasons: Reasons, *, top: int) -> Html:
    rows = f"{count(org['rows'])} {'row' if org['rows'] == 1 else 'rows'}"
    head = [
        element("title", name),
        element("text", shortened(name, _NAME_COLUMNS), class_="name", x=0, y=top + 14),
        element("text", rows, class_="tick end", x="100%", y=top + 14),
    ]
    body = [
        _row(org, name, model, place, axis, reasons, y=top + _HEAD + _ROW * position + _ROW // 2)
        for position, model in enumerate(MODELS)
    ]
    return element("g", *head, *body)


def _row(org: Mapping[str, Any], name: str, model: str, place: Place, axis: Scale, reasons: Reasons, *, y: int) -> Html:
    path = scores_path(model, place)
    value, interval = dig(org, f"{path}.metric"), _interval(org, path)
    word = MODELS[model]
    chosen = " chosen" if org["recommended"] == word else ""
    label = element("text", word, class_=f"model{chosen}", x="2%", y=y + 4)
    if not is_number(value):
        note = element("tspan", f" [{reasons.number(org, f'{path}.metric')}]", class_="tick")
        return joined([label, element("text", DASH, note, class_="end", x="100%", y=y + 4)])
    said = f"{name}, {word}: {score(value)}"
    said += f" (95 % interval {between(interval)})" if interval else " (no interval)"
    parts = [element("title", said), label]
    if interval:
        parts.append(element("line", class_="interval", x1=_x(axis, interval[0]), x2=_x(axis, interval[1]), y1=y, y2=y))
    parts.append(_mark(model, value, axis, y))
    parts.append(element("text", score(value), class_=f"end{chosen}", x="100%", y=y + 4))
    return element("g", *parts, class_=model)


def _mark(model: str, value: float, axis: Scale, y: int) -> Html:
    """The dot; a score below the axis becomes an arrow that points out of it."""
    beyond = value < axis.low - 1e-9 * axis.step
    shape = element("path", d="M-6 0 3-5 3 5z") if beyond else _SHAPES[model]
    return element("svg", shape, class_="mark", x=_x(axis, value), y=y, overflow="visible")


def _interval(org: Mapping[str, Any], path: str) -> list[float]:
    found = dig(org, f"{path}.ci95")
    return list(found) if isinstance(found, list | tuple) and all(map(is_number, found)) else []


def _shown(org: Mapping[str, Any], path: str) -> list[float]:
    value = dig(org, f"{path}.metric")
    return [value, *_interval(org, path)] if is_number(value) else []


def _x(axis: Scale, value: float) -> str:
    return f"{_LEFT + (_RIGHT - _LEFT) * axis.share(value):.2f}%"
