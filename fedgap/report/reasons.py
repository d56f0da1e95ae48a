"""Footnotes: what could not be computed is a dash with a number, and the number leads to the reason.

A reason is looked up under the field's dotted path (`local.common.metrics.auc`), then under its shorter endings
(`metrics.auc`, `auc`), then under the parts that contain it (`local.common`, `local`); first with the organisation,
then with the whole report. The reason for a value is also the reason for its interval (`value`, `value_ci95`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fedgap.report.fields import dig
from fedgap.report.figures import is_number
from fedgap.report.markup import Html, element, text

DASH = "\u2014"
UNEXPLAINED = "The run gave no reason. This is a defect of fedgap: please report it."
_INTERVAL = "_ci95"


class Reasons:
    """Numbers the reasons in the order in which the page shows them; the same words get the same number."""

    def __init__(self, shared: Mapping[str, str]) -> None:
        self._shared = shared
        self._numbers: dict[str, int] = {}

    def number(self, holder: Mapping[str, Any], path: str) -> int:
        """Give the footnote that says why `path` of `holder` (the report, an organisation, a round) is null."""
        own: Mapping[str, str] = holder.get("reasons") or {}
        return self._numbered(find_reason(path, own) or find_reason(path, self._shared) or UNEXPLAINED)

    def dash(self, holder: Mapping[str, Any], path: str) -> Html:
        """Show a null: a dash that links to its reason."""
        number = self.number(holder, path)
        link = element("a", str(number), href=f"#reason-{number}", aria_label=f"why: reason {number}")
        return element("span", DASH, element("sup", link))

    def show(self, holder: Mapping[str, Any], path: str, form: Callable[[Any], str]) -> Html:
        """Show the number or the interval at `path`, or a dash with its reason."""
        value = dig(holder, path)
        parts = value if isinstance(value, list | tuple) else [value]
        if parts and all(map(is_number, parts)):
            return text(form(value))
        return self.dash(holder, path)

    def add_unused(self, reasons: Mapping[str, str], whose: str) -> None:
        """Number what no dash has led to, so that no reason in the report stays hidden."""
        for path, reason in reasons.items():
            if reason not in self._numbers:
                self._numbered(f"{whose}{path}: {reason}")

    def listed(self) -> Html:
        """All footnotes, in the order of their numbers."""
        items = [element("li", reason, id=f"reason-{number}") for reason, number in self._numbers.items()]
        return element("ol", *items, class_="reasons")

    def __len__(self) -> int:
        return len(self._numbers)

    def _numbered(self, reason: str) -> int:
        return self._numbers.setdefault(reason, len(self._numbers) + 1)


def find_reason(path: str, reasons: Mapping[str, str]) -> str | None:
    """Look a field's reason up as the module says."""
    return next((reasons[key] for key in _keys(path) if reasons.get(key)), None)


def _keys(path: str) -> Iterator[str]:
    parts = path.split(".")
    endings = [".".join(parts[start:]) for start in range(len(parts))]
    for ending in endings:
        yield ending
        yield ending.removesuffix(_INTERVAL)
    yield from (".".join(parts[:stop]) for stop in range(len(parts) - 1, 0, -1))
