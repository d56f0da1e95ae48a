"""Public randomness is a function of its key and nothing else, and looks like chance."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedgap import counter

keys = st.integers(0, 2**64 - 1)
parts = st.lists(st.text(max_size=4) | st.integers(-10, 10), max_size=4)

SEED_1234567 = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def test_words_are_those_of_splitmix64() -> None:
    """The vector that published implementations print for the seed 1234567."""
    assert counter.words(1234567, 5).tolist() == SEED_1234567


@given(key=keys, skipped=st.integers(0, 40), count=st.integers(0, 40))
def test_a_stream_may_be_read_from_any_position(key: int, skipped: int, count: int) -> None:
    whole = counter.words(key, skipped + count)

    np.testing.assert_array_equal(counter.words(key, count, start=skipped), whole[skipped:])
    np.testing.assert_array_equal(
        counter.uniform(key, count, start=skipped), counter.uniform(key, skipped + count)[skipped:]
    )


@given(key=keys, count=st.integers(0, 300))
def test_a_permutation_names_each_position_once(key: int, count: int) -> None:
    assert sorted(counter.permutation(key, count).tolist()) == list(range(count))


def test_permutations_take_every_order_about_equally_often() -> None:
    """The six orders of three things, over 6,000 keys: each within five standard deviations of 1,000."""
    seen: dict[tuple[int, ...], int] = {}
    for number in range(6000):
        order = tuple(counter.permutation(counter.key("order", number), 3).tolist())
        seen[order] = seen.get(order, 0) + 1

    assert len(seen) == 6
    assert all(abs(times - 1000) < 5 * 29 for times in seen.values())


@given(one=parts, other=parts)
def test_different_parts_make_different_keys(one: list[str | int], other: list[str | int]) -> None:
    same = [(type(part), part) for part in one] == [(type(part), part) for part in other]

    assert same == (counter.key(*one) == counter.key(*other))


def test_a_key_tells_text_from_numbers_and_where_one_part_ends() -> None:
    assert counter.key("1") != counter.key(1)
    assert counter.key("ab", "c") != counter.key("a", "bc")
    assert counter.key("a", "") != counter.key("a")


def test_a_key_stays_what_it_was() -> None:
    """A changed key would change every model; SHA-256 of b's' + 8 bytes of length + b'a', and so on."""
    assert counter.key() == int.from_bytes(bytes.fromhex("e3b0c44298fc1c14"), "big")
    assert counter.key(7, "order", 1, "clinic-1") == 0xE5A8E251C56FE09D
    assert 0 <= counter.key("a") < 2**64


def test_uniform_numbers_fill_the_interval_evenly() -> None:
    drawn = counter.uniform(counter.key("uniform"), 100_000)

    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 5 / np.sqrt(12 * 100_000)
    counted, _ = np.histogram(drawn, bins=20, range=(0, 1))
    assert abs(counted - 5000).max() < 5 * np.sqrt(5000)


@given(many=st.lists(keys, max_size=5), count=st.integers(0, 40))
def test_many_streams_at_once_are_each_of_them(many: list[int], count: int) -> None:
    expected = [counter.words(key, count).tolist() for key in many]

    assert expected == counter.words_of(many, count).tolist()
    assert [counter.permutation(key, count).tolist() for key in many] == counter.permutations(many, count).tolist()
    assert [counter.uniform(key, count).tolist() for key in many] == counter.uniform_of(many, count).tolist()


@given(prefix=parts, lasts=st.lists(st.text(max_size=4) | st.integers(-10, 10), max_size=4))
def test_many_keys_at_once_are_each_of_them(prefix: list[str | int], lasts: list[str | int]) -> None:
    assert [counter.key(*prefix, last) for last in lasts] == counter.keys(prefix, lasts)
    assert [counter.key(last, *prefix) for last in lasts] == counter.keys_of(lasts, *prefix)


@given(many=st.lists(st.tuples(keys, st.integers(0, 40)), min_size=1, max_size=5))
def test_orders_of_different_lengths_are_drawn_at_once(many: list[tuple[int, int]]) -> None:
    drawn = counter.permutations_of([key for key, _ in many], np.array([count for _, count in many]))

    assert drawn.shape == (len(many), max(count for _, count in many))
    for line, (key, count) in zip(drawn, many, strict=True):
        assert counter.permutation(key, count).tolist() == line[:count].tolist()
