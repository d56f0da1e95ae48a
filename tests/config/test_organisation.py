"""How an organisation behaves, as it is written and as it is read."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.config import ConfigError, Organisation
from fedgap.config.organisation import Behaviour, parse_behaviour
from fedgap.config.problems import read_section
from fedgap.ids import ID_PATTERN, OrgId

plain: st.SearchStrategy[Literal["honest", "zero", "flip"]] = st.sampled_from(["honest", "zero", "flip"])
behaviours = st.one_of(
    plain.map(Behaviour),
    st.floats(1e-4, 1).map(lambda share: Behaviour("noise", share=round(share, 6))),
    st.floats(1e-4, 1).map(lambda share: Behaviour("absent", share=round(share, 6))),
    st.from_regex(ID_PATTERN, fullmatch=True).map(lambda of: Behaviour("copy", of=OrgId(of))),
)


@given(behaviour=behaviours)
def test_a_behaviour_is_read_as_it_is_written(behaviour: Behaviour) -> None:
    assert behaviour == parse_behaviour(str(behaviour))


WRONG = (
    "Honest honest: zero:1 copy copy: copy:A copy:a:b noise noise: noise:0 noise:1.01 noise:-0.1 noise:nan noise:1e-1 "
    "absent absent: absent:0 absent:2 absent:x"
)


@pytest.mark.parametrize("text", [*WRONG.split(), "", "noise:0.4 ", "noise:\u0661", 3, None, True, ["honest"]])
def test_anything_else_is_no_behaviour(text: object) -> None:
    organisation, problems = read_section(Organisation, {"id": "a", "data": "a.csv", "behave": text}, "organisation", 2)

    assert organisation is None
    assert [problem.key for problem in problems] == ["organisation[3].behave"]
    assert '"noise:P" or "absent:P" with 0 < P <= 1' in problems[0].remedy


def test_an_organisation_is_called_by_its_id_unless_it_has_a_name() -> None:
    assert Organisation(id=OrgId("north")).name == "north"
    assert Organisation(id=OrgId("north"), name="Clinic North").name == "Clinic North"


def test_a_wrong_id_is_reported_once_although_the_name_follows_from_it() -> None:
    organisation, problems = read_section(Organisation, {"id": "North"}, "organisation", 0)

    assert organisation is None
    assert [problem.key for problem in problems] == ["organisation[1].id"]
    assert "config.invalid" in ConfigError(problems).line()
