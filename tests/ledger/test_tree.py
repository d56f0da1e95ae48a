"""The Merkle tree: Certificate Transparency's vectors, RFC 6962's definition, and proofs that only prove what is so."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.ledger.tree import (
    EMPTY,
    Tree,
    consistency_path,
    inclusion_path,
    is_consistent,
    is_included,
    leaf_hash,
    root_of,
)

INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
"""Leaves of the reference tree of Certificate Transparency's tests (merkletree tests of its log server)."""

ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [leaf_hash(bytes.fromhex(text)) for text in INPUTS]


def defined_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _below(len(leaves))
    return hashlib.sha256(b"\1" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


def defined_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = _below(len(leaves))
    if m < k:
        return [*defined_path(m, leaves[:k]), defined_root(leaves[k:])]
    return [*defined_path(m - k, leaves[k:]), defined_root(leaves[:k])]


def defined_proof(m: int, leaves: Sequence[bytes], *, is_whole: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.2."""
    if m == len(leaves):
        return [] if is_whole else [defined_root(leaves)]
    k = _below(len(leaves))
    if m <= k:
        return [*defined_proof(m, leaves[:k], is_whole=is_whole), defined_root(leaves[k:])]
    return [*defined_proof(m - k, leaves[k:], is_whole=False), defined_root(leaves[:k])]


def _below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def leaves_of(n: int) -> list[bytes]:
    """Hashes of n different leaves."""
    return [leaf_hash(str(k).encode()) for k in range(n)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert ROOTS[size - 1] == root_of(LEAVES[:size]).hex()


def test_the_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Tree().root == EMPTY


def test_a_path_is_that_of_certificate_transparency() -> None:
    expected = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]

    assert expected == [node.hex() for node in inclusion_path(LEAVES, 0)]


@pytest.mark.parametrize("size", range(1, 20))
def test_root_and_paths_are_what_the_rfc_defines(size: int) -> None:
    leaves = leaves_of(size)

    assert defined_root(leaves) == root_of(leaves)
    for m in range(size):
        assert defined_path(m, leaves) == inclusion_path(leaves, m)
    for m in range(1, size + 1):
        assert defined_proof(m, leaves) == consistency_path(leaves, m)


@given(st.integers(1, 70), st.data())
def test_a_path_shows_its_own_leaf_at_its_own_place_and_no_other(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    position, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(-1, size))
    path, root = inclusion_path(leaves, position), root_of(leaves)

    assert is_included(leaves[position], position=position, size=size, path=path, root=root)
    assert not is_included(leaf_hash(b"x"), position=position, size=size, path=path, root=root)
    if other != position:
        assert not is_included(leaves[position], position=other, size=size, path=path, root=root)
    assert not is_included(leaves[position], position=position, size=size, path=[*path, root], root=root)
    if path:
        assert not is_included(leaves[position], position=position, size=size, path=path[:-1], root=root)


@given(st.integers(1, 70), st.data())
def test_a_tree_is_consistent_with_its_own_past_and_no_other(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    before = data.draw(st.integers(1, size))
    path, root = consistency_path(leaves, before), root_of(leaves)
    old = root_of(leaves[:before])
    at = data.draw(st.integers(0, before - 1))
    other = root_of([*leaves[:at], leaf_hash(b"x"), *leaves[at + 1 : before]])

    assert is_consistent(before=before, root_before=old, size=size, root=root, path=path)
    assert not is_consistent(before=before, root_before=other, size=size, root=root, path=path)
    assert not is_consistent(before=before, root_before=old, size=size, root=other, path=path)
    assert not is_consistent(before=before, root_before=old, size=size, root=root, path=[*path, root])
    if path:
        assert not is_consistent(before=before, root_before=old, size=size, root=root, path=path[:-1])


def test_every_tree_begins_with_the_empty_one_and_none_with_a_longer_one() -> None:
    root = root_of(LEAVES)

    assert is_consistent(before=0, root_before=EMPTY, size=8, root=root, path=[])
    assert not is_consistent(before=0, root_before=root, size=8, root=root, path=[])
    assert not is_consistent(before=9, root_before=root, size=8, root=root, path=[root])
    assert not is_consistent(before=-1, root_before=root, size=8, root=root, path=[root])


@pytest.mark.parametrize(("before", "size"), [(4, 5), (2, 3), (1, 2), (4, 8)])
def test_a_path_with_too_many_nodes_is_refused_where_the_older_tree_is_full(before: int, size: int) -> None:
    leaves = leaves_of(size)
    path = consistency_path(leaves, before)
    longer = [*path, *path, *path]

    assert not is_consistent(
        before=before, root_before=root_of(leaves[:before]), size=size, root=root_of(leaves), path=longer
    )
