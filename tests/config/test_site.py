"""site.toml: what it holds, what it refuses, and that what `join` writes can be read again."""

import tomllib
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.config import ConfigError
from fedgap.config.site import Hours, Limits, SitePlace, load_site, parse_hours, parse_site, site_text
from fedgap.ids import OrgId

ROOT = Path(__file__).parents[2]
TIMES = st.times().map(lambda now: now.replace(second=0, microsecond=0))


def right() -> dict[str, Any]:
    """A site.toml with the keys that must be there."""
    return {
        "site": {"organisation": "north", "server": "https://fed.example.org", "data": "rows.csv"},
        "limits": {"tasks": ["tabular-classification"], "rounds": 10, "minimum_cohort": 3},
    }


def test_paths_start_from_the_folder_of_the_file(tmp_path: Path) -> None:
    site = parse_site(right(), base=tmp_path)

    assert site.data == tmp_path / "rows.csv"
    assert site.folder == tmp_path / "fedgap-site"


@pytest.mark.parametrize("key", ["tasks", "rounds", "minimum_cohort"])
def test_what_could_weaken_safety_has_no_default(key: str, tmp_path: Path) -> None:
    document = right()
    del document["limits"][key]

    with pytest.raises(ConfigError, match=f"limits.{key}: It is missing"):
        parse_site(document, base=tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("site", "server", "http://fed.example.org"),
        ("site", "server", "https://fed.example.org/path"),
        ("site", "server", "https://user:word@fed.example.org"),
        ("site", "server", "https://fed.example.org:0"),
        ("site", "server", "https://[::1"),
        ("site", "organisation", "North!"),
        ("site", "data", ""),
        ("limits", "minimum_cohort", 2),
        ("limits", "rounds", 0),
        ("limits", "rounds", "10"),
        ("limits", "tasks", []),
        ("limits", "tasks", ["a", "a"]),
        ("limits", "required", ["No Id"]),
        ("limits", "hours", ["24:00-06:00"]),
        ("limits", "hours", ["18:00-18:00"]),
        ("limits", "hours", ["evening"]),
        ("limits", "gpu_share", 1.5),
        ("limits", "memory_gib", float("nan")),
        ("limits", "unheard", 1),
        ("site", "unheard", 1),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(section: str, key: str, value: object, tmp_path: Path) -> None:
    document = right()
    document[section][key] = value

    with pytest.raises(ConfigError) as refused:
        parse_site(document, base=tmp_path)

    assert [problem.key.startswith(f"{section}.{key}") for problem in refused.value.problems] == [True]
    assert "site.example.toml" in refused.value.remedy


def test_a_missing_and_an_unknown_section_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_site({"site": right()["site"], "limit": {}}, base=tmp_path)

    assert {problem.key for problem in refused.value.problems} == {"limits", "limit"}


@pytest.mark.parametrize("content", ["", "[site", "\x00", "x = 1\n"])
def test_a_file_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(content)

    with pytest.raises(ConfigError):
        load_site(path)


@given(begin=TIMES, end=TIMES, now=st.times())
def test_hours_and_their_opposite_cover_the_day_once(begin: time, end: time, now: time) -> None:
    if begin != end:
        assert Hours(begin, end).hold(now) is not Hours(end, begin).hold(now)
        assert parse_hours(str(Hours(begin, end))) == Hours(begin, end)


def test_hours_reach_over_midnight_and_end_sharp() -> None:
    night = parse_hours("18:00-06:00")

    assert [night.hold(time(*now)) for now in ((18, 0), (23, 59), (0, 0), (5, 59), (6, 0), (12, 0))] == [
        *[True] * 4,
        *[False] * 2,
    ]


@given(data=st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=30))
def test_what_join_writes_reads_back_the_same(data: str) -> None:
    if not data.strip() or not data.isprintable():
        return
    place = SitePlace(organisation=OrgId("north"), server="https://fed.example.org:8443", data=data)
    limits = Limits(tasks=("package.module:Class",), rounds=7, minimum_cohort=4)

    site = parse_site(tomllib.loads(site_text(place, limits)), base=Path())

    assert (place, limits) == (site.site, site.limits)


def test_what_join_writes_names_every_key() -> None:
    place = SitePlace(organisation=OrgId("north"), server="https://fed.example.org", data="rows.csv")
    text = site_text(place, Limits(tasks=("a:B",), rounds=7, minimum_cohort=4))

    assert all(f"{key} = " in text for key in (*SitePlace.model_fields, *Limits.model_fields))


def test_the_example_is_read_and_every_key_in_it_is_explained() -> None:
    example = ROOT / "clients" / "site.example.toml"
    site = load_site(example)
    text = example.read_text(encoding="utf-8")

    assert site.site.organisation == "clinic-north"
    assert all(f"{key} = " in text for key in (*SitePlace.model_fields, *Limits.model_fields))
