"""Letters open for their reader only; a leaf shows that it belongs to a root, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.crypto import (
    BadLetterError,
    is_leaf,
    leaf_paths,
    open_letter,
    root_of_chunks,
    root_of_leaves,
    seal_letter,
)
from fedgap.crypto.merkle import CHUNK_BYTES

leaves = st.lists(st.binary(max_size=8), min_size=1, max_size=20)


def test_a_letter_opens_with_its_key_label_and_context() -> None:
    letter = seal_letter(b"k" * 32, b"two shares", "letter", 1, 2)
    assert open_letter(b"k" * 32, letter, "letter", 1, 2) == b"two shares"


@pytest.mark.parametrize(
    ("key", "label", "context"),
    [(b"x" * 32, "letter", (1, 2)), (b"k" * 32, "other", (1, 2)), (b"k" * 32, "letter", (2, 1))],
)
def test_a_letter_opens_with_nothing_else(key: bytes, label: str, context: tuple[int, int]) -> None:
    letter = seal_letter(b"k" * 32, b"two shares", "letter", 1, 2)
    with pytest.raises(BadLetterError):
        open_letter(key, letter, label, *context)


def test_a_changed_or_shortened_letter_does_not_open() -> None:
    letter = seal_letter(b"k" * 32, b"two shares", "letter")
    for wrong in (bytes([letter[0] ^ 1]) + letter[1:], letter[:-1], b"", letter[:10]):
        with pytest.raises(BadLetterError):
            open_letter(b"k" * 32, wrong, "letter")


@given(leaves)
def test_every_leaf_belongs_where_it_is_and_nowhere_else(items: list[bytes]) -> None:
    root = root_of_leaves("rows", items)
    for position, item in enumerate(items):
        path = leaf_paths(items)[position]
        assert is_leaf("rows", root, item, position=position, count=len(items), path=path)
        assert not is_leaf("rows", root, item + b"x", position=position, count=len(items), path=path)
        assert not is_leaf("other", root, item, position=position, count=len(items), path=path)
        assert not is_leaf("rows", root, item, position=position, count=len(items) + 1, path=path)
        assert not is_leaf("rows", root, item, position=len(items), count=len(items), path=path)
        assert not is_leaf("rows", root, item, position=position, count=len(items), path=(*path, bytes(32)))
        if path:
            assert not is_leaf("rows", root, item, position=position, count=len(items), path=path[:-1])


@given(leaves, leaves)
def test_different_leaves_have_different_roots(one: list[bytes], other: list[bytes]) -> None:
    assert (one == other) == (root_of_leaves("rows", one) == root_of_leaves("rows", other))


def test_a_pair_of_nodes_is_not_a_leaf() -> None:
    assert root_of_leaves("rows", [b"ab"]) != root_of_leaves("rows", [b"a", b"b"])


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_chunks_are_leaves(size: int) -> None:
    content = bytes(k % 251 for k in range(size))
    chunks = [content[at : at + CHUNK_BYTES] for at in range(0, size, CHUNK_BYTES)]
    assert root_of_leaves("upload", chunks) == root_of_chunks("upload", content)
