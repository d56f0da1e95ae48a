"""What is under way: large objects are files, small ones are not, and nothing outlives its message or the process."""

from pathlib import Path

import pytest
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, no_object_id_recompute
from flwr.supercore.object_store import NoObjectInStoreError

from fedgap.flower import contract
from fedgap.flower.contract import Request
from fedgap.flower.transit import ON_DISK_BYTES, Transit
from fedgap.storage import DiskFullError, StorageError

RUN = 7


def objects(body: bytes) -> tuple[ObjectTree, dict[str, bytes]]:
    """The tree and the objects of a message's content."""
    content = contract.write_request(Request(purpose="relay", federation="test", stage_s=1.0, body=body))
    with no_object_id_recompute():
        nested = get_all_nested_objects(content)
        return get_object_tree(content), {name: one.deflate() for name, one in nested.items()}


LARGE = bytes(range(256)) * 3000


def files(folder: Path) -> list[str]:
    """What lies on disk."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", [0, 1, ON_DISK_BYTES, 6_000_000])
def test_what_is_put_is_got_until_it_is_deleted(tmp_path: Path, size: int) -> None:
    transit = Transit(tmp_path / "transit")
    tree, parts = objects(LARGE[:size] if size < len(LARGE) else LARGE * (size // len(LARGE)))
    assert set(transit.preregister(RUN, tree)) == set(parts)
    for count, (name, part) in enumerate(parts.items()):
        assert transit.is_coming(tree.object_id), count
        assert transit.get(name) == b""
        transit.put(name, part)
        transit.put(name, part)
        assert transit.get(name) == part
        assert transit.is_large(name) == (len(part) >= ON_DISK_BYTES)
    assert not transit.is_coming(tree.object_id)
    assert files(tmp_path / "transit") == sorted(name for name, part in parts.items() if len(part) >= ON_DISK_BYTES)

    transit.delete(tree.object_id)
    assert (len(transit), files(tmp_path / "transit")) == (0, [])
    assert transit.get(tree.object_id) is None
    assert not transit.is_coming(tree.object_id)


def test_a_chunk_that_another_message_needs_stays(tmp_path: Path) -> None:
    transit = Transit(tmp_path)
    tree, parts = objects(LARGE)
    chunk = next(name for name, part in parts.items() if len(part) >= ON_DISK_BYTES)
    other = ObjectTree(object_id="a" * 64, children=[ObjectTree(object_id=chunk)])
    for one in (tree, other):
        transit.preregister(RUN, one)
    transit.put(chunk, parts[chunk])
    transit.delete(tree.object_id)
    assert transit.get(chunk) == parts[chunk]
    transit.delete(other.object_id)
    assert files(tmp_path) == []


def test_what_was_not_announced_or_is_something_else_is_not_kept(tmp_path: Path) -> None:
    transit = Transit(tmp_path)
    tree, parts = objects(LARGE)
    name, part = next(iter(parts.items()))
    with pytest.raises(NoObjectInStoreError):
        transit.put(name, part)
    transit.preregister(RUN, tree)
    with pytest.raises(ValueError, match="does not match"):
        transit.put(name, part + b"x")
    assert files(tmp_path) == []


def test_an_earlier_process_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "transit").mkdir()
    (tmp_path / "transit" / "left").write_bytes(b"x")
    assert len(Transit(tmp_path / "transit")) == 0
    assert files(tmp_path / "transit") == []


def test_a_full_disk_is_a_typed_error_that_the_operator_reads_and_the_object_is_still_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    transit = Transit(tmp_path)
    tree, parts = objects(LARGE)
    transit.preregister(RUN, tree)
    large = next(name for name, part in parts.items() if len(part) >= ON_DISK_BYTES)
    for number, kind in ((28, DiskFullError), (5, StorageError)):
        with monkeypatch.context() as patch:

            def fail(path: Path, content: bytes, number: int = number) -> None:
                del path, content
                raise OSError(number, "no")

            patch.setattr(Path, "write_bytes", fail)
            with pytest.raises(kind):
                transit.put(large, parts[large])
        assert transit.get(large) == b""
    assert caplog.text.count(f"A message cannot be kept in {tmp_path}") == 2
    transit.put(large, parts[large])
    assert transit.get(large) == parts[large]
