"""The answer in plain words: does training together help, how much of the gap does it close, for whom does it pay."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedgap.report.fields import MODELS, PLACES, VERDICTS, Place, dig
from fedgap.report.figures import count, is_number, percent
from fedgap.report.markup import clean
from fedgap.report.names import display_names, shortened
from fedgap.report.reasons import UNEXPLAINED, find_reason

_NAME_COLUMNS, _NAMED = 40, 8
_FEWEST_DIGITS, _MOST_DIGITS = 2, 3
_WHERE: dict[Place, str] = {"own": "their own test rows", "common": "the test rows of all organisations"}


def summary(report: Mapping[str, Any]) -> list[str]:
    """Say what the run found, a sentence or two an entry: plain text, safe to print, not HTML."""
    return [*(line for place in PLACES for line in _change(report, place)), *_verdicts(report)]


def _change(report: Mapping[str, Any], place: Place) -> list[str]:
    """How alone, together and pooled compare on one set of test rows."""
    base = "mean" if place == "own" else "mean.common"
    means: dict[str, float] = {model: dig(report, f"{base}.{model}") for model in MODELS}
    metric, members = clean(report["metric"]["name"]), count(len(report["organisations"]))
    subject = f"mean {metric} of {'these' if place == 'own' else 'the'} {members} organisations on {_WHERE[place]}"
    for model in ("local", "federated"):
        if not is_number(means[model]):
            return [f"The {subject} cannot be given: {_reason(report, f'{base}.{model}')}"]
    shown = _told_apart({model: mean for model, mean in means.items() if is_number(mean)})
    if shown["local"] == shown["federated"]:
        said = f"leaves the {subject} at {shown['federated']}"
    else:
        moved = "raises" if means["federated"] > means["local"] else "lowers"
        said = f"{moved} the {subject} from {shown['local']} to {shown['federated']}"
    gap = _gap(report, base, means, shown)
    return [" ".join([f"Training together {said}.", *_tuned(means, shown), gap])]


def _tuned(means: Mapping[str, float], shown: Mapping[str, str]) -> list[str]:
    """What fine-tuning adds, if it adds anything that can be seen."""
    if "personalised" not in shown or shown["personalised"] == shown["federated"]:
        return []
    if means["personalised"] < means["federated"]:
        return []
    return [f"Fine-tuned by each organisation, the shared model reaches {shown['personalised']}."]


def _gap(report: Mapping[str, Any], base: str, means: Mapping[str, float], shown: Mapping[str, str]) -> str:
    """How far pooling would go, and how much of that way training together goes."""
    if "pooled" not in shown:
        return f"What pooling all rows would give cannot be said: {_reason(report, f'{base}.pooled')}"
    said, closed = f"Putting all rows in one place would give {shown['pooled']}", dig(report, f"{base}.gap_closed")
    if means["pooled"] <= means["local"] or shown["pooled"] == shown["local"]:
        return f"{said}, no more than each alone: there is no gap to close here."
    if not is_number(closed):
        return f"{said}; how much of that gap is closed cannot be said: {_reason(report, f'{base}.gap_closed')}"
    if closed <= 0:
        return f"{said}; training together closes nothing of that gap."
    return f"{said}; training together closes {percent(closed)} of that gap."


def _verdicts(report: Mapping[str, Any]) -> list[str]:
    """Who should join, who need not, who should not."""
    organisations = report["organisations"]
    names = display_names(organisations)
    groups = {verdict: [names[org["id"]] for org in organisations if org["verdict"] == verdict] for verdict in VERDICTS}
    total = len(organisations)
    join, out = (_listed(groups[verdict], total, "all") for verdict in ("join", "stay-out"))
    neutral, little = (_listed(groups[verdict], total, "any of the") for verdict in ("neutral", "too-little-data"))
    said = [f"Joining pays for {join}." if join else "Joining measurably pays for nobody."]
    if neutral:
        said.append(f"It makes no measurable difference for {neutral}.")
    if out:
        number = len(groups["stay-out"])
        said.append(f"{count(number)} should stay out: {out}." if number > 1 else f"1 should stay out: {out}.")
    if little:
        said.append(f"There is too little data to tell for {little}.")
    return said


def _listed(names: Sequence[str], total: int, whole: str) -> str:
    """Name the first few and count the others; where many are everyone, say so with `whole`: "all", "any of the"."""
    if len(names) == total > _NAMED:
        return f"{whole} {count(total)} organisations"
    shown = [shortened(name, _NAME_COLUMNS) for name in names]
    if len(shown) > _NAMED:
        left = len(shown) - _NAMED + 1
        shown = [*shown[: _NAMED - 1], f"{count(left)} others"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _told_apart(means: Mapping[str, float]) -> dict[str, str]:
    """The means with as few digits as show that they differ, all with the same number of them."""
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS + 1):
        shown = {model: f"{mean:.{digits}f}" for model, mean in means.items()}
        if len(set(shown.values())) == len(means):
            break
    return {model: text.removeprefix("-") if float(text) == 0 else text for model, text in shown.items()}


def _reason(report: Mapping[str, Any], path: str) -> str:
    reason = clean(find_reason(path, report.get("reasons") or {}) or UNEXPLAINED)
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."
