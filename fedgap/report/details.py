"""The numbers under the pictures: scores, contribution, metered work, rounds, settings and origin."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedgap.report import figures
from fedgap.report.contribution import contribution_words
from fedgap.report.fields import MODELS, PLACES, Place, dig, scores_path
from fedgap.report.markup import Html, element, joined
from fedgap.report.reasons import Reasons, find_reason
from fedgap.report.tables import Column, table

Names = Mapping[str, str]
Organisations = Sequence[Mapping[str, Any]]

METRICS = {
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
}
"""Names in words; a metric that is not listed is shown under its own name."""

_ORGANISATION = Column("organisation", numeric=False)


def scores(organisations: Organisations, names: Names, place: Place, metric: str, reasons: Reasons) -> Html:
    """Every score of every model on one set of test rows."""
    paths = [scores_path(model, place) for model in MODELS]
    others = list(
        dict.fromkeys(key for org in organisations for path in paths for key in dig(org, f"{path}.metrics") or {})
    )
    columns = [
        _ORGANISATION,
        Column("model", numeric=False),
        Column(metric),
        Column("95 % interval"),
        *(Column(METRICS.get(other, other)) for other in others),
    ]
    groups = [
        [
            [
                *([names[org["id"]]] if position == 0 else []),
                _model(org, model),
                reasons.show(org, f"{path}.metric", figures.score),
                reasons.show(org, f"{path}.ci95", figures.between),
                *(reasons.show(org, f"{path}.metrics.{other}", figures.score) for other in others),
            ]
            for position, (model, path) in enumerate(zip(MODELS, paths, strict=True))
        ]
        for org in organisations
    ]
    return table(f"Scores on {PLACES[place]}", columns, groups)


def _model(org: Mapping[str, Any], model: str) -> Html:
    """The model's name; for the personalised one also how often fine-tuning was accepted."""
    accepted = dig(org, f"{model}.accepted")
    if not figures.is_number(accepted):
        return joined([MODELS[model]])
    note = element("small", f"accepted in {figures.percent(accepted)} of splits")
    return joined([MODELS[model], " ", note])


def contribution(report: Mapping[str, Any], organisations: Organisations, names: Names, reasons: Reasons) -> Html:
    """What each organisation contributed, and what simpler rules would say."""
    columns = [
        _ORGANISATION,
        Column("value"),
        Column("95 % interval"),
        Column("share"),
        Column("share by size"),
        Column("equal share"),
    ]
    rows = [
        [
            names[org["id"]],
            reasons.show(org, "value", figures.finely_signed),
            reasons.show(org, "value_ci95", figures.between_finely_signed),
            reasons.show(org, "share", figures.fine_percent),
            reasons.show(org, "baselines.size", figures.fine_percent),
            reasons.show(org, "baselines.equal", figures.fine_percent),
        ]
        for org in organisations
    ]
    said = [element("p", line, class_="quiet") for line in contribution_words(report)]
    shown = table("Value, in units of the utility, and share of each organisation", columns, [[row] for row in rows])
    return joined([*said, shown])


def metered(organisations: Organisations, names: Names, reasons: Reasons) -> Html:
    """What work the run cost each organisation."""
    fields = {
        "gpu_seconds": ("GPU time", figures.seconds),
        "cpu_seconds": ("processor time", figures.seconds),
        "wall_seconds": ("elapsed time", figures.seconds),
        "peak_bytes": ("peak memory", figures.size),
        "energy_joules": ("energy", figures.joules),
    }
    columns = [_ORGANISATION, *(Column(heading) for heading, _ in fields.values())]
    rows = [
        [names[org["id"]], *(reasons.show(org, f"metered.{key}", form) for key, (_, form) in fields.items())]
        for org in organisations
    ]
    return table("Metered work of each organisation", columns, [[row] for row in rows])


def rounds(report: Mapping[str, Any], reasons: Reasons) -> Html:
    """One line a round."""
    members = len(report["organisations"])
    columns = [Column(heading) for heading in ("round", "took part", "utility", "loss", "time", "sent", "received")]
    rows = [
        [
            figures.count(step["round"]),
            f"{figures.count(len(step['participants']))} of {figures.count(members)}",
            reasons.show({"rounds": step}, "rounds.utility", figures.score),
            reasons.show({"rounds": step}, "rounds.loss", figures.score),
            reasons.show({"rounds": step}, "rounds.seconds", figures.seconds),
            reasons.show({"rounds": step}, "rounds.bytes_up", figures.size),
            reasons.show({"rounds": step}, "rounds.bytes_down", figures.size),
        ]
        for step in report["rounds"]
    ]
    return table("Rounds; sent and received by the organisations together", columns, [[row] for row in rows])


def chosen(organisations: Organisations, names: Names) -> Html:
    """What cross-validation on training rows chose for each organisation and model."""
    models = [model for model in MODELS if any(dig(org, f"chosen.{model}") for org in organisations)]
    columns = [_ORGANISATION, *(Column(MODELS[model], numeric=False) for model in models)]
    rows = [[names[org["id"]], *(_choice(dig(org, f"chosen.{model}")) for model in models)] for org in organisations]
    return table("Chosen by cross-validation on training rows", columns, [[row] for row in rows])


def _choice(values: Mapping[str, Any] | None) -> str:
    if not values:
        return "nothing to choose"
    return ", ".join(f"{key} {figures.setting(value)}" for key, value in values.items())


def settings(report: Mapping[str, Any], reasons: Reasons) -> Html:
    """The settings the run was given."""
    own: Mapping[str, str] = report.get("reasons") or {}
    rows: list[list[str]] = []
    for key, value in report["federation"]["settings"].items():
        path = f"federation.settings.{key}"
        explained = value is None and find_reason(path, own) is not None
        rows.append([key, reasons.dash(report, path) if explained else figures.setting(value)])
    return table(
        "As given or by default",
        [Column("setting", numeric=False), Column("value", numeric=False)],
        [[row] for row in rows],
    )


def origin(report: Mapping[str, Any], reasons: Reasons) -> Html:
    """What made this page, so that it can be made again."""
    federation, engine, protocol = report["federation"], report["engine"], report["protocol"]
    facts: list[tuple[str, str]] = [
        ("fedgap", str(report["fedgap"])),
        ("federation", str(federation["id"])),
        ("task", f"{federation['task']} ({federation['kind']})"),
        ("seed", str(federation["seed"])),
        ("splits", figures.count(report["splits"])),
        ("engine", f"{engine['name']}: {engine['why']}"),
        ("sums added by protocol", f"{protocol['name']}: {protocol['why']}"),
        ("time taken", reasons.show(report, "seconds", figures.seconds)),
        ("model SHA-256", _digest(report, "model_sha256", reasons)),
        ("ledger root", _digest(report, "ledger_root", reasons)),
    ]
    return element("dl", *(part for term, fact in facts for part in (element("dt", term), element("dd", fact))))


def _digest(report: Mapping[str, Any], path: str, reasons: Reasons) -> Html:
    value = dig(report, path)
    return element("code", value) if isinstance(value, str) else reasons.dash(report, path)


def notes(report: Mapping[str, Any], organisations: Organisations, names: Names) -> Html:
    """What had to be worked around, for everyone and at single organisations."""
    items = [element("li", note) for note in report["notes"]]
    items += [
        element("li", element("strong", names[org["id"]]), f": {note}")
        for org in organisations
        for note in org["notes"]
    ]
    return element("ul", *items) if items else element("p", "Nothing had to be worked around.")
