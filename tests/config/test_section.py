"""What all sections have in common: frozen values, and keys and texts that fit on one line."""

import copy
import json
import pickle
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.config.section import FrozenMapping, Problem, freeze, key_path, nearest, printable

trees = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(tree=trees)
def test_a_frozen_value_is_hashable_and_survives_copying_and_pickling(tree: object) -> None:
    frozen = freeze(tree)

    assert isinstance(hash(frozen), int)
    assert frozen == copy.deepcopy(frozen) == pickle.loads(pickle.dumps(frozen))  # noqa: S301 - our own bytes
    assert json.loads(json.dumps(tree)) == json.loads(json.dumps(frozen))


@pytest.mark.parametrize(
    "change", ["d['a'] = 2", "del d['a']", "d.clear()", "d.update(b=2)", "d |= {'b': 2}", "d.pop('a')"]
)
def test_a_frozen_mapping_cannot_be_changed(change: str) -> None:
    mapping = FrozenMapping({"a": 1})

    with pytest.raises(TypeError, match="cannot be changed"):
        exec(change, {}, {"d": mapping})  # noqa: S102 - six statements, one law

    assert mapping == {"a": 1}
    assert type(pickle.loads(pickle.dumps(mapping))) is FrozenMapping  # noqa: S301 - our own bytes


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), position=st.integers(0, 99))
def test_a_key_is_written_on_one_line_and_as_toml_reads_it(key: str, position: int) -> None:
    path = key_path("section", position, key)

    assert path.isprintable()
    assert path.startswith(f"section[{position + 1}].")
    if key.isprintable():
        assert {key: 0} == tomllib.loads(f"{key_path(key)} = 0")


@given(text=st.text())
def test_a_problem_is_one_line_whatever_is_in_it(text: str) -> None:
    assert Problem("key", text, "Remedy.").line().isprintable()
    if text.isprintable():
        assert text == printable(text)


def test_the_nearest_word_is_suggested_and_nothing_far_away() -> None:
    assert nearest("bathc_size", ["rounds", "batch_size"]) == "Did you mean `batch_size`?"
    assert nearest("colour", ["rounds", "batch_size"]) is None
