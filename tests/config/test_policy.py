"""policy.toml: strict, every problem at once, amounts as text and exact."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedgap.config import ConfigError
from fedgap.config.policy import load_policy, parse_policy
from fedgap.funding import BadPolicyError, Policy

WHOLE = """
[policy]
currency = "EUR"
value_part = "1/2"

[costs]
cap = "10000.00"

[[period]]
budget = "50000.00"

[[period]]
budget = "50000"

[[price]]
what = "cpu-ms"
per = 3600000
amount = "0.05"

[[price]]
what = "labour-minutes"
per = 60
amount = "45"

[[owner]]
name = "Clinics of the North"
organisations = ["clinic-b", "clinic-a"]
"""


def written(tmp_path: Path, text: str = WHOLE) -> Path:
    """The policy as a file."""
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_policy_is_exact_and_in_minor_units(tmp_path: Path) -> None:
    found = Policy.of_config(load_policy(written(tmp_path)))

    assert (found.currency, found.digits, found.budgets, found.cost_cap) == (
        "EUR",
        2,
        (5_000_000, 5_000_000),
        1_000_000,
    )
    assert [(price.what, str(price.each)) for price in found.prices] == [
        ("cpu-ms", "1/720000"),
        ("labour-minutes", "75"),
    ]
    assert found.owners[0].organisations == ("clinic-a", "clinic-b")
    assert (str(found.lam), str(found.multiple), str(found.paid_now)) == ("1/2", "3", "7/10")
    assert found.owned()[found.owners[0].organisations[0]] == "Clinics of the North"
    assert found == Policy.of(found.data)
    assert len(found.digest) == 32


def test_the_order_of_a_file_does_not_change_the_policy(tmp_path: Path) -> None:
    config = load_policy(written(tmp_path))
    turned = replace(config, prices=config.prices[::-1], owners=config.owners[::-1])

    assert Policy.of_config(config).digest == Policy.of_config(turned).digest


@pytest.mark.parametrize(
    ("currency", "budget", "minor"), [("JPY", "500", 500), ("KWD", "1.234", 1234), ("EUR", "1.5", 150)]
)
def test_a_currency_brings_its_minor_unit(currency: str, budget: str, minor: int) -> None:
    config = parse_policy({"policy": {"currency": currency}, "period": [{"budget": budget}]})

    assert Policy.of_config(config).budgets == (minor,)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"policy": {}}, "policy.currency"),
        ({"policy": {"currency": "euro"}}, "policy.currency"),
        ({"policy": {"currency": "EUR", "value_part": 0.5}}, "policy.value_part"),
        ({"policy": {"currency": "EUR", "value_part": "3/2"}}, "policy.value_part"),
        ({"policy": {"currency": "EUR", "paid_now": "1/0"}}, "policy.paid_now"),
        ({"policy": {"currency": "EUR", "lam": "1/2"}}, "policy.lam"),
        ({"period": []}, "period"),
        ({"period": {"budget": "1"}}, "period"),
        ({"period": [{"budget": "1.005"}]}, "period[1].budget"),
        ({"period": [{"budget": "-1"}]}, "period[1].budget"),
        ({"costs": {"cap": "0.005"}}, "costs.cap"),
        ({"policy": {"currency": "JPY"}, "costs": {"cap": "1000.5"}}, "costs.cap"),
        ({"policy": {"currency": "EUR", "minor_digits": 6}, "period": [{"budget": "999999999999999"}]}, "period"),
        ({"period": [{"budget": "9999999999999999"}] * 2}, "period[1].budget"),
        ({"policy": {"currency": "KWD"}, "period": [{"budget": "600000000000000"}] * 2}, "period"),
        ({"policy": {"currency": "EUR", "minor_digits": 6}, "costs": {"cap": "999999999999999"}}, "period"),
        ({"period": [{"budget": 1}]}, "period[1].budget"),
        ({"period": [{"budget": "1e3"}]}, "period[1].budget"),
        ({"price": [{"what": "GPU", "amount": "1"}]}, "price[1].what"),
        ({"price": [{"what": "a", "amount": "1"}, {"what": "a", "amount": "2"}]}, "price"),
        ({"owner": [{"name": "x", "organisations": ["a"]}]}, "owner[1].organisations"),
        ({"owner": [{"name": "x", "organisations": ["a", "b"]}, {"name": "y", "organisations": ["b", "c"]}]}, "owner"),
        ({"budget": "1"}, "budget"),
    ],
    ids=str,
)
def test_a_wrong_key_is_named(changed: dict[str, Any], key: str) -> None:
    whole: dict[str, Any] = {"policy": {"currency": "EUR"}, "period": [{"budget": "1"}]}
    with pytest.raises(ConfigError) as caught:
        parse_policy(whole | changed)

    assert key in [problem.key for problem in caught.value.problems]


def test_every_problem_is_there_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_policy(written(tmp_path, '[policy]\ncurrency = "x"\n[costs]\ncap = "y"\n[other]\n'))

    assert {problem.key for problem in caught.value.problems} == {"policy.currency", "costs.cap", "other", "period"}


def test_bytes_of_no_policy_are_refused(tmp_path: Path) -> None:
    data = Policy.of_config(load_policy(written(tmp_path))).data
    for wrong in (b"", data[:-1], data + b"\0", b"the money rule"):
        with pytest.raises(BadPolicyError):
            Policy.of(wrong)
