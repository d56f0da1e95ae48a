"""The report page: the answer first, then who gains, the pictures, who contributed, then every number and reason."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fedgap.report import details, figures, intervals, trend
from fedgap.report.answer import summary
from fedgap.report.crowd import MOST_LISTED, counted, spread, unlisted
from fedgap.report.fields import MEANINGS, MODELS, PLACES, RECOMMENDED, VERDICTS, Place, dig
from fedgap.report.markup import Html, element, joined
from fedgap.report.names import display_names, shortened
from fedgap.report.reasons import Reasons
from fedgap.report.shell import shell
from fedgap.report.tables import Column, table

_BRIEF_COLUMNS = 48
"""A long name stands in full where the verdict is, and cut in the tables below."""


def page(report: Mapping[str, Any]) -> str:
    """Show a whole `report.json` as one HTML file that needs nothing else: no script, no network.

    Args:
        report: the mapping that is written as report.json; it is formatted here, and counted where there are many.
    """
    everybody = sorted(report["organisations"], key=lambda org: (org["rows"], org["id"]))
    organisations, names = spread(everybody), display_names(everybody)
    brief = {org_id: shortened(name, _BRIEF_COLUMNS) for org_id, name in names.items()}
    reasons = Reasons(report.get("reasons") or {})
    body = [
        _header(report),
        _answer(report, reasons),
        _who_gains(report, everybody, names, reasons),
        _pictures(report, organisations, names, reasons),
        _by_round(report, reasons),
        _numbers(report, organisations, brief, reasons),
        _settings(report, organisations, brief, reasons),
        _section("Notes", details.notes(report, organisations, brief)),
        _section("Where this comes from", details.origin(report, reasons)),
    ]
    for org in organisations:
        reasons.add_unused(org.get("reasons") or {}, f"{brief[org['id']]}, ")
    reasons.add_unused(report.get("reasons") or {}, "")
    if len(reasons):
        body.append(_section("Reasons for what is not given", reasons.listed()))
    return shell(f"{report['federation']['name']} - fedgap report", body)


def _section(title: str, *content: Html, class_: str = "part") -> Html:
    return element("section", element("h2", title), *content, class_=class_)


def _header(report: Mapping[str, Any]) -> Html:
    federation = report["federation"]
    facts = (
        f"{figures.count(federation['organisations'])} organisations, {figures.count(federation['rows'])} rows, "
        f"a model of {figures.count(federation['parameters'])} parameters, {federation['kind']}; "
        f"means over {figures.count(report['splits'])} repeated splits into training and test rows"
    )
    return element("header", element("h1", federation["name"]), element("p", facts, class_="quiet"))


def _answer(report: Mapping[str, Any], reasons: Reasons) -> Html:
    lines = [element("p", line) for line in summary(report)]
    tiles = [_tile(report, model, word, figures.score, reasons) for model, word in MODELS.items()]
    tiles.append(_tile(report, "gap_closed", "gap closed", figures.percent, reasons))
    said = f"Mean {report['metric']['name']} over the organisations, on each one's own test rows:"
    return _section(
        "The answer",
        *lines,
        element("p", said, class_="quiet"),
        element("div", *tiles, class_="tiles"),
        class_="answer",
    )


def _tile(report: Mapping[str, Any], field: str, word: str, form: Callable[[Any], str], reasons: Reasons) -> Html:
    common = reasons.show(report, f"mean.common.{field}", form)
    return element(
        "div",
        element("span", word),
        element("strong", reasons.show(report, f"mean.{field}", form)),
        element("small", common, " on all organisations' test rows"),
        class_=f"tile {field}",
    )


def _who_gains(
    report: Mapping[str, Any], everybody: Sequence[Mapping[str, Any]], names: Mapping[str, str], reasons: Reasons
) -> Html:
    columns = [
        Column("organisation", numeric=False),
        Column("rows"),
        Column("verdict", numeric=False),
        Column("best served by", numeric=False),
        Column("gap"),
        Column("gap closed"),
        Column("gain, own rows"),
        Column("gain, all rows"),
    ]
    rows = [
        [
            _named(org, names[org["id"]]),
            _rows(org),
            _verdict(org),
            RECOMMENDED.get(org["recommended"], str(org["recommended"])),
            reasons.show(org, "gap", figures.signed),
            reasons.show(org, "gap_closed", figures.percent),
            _gain(org, "own", reasons),
            _gain(org, "common", reasons),
        ]
        for org in spread(everybody)
    ]
    all_of_them = [element("p", unlisted(everybody)), counted(everybody)] if len(everybody) > MOST_LISTED else []
    metric = report["metric"]
    said = (
        f"Gap: {metric['name']} of pooled minus alone, own test rows. Gain: what joining adds, with its 95 % interval."
    )
    return _section(
        "Who gains",
        element("p", report["rule"]),
        *all_of_them,
        element("p", said, class_="quiet"),
        table("Verdict for each organisation, fewest rows first", columns, [[row] for row in rows], stacked=True),
    )


def _named(org: Mapping[str, Any], name: str) -> Html:
    behave = str(org["behave"])
    return joined([name] if behave == "honest" else [name, " ", element("small", f"simulated as {behave}")])


def _rows(org: Mapping[str, Any]) -> Html:
    train, test = figures.count(org["train_rows"]), figures.count(org["test_rows"])
    return element("div", figures.count(org["rows"]), " ", element("small", f"{train} train, {test} test"))


def _verdict(org: Mapping[str, Any]) -> Html:
    verdict = str(org["verdict"])
    words = VERDICTS.get(verdict, verdict)
    return element(
        "div", element("span", words, class_=f"verdict {verdict}"), " ", element("small", org["verdict_reason"])
    )


def _gain(org: Mapping[str, Any], place: Place, reasons: Reasons) -> Html:
    mean = reasons.show(org, f"gain.{place}.mean", figures.signed)
    if not figures.is_number(dig(org, f"gain.{place}.mean")):
        return mean
    return element("div", mean, " ", element("small", reasons.show(org, f"gain.{place}.ci95", figures.between_signed)))


def _pictures(
    report: Mapping[str, Any], organisations: Sequence[Mapping[str, Any]], names: Mapping[str, str], reasons: Reasons
) -> Html:
    metric, axis = report["metric"]["name"], intervals.shared_scale(organisations)
    charts = [
        element(
            "div",
            element("h3", f"On {PLACES[place]}"),
            intervals.draw(organisations, names, place, axis, metric, reasons),
        )
        for place in PLACES
    ]
    key = [element("li", element("b", word), f": {meaning}") for word, meaning in MEANINGS.items()]
    said = "Dots are means, lines are 95 % intervals; further right is better. "
    said += "Bold: the model that an organisation's left-out training rows recommend; test rows have no part in that."
    said = f"{said} {unlisted(report['organisations'])}".rstrip()
    return _section(
        f"Each organisation's {metric}",
        element("p", said, class_="quiet"),
        element("ul", *key, class_="key"),
        element("div", *charts, class_="pair"),
    )


def _by_round(report: Mapping[str, Any], reasons: Reasons) -> Html:
    steps, utility = report["rounds"], report["utility"]
    risen: list[trend.Point] = [(0, utility["start"]), *((step["round"], step["utility"]) for step in steps)]
    loss: list[trend.Point] = [(step["round"], step["loss"]) for step in steps]
    charts = [
        element("div", element("h3", title), trend.draw(points, title))
        for title, points in (
            (f"Utility ({utility['name']}), higher is better", risen),
            ("Loss, lower is better", loss),
        )
        if points
    ]
    start, end = (reasons.show(report, f"utility.{moment}", figures.score) for moment in ("start", "end"))
    said = element("p", "Utility ", start, " before the first round, ", end, " in the end.", class_="quiet")
    return _section("The federation, round by round", said, element("div", *charts, class_="pair"))


def _numbers(
    report: Mapping[str, Any], organisations: Sequence[Mapping[str, Any]], names: Mapping[str, str], reasons: Reasons
) -> Html:
    metric = report["metric"]["name"]
    rounds = element("details", element("summary", "Every round"), details.rounds(report, reasons))
    parts = [
        _section("Contribution", details.contribution(report, organisations, names, reasons)),
        _section("All scores", *(details.scores(organisations, names, place, metric, reasons) for place in PLACES)),
        _section("Work", details.metered(organisations, names, reasons)),
        rounds,
    ]
    return joined(parts)


def _settings(
    report: Mapping[str, Any], organisations: Sequence[Mapping[str, Any]], names: Mapping[str, str], reasons: Reasons
) -> Html:
    return _section("Settings", details.chosen(organisations, names), details.settings(report, reasons))
