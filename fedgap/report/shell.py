"""What every page has around its content: one HTML file that loads nothing and runs no script."""

from collections.abc import Iterable

from fedgap.report.markup import Html, element, raw
from fedgap.report.style import SHEET

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The browser itself refuses scripts and anything from outside."""


def shell(title: str, body: Iterable[Html]) -> str:
    """Put sections into a whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", raw(SHEET)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', element('main', *body)), lang='en')}\n"
