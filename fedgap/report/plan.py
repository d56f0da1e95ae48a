"""The plan of a federation as a page: the answer, cost against utility with intervals, and every cell behind it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fedgap.report import scale
from fedgap.report.figures import between, count, fine_percent, score
from fedgap.report.markup import Html, element, joined
from fedgap.report.scale import Scale
from fedgap.report.shell import shell
from fedgap.report.tables import Column, table

_HEIGHT, _TOP, _BOTTOM = 340, 16, 290
_LEFT, _RIGHT = 10.0, 97.0

COLUMNS = (
    Column("cost", numeric=False),
    Column("organisations"),
    Column("part of their rows"),
    Column("labelled rows"),
    Column("rounds"),
    Column("utility"),
    Column("95 %"),
)

METHOD = (
    "Cost: what the policy's prices give for counted processor time, labelled rows and declared labour. Utility: mean "
    "over the draws, each with other organisations, rows and seeds; the interval is that of the mean (Student's t). "
    "Updates were added in plain floats."
)


def plan_words(plan: Mapping[str, Any]) -> list[str]:
    """Say in sentences what to plan."""
    chosen, wanted = plan["chosen"], plan["wanted"]
    asked = (
        f"To reach a utility of {wanted['target']:g}"
        if wanted["target"] is not None
        else f"With a budget of {wanted['budget_shown']}"
    )
    part = "all of their" if chosen["rows_part"] == 1 else f"{fine_percent(chosen['rows_part'])} of their"
    bought = (
        f"{asked}: {count(chosen['organisations'])} organisations with {part} labelled rows ({count(chosen['rows'])} "
        f"in all) and {count(chosen['rounds'])} rounds, for {chosen['cost_shown']}."
    )
    reached = (
        f"That gave a utility of {score(chosen['utility'])} ({between(chosen['utility_ci95'])}) on "
        f"{plan['evaluation']}, over {count(plan['draws'])} draws."
    )
    if wanted["target"] is not None:
        return [bought, reached]
    return [
        bought,
        reached,
        "Nothing within the budget was better by more than one standard error; of what is as good, this costs least.",
    ]


def plan_page(plan: Mapping[str, Any]) -> str:
    """Show a whole plan.json as one HTML file that needs nothing else; nothing is computed here."""
    name = plan["federation"]["name"]
    answer = element(
        "section", element("h2", "The answer"), *(element("p", w) for w in plan_words(plan)), class_="answer"
    )
    picture = element(
        "section",
        element("h2", "What more money brings"),
        element("p", "Line: no cheaper federation is better. Dots: all others. Ring: the answer.", class_="quiet"),
        draw(plan),
    )
    rows = [_row(cell) for cell in plan["frontier"]]
    every = [_row(cell) for cell in sorted(plan["cells"], key=lambda cell: (cell["cost"], cell["rounds"]))]
    best = table("Federations that no cheaper one beats", COLUMNS, [[row] for row in rows], stacked=True)
    tables = element("section", best)
    details = element(
        "details",
        element("summary", "Every simulated federation"),
        table("All cells, cheapest first", COLUMNS, [[row] for row in every]),
    )
    how = element("section", element("h2", "How it was found"), element("p", METHOD), _prices(plan))
    header = element("header", element("h1", f"A plan for {name}"))
    return shell(f"{name} - fedgap plan", [header, answer, picture, tables, details, how])


def draw(plan: Mapping[str, Any]) -> Html:
    """Draw cost against utility: the frontier with its intervals, every other cell as a dot, the answer as a ring."""
    cells, best = plan["cells"], plan["frontier"]
    across = scale.around([cell["cost_units"] for cell in cells], intervals=5)
    upright = scale.around([v for cell in best for v in cell["utility_ci95"]], intervals=5)
    chosen = plan["chosen"]
    label = f"Utility against cost in {plan['currency']}; {len(best)} federations that no cheaper one beats"
    line = [_point(cell, across, upright) for cell in best]
    return element(
        "svg",
        _axes(across, upright, plan["currency"]),
        *(_mark(cell, across, upright, "other", 2) for cell in cells if upright.low <= cell["utility"]),
        *(
            element("line", class_="line", x1=f"{x1:.2f}%", y1=y1, x2=f"{x2:.2f}%", y2=y2)
            for (x1, y1), (x2, y2) in pairwise(line)
        ),
        *(_interval(cell, across, upright) for cell in best),
        *(_mark(cell, across, upright, "point", 4) for cell in best),
        _mark(chosen, across, upright, "ring", 9),
        class_="chart plan",
        role="img",
        aria_label=label,
        width="100%",
        height=_HEIGHT,
    )


def _axes(across: Scale, upright: Scale, currency: str) -> Html:
    parts = []
    for value, label in upright.ticks():
        y = _y(upright, value)
        parts.append(element("line", class_="grid", x1=f"{_LEFT:g}%", x2=f"{_RIGHT:g}%", y1=y, y2=y))
        parts.append(element("text", label, class_="tick end", x=f"{_LEFT - 1:g}%", y=y + 4))
    *inner, last = across.ticks()
    for value, _ in (*inner, last):
        kind = "end" if value == last[0] else "middle"  # the last number would stand half outside a telephone
        place = f"{_x(across, value):.2f}%"
        parts.append(element("text", count(value), class_=f"tick {kind}", x=place, y=_BOTTOM + 18))
    middle = f"{(_LEFT + _RIGHT) / 2:g}%"
    parts.append(element("text", f"cost, {currency}", class_="tick middle", x=middle, y=_HEIGHT - 10))
    return joined(parts)


def _interval(cell: Mapping[str, Any], across: Scale, upright: Scale) -> Html:
    low, high = cell["utility_ci95"]
    x = f"{_x(across, cell['cost_units']):.2f}%"
    return element("line", class_="between", x1=x, x2=x, y1=_y(upright, low), y2=_y(upright, high))


def _mark(cell: Mapping[str, Any], across: Scale, upright: Scale, kind: str, radius: int) -> Html:
    x, y = _point(cell, across, upright)
    said = (
        f"{count(cell['organisations'])} organisations, {count(cell['rows'])} rows, {count(cell['rounds'])} rounds: "
        f"{cell['cost_shown']}, utility {score(cell['utility'])} ({between(cell['utility_ci95'])})"
    )
    return element("circle", element("title", said), class_=kind, cx=f"{x:.2f}%", cy=y, r=radius)


def _point(cell: Mapping[str, Any], across: Scale, upright: Scale) -> tuple[float, float]:
    return _x(across, cell["cost_units"]), _y(upright, cell["utility"])


def _x(across: Scale, value: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * across.share(value)


def _y(upright: Scale, value: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * upright.share(value), 1)


def _row(cell: Mapping[str, Any]) -> Sequence[str]:
    return (
        str(cell["cost_shown"]),
        count(cell["organisations"]),
        fine_percent(cell["rows_part"]),
        count(cell["rows"]),
        count(cell["rounds"]),
        score(cell["utility"]),
        between(cell["utility_ci95"]),
    )


def _prices(plan: Mapping[str, Any]) -> Html:
    named = ", ".join(f"{what} {each}" for what, each in plan["prices"].items()) or "none"
    return element("p", f"Prices of one unit, in the currency's smallest unit: {named}.", class_="quiet")
