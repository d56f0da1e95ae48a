"""Statements: golden bytes, words with their entries, and a page that needs nothing else."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import pytest

from fedgap.funding import follow
from fedgap.funding.amounts import decimal, money, percent, shown_money
from fedgap.funding.statement import COLUMNS, as_csv, as_json, document
from fedgap.funding.words import REASONS, explained
from fedgap.ledger import Entry, Trust
from fedgap.ledger.reading import StoredLedger, verify_file
from fedgap.records import read_record
from fedgap.report.statement import statement_page
from fedgap.secagg.settlement import NO_ROOM
from fedgap.secagg.together import PARTLY
from fedgap.settling import OBJECTED, OUT_OF_REACH, SCALED_DOWN, SERVER_CHOOSES, UNSETTLED
from fedgap.simulation.period_facts import NOTHING_OPENED, WINDOW_CLOSED
from tests.funding.cases import Story, policy
from tests.vectors.funding import make

FOLDER = Path(make.__file__).parent


def test_statements_are_the_golden_ones_byte_for_byte() -> None:
    found = dict(make.files())

    assert sorted(found) == sorted(path.name for path in FOLDER.glob("statement-*"))
    for name, content in found.items():
        assert (FOLDER / name).read_bytes() == content, name


@pytest.mark.parametrize("period", [1, 2])
def test_the_lines_of_a_statement_add_up_to_its_budget(period: int) -> None:
    found = json.loads((FOLDER / f"statement-{period}.json").read_text())
    given = sum(line["reimbursed"] + line["base"] + line["pool"] for line in found["lines"])

    assert found["budget"]["total"] == given + found["carried"] + found["returned"]
    for line in found["lines"]:
        now = line["reimbursed"] + line["base"] + line["pool"] - line["vesting"] - line["set_aside"]
        assert line["paid_now"] == now + line["released"]


def test_the_csv_has_a_line_an_organisation_and_amounts_with_their_digits() -> None:
    rows = list(csv.DictReader(io.StringIO((FOLDER / "statement-1.csv").read_text(), newline="")))

    assert list(rows[0]) == list(COLUMNS)
    assert [row["organisation"] for row in rows] == ["org-0", "org-1", "org-2", "org-3"]
    assert rows[0]["reimbursed"] == "80.00"
    assert rows[1]["metered_cost"] == "25.000000000"
    assert rows[3]["value"] == "-0.111111111"


def test_a_name_is_never_a_formula() -> None:
    story = Story(policy())
    members = list(story.tale.manifest.members)
    named = [members[0].__class__(id=m.id, name=f"=1+{m.id}", public=m.public, weight=1) for m in members]
    story.records[0] = story.tale.signed(story.tale.version(1, members=tuple(named)))
    story.round(1)
    rows = list(csv.DictReader(io.StringIO(as_csv(story.settle()).decode(), newline="")))

    assert rows[0]["name"] == "'=1+org-0"


def test_every_flag_of_the_rule_has_words() -> None:
    for found, _, _ in make.story().account().settlements:
        for line in found.lines:
            assert set(line.flags) - {"one-opening"} <= REASONS.keys()


def test_every_flag_of_a_settlement_of_values_has_words() -> None:
    flags = {
        OBJECTED,
        SCALED_DOWN,
        UNSETTLED,
        OUT_OF_REACH,
        SERVER_CHOOSES,
        NO_ROOM,
        PARTLY,
        WINDOW_CLOSED,
        NOTHING_OPENED,
    }
    assert flags | {"vouched", "lied"} <= REASONS.keys()


def test_every_number_is_explained_with_the_entries_behind_it() -> None:
    first, second = (found for found, _, _ in make.story().account().settlements)
    words = " ".join(explained(first, first.lines[0]))
    assert "(entry 3)" in words
    assert "900000 cpu-ms metered" in words
    assert "Reimbursed: 80.00 EUR" in words
    assert "cost-capped" in words
    faulty = " ".join(explained(second, second.lines[1]))
    assert "Faults of it are proven" in faulty
    assert "Lost of what earlier settlements held back" in faulty
    positions = {at for line in second.lines for entries in line.entries.values() for at in entries}
    assert positions <= set(range(len(make.story().records)))


def test_a_division_by_weight_is_not_called_equal_or_by_value() -> None:
    story = Story(policy())
    story.round(1)
    found = story.settle()
    words = " ".join(explained(found, found.lines[0]))

    assert "By weight: 250.00 EUR, 25.0 % of what was left after costs." in words
    assert "Base:" not in words
    assert "Pool:" not in words


def test_the_page_is_whole_and_escapes_names() -> None:
    story = Story(policy())
    members = list(story.tale.manifest.members)
    named = [members[0].__class__(id=m.id, name=f"<b>{m.id}</b>", public=m.public, weight=1) for m in members]
    story.records[0] = story.tale.signed(story.tale.version(1, members=tuple(named)))
    story.round(1)
    low, high = Fraction(1, 2), Fraction(3, 2)
    story.values(1, [1, 1, 1, 1], low=low, high=high)
    settlements = [story.settle()]
    story.round(2)
    settlements.append(story.settle())
    words = [[(line.name, list(explained(found, line))) for line in found.lines] for found in settlements]
    page = statement_page([document(found) for found in settlements], words)

    assert "<b>" not in page
    assert "&lt;b&gt;org-0" in page
    assert "<script" not in page
    assert 'http-equiv="Content-Security-Policy"' in page
    assert page.count("<svg") == 3
    assert "No value was opened in this period" in page
    assert "2 periods settled" in page
    assert page.count('<table class="stacked">') == 2, "on a telephone who is paid what is a list, not cut off"


def test_the_same_story_gives_the_same_bytes() -> None:
    one, other = (make.story().account().settlements[1][0] for _ in range(2))

    assert as_json(one) == as_json(other)
    assert as_csv(one) == as_csv(other)


def test_the_ledger_of_the_tour_is_whole_and_its_first_period_is_settled() -> None:
    found = verify_file(FOLDER / "ledger.sqlite", Trust())
    assert found.fault is None
    with StoredLedger(FOLDER / "ledger.sqlite") as stored:
        account = follow((at, read_record(Entry.of(body).record)) for at, body in stored.bodies())
    assert account.next_period == 2


def test_amounts_are_written_exactly() -> None:
    assert (money(123456, 2), money(5, 2), money(-5, 2), money(7, 0), money(1234, 3)) == (
        "1234.56",
        "0.05",
        "-0.05",
        "7",
        "1.234",
    )
    assert shown_money(123456789, 2, "EUR") == "1,234,567.89 EUR"
    assert (decimal(Fraction(1, 3)), decimal(Fraction(-1, 3), 2), decimal(Fraction(-1, 10**12))) == (
        "0.333333333",
        "-0.33",
        "0.000000000",
    )
    assert percent(Fraction(1, 8)) == "12.5 %"


def test_the_page_in_docs_lists_every_flag_as_it_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "money.md").read_text(encoding="utf-8")

    for flag, meaning in REASONS.items():
        assert f"| `{flag}` | {meaning} |" in page
