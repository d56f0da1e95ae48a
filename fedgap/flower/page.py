"""The status page: what the server is doing, in one glance; no script, nothing from outside, nothing secret."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from fedgap.config import FederationConfig
from fedgap.flower.book import Enrolled
from fedgap.ids import OrgId
from fedgap.report.markup import Html, element, joined, raw
from fedgap.report.style import SHEET

_STANDING = {
    "invited": "invited, has not joined",
    "waiting": "joined, waits for approval",
    "approved": "takes part",
    "revoked": "revoked",
}
_LAST_ROUNDS = 50
_NUMBERS = {"rounds", "organisations", "loss", "time", "received", "sent"}


def status(
    config: FederationConfig, board: Mapping[str, Any], book: Iterable[Enrolled], *, connected: set[OrgId]
) -> str:
    """Write the page.

    Args:
        config: names of federation and organisations.
        board: `Board.document()`.
        book: what the operator's book says of each organisation.
        connected: who is connected now.
    """
    name = config.federation.name or config.federation.id
    done, planned = len(board["rounds"]), config.training.rounds
    last = board["rounds"][-1] if board["rounds"] else None
    tiles = [("rounds done", f"{done} of {planned}"), ("connected", f"{len(connected)} of {len(config.organisations)}")]
    if last is not None:
        tiles += [("training loss", f"{last['loss']:.4g}"), ("last round", _duration(last["seconds"]))]
    parts = [
        element("h1", name),
        element("p", f"fedgap server: {board['phase']}.", class_="quiet"),
        _missing(board["waiting_for"]),
        element("div", *(_tile(*tile) for tile in tiles), class_="tiles"),
        element("section", _organisations(config, board, book, connected)),
        element("section", _rounds(board["rounds"])) if done else "",
        element(
            "p",
            "This server sees who takes part and when, and the sum of all updates of a round; it cannot see the update "
            "of any single organisation. It reloads nothing by itself: load the page again for news.",
            class_="quiet",
        ),
    ]
    head = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="referrer", content="no-referrer"),
            element("title", f"{name}: {done} of {planned} rounds"),
            element("style", raw(SHEET)),
        ]
    )
    body = element("body", element("main", *parts))
    return raw("<!doctype html>") + element("html", element("head", head), body, lang="en")


def _missing(waiting_for: Mapping[str, str]) -> Html | str:
    if not waiting_for:
        return ""
    items = [element("li", element("b", org), f" {why}") for org, why in sorted(waiting_for.items())]
    return element("section", element("h2", "Waiting for"), element("ul", *items))


def _tile(label: str, value: str) -> Html:
    return element("div", element("strong", value), element("small", label), class_="tile")


def _organisations(
    config: FederationConfig, board: Mapping[str, Any], book: Iterable[Enrolled], connected: set[OrgId]
) -> Html:
    known = {entry.org: entry for entry in book}
    rounds = board["rounds"]
    rows = []
    for organisation in sorted(config.organisations, key=lambda o: o.id):
        entry, heard = known.get(organisation.id), board["heard"].get(organisation.id)
        took_part = sum(organisation.id in line["organisations"] for line in rounds)
        standing = _STANDING[entry.standing] if entry is not None else "not invited"
        cells = [
            element("th", organisation.name, scope="row"),
            _cell("standing", standing),
            _cell("connected", "yes" if organisation.id in connected else "no"),
            _cell("rounds", f"{took_part} of {len(rounds)}", number=True),
            _cell("last message", "-" if heard is None else f"{heard['what']}, {_ago(heard['at_s'])}"),
        ]
        rows.append(element("tr", *cells))
    return _table("Organisations", ("organisation", "standing", "connected", "rounds", "last message"), rows)


def _rounds(rounds: Iterable[Mapping[str, Any]]) -> Html:
    rows = []
    for line in list(rounds)[-_LAST_ROUNDS:][::-1]:
        cells = [
            element("th", str(line["round"]), scope="row"),
            _cell("organisations", str(len(line["organisations"])), number=True),
            _cell("loss", f"{line['loss']:.4g}", number=True),
            _cell("time", _duration(line["seconds"]), number=True),
            _cell("received", _size(line["bytes_up"]), number=True),
            _cell("sent", _size(line["bytes_down"]), number=True),
        ]
        rows.append(element("tr", *cells))
    return _table("Rounds", ("round", "organisations", "loss", "time", "received", "sent"), rows)


def _table(caption: str, names: tuple[str, ...], rows: list[Html]) -> Html:
    heads = [element("th", name, scope="col", class_="number" if name in _NUMBERS else "words") for name in names]
    head = element("thead", element("tr", *heads))
    table = element("table", element("caption", caption), head, element("tbody", *rows), class_="stacked")
    return element("div", table, class_="box")


def _cell(label: str, value: str, *, number: bool = False) -> Html:
    return element("td", value, data_label=label, class_="number" if number else "words")


def _duration(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004 - two hours


def _ago(at_s: float) -> str:
    return f"{_duration(max(0.0, time.time() - at_s))} ago"


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:  # noqa: PLR2004 - the next unit
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"
