"""Large messages in pieces: what was taken apart is put together, with one copy of it in memory, or refused."""

import json
import threading
import tracemalloc
from collections.abc import Mapping

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.message.arraychunk import ArrayChunk
from flwr.app.metadata import Metadata
from flwr.common.constant import FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE as CHUNK_BYTES
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.constant import HEAD_BODY_DIVIDER
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
)
from hypothesis import given
from hypothesis import strategies as st

from fedgap.flower import contract
from fedgap.flower.assembly import TooLargeError, in_order, put_together, send_apart
from fedgap.flower.contract import MESSAGE_TYPE, Reply

MOST = 1 << 30


def message_of(content: RecordDict) -> Message:
    """A message of the server with this content."""
    about = Metadata(
        run_id=1,
        message_id="",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="1",
        created_at=1.0,
        ttl=60.0,
        message_type=MESSAGE_TYPE,
    )
    return make_message(metadata=about, content=content)


def holding(data: bytes) -> Message:
    """A message with one array of bytes, however small."""
    array = Array(dtype="uint8", shape=(len(data),), stype="fedgap.bytes", data=data)
    return message_of(RecordDict({"head": ConfigRecord({"a": 1}), "body": ArrayRecord({"body": array})}))


def apart(message: Message) -> tuple[ObjectTree, dict[str, bytes]]:
    """The objects of a message, as they travel."""
    tree = get_object_tree(message)
    return tree, {name: one.deflate() for name, one in get_all_nested_objects(message).items()}


def body_of(message: Message) -> bytes:
    """What its one array holds."""
    return message.content.array_records["body"]["body"].data


def varied(size: int) -> bytes:
    """Bytes of which no two chunks are alike."""
    return b"".join(at.to_bytes(8, "big") for at in range(-(-size // 8)))[:size]


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 1]
)
def test_an_array_of_any_number_of_chunks_comes_back_whole(size: int) -> None:
    data = varied(size)
    tree, objects = apart(holding(data))
    heard: list[tuple[int, int]] = []

    found = put_together(tree, objects.__getitem__, most_bytes=MOST, moved=lambda *seen: heard.append(seen))

    assert body_of(found) == data
    assert heard == [(min(at + CHUNK_BYTES, size), size) for at in range(0, size, CHUNK_BYTES)]


def test_equal_chunks_travel_once_and_stand_where_they_belong() -> None:
    data = bytes(CHUNK_BYTES) + b"x" * CHUNK_BYTES + bytes(CHUNK_BYTES)
    tree, objects = apart(holding(data))

    assert sum(len(one) > CHUNK_BYTES for one in objects.values()) == 2
    assert body_of(put_together(tree, objects.__getitem__, most_bytes=MOST)) == data


def test_a_small_message_needs_no_array() -> None:
    content = contract.write_reply(Reply(status="ok", body=b"few"))
    tree, objects = apart(message_of(content))

    assert contract.read_reply(put_together(tree, objects.__getitem__, most_bytes=MOST).content).body == b"few"


def test_a_body_is_in_memory_once_with_a_few_chunks_beside() -> None:
    """Putting together, reading and taking apart take no second copy of a body of twelve chunks."""
    size = 12 * CHUNK_BYTES
    reply = Reply(status="ok", body=varied(size))
    tree, objects = apart(message_of(contract.write_reply(reply)))
    sent: dict[str, bytes] = {}

    tracemalloc.start()
    try:
        found = contract.read_reply(put_together(tree, objects.__getitem__, most_bytes=MOST).content)
        _, gathering = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        parts = get_all_nested_objects(message_of(contract.write_reply(found)))
        send_apart(parts, list(parts), lambda name, content: sent.update({name: content[:1]}), total=size)
        _, sending = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.body == reply.body
    assert gathering < 1.6 * size
    assert sending - before < 0.6 * size


def renamed(objects: Mapping[str, bytes], old: str, content: bytes) -> tuple[str, dict[str, bytes]]:
    """The objects with one in another's place, under its own name."""
    return get_object_id(content), {**objects, get_object_id(content): content, old: content}


def test_a_chunk_that_is_named_again_and_again_fills_no_memory() -> None:
    """Five megabytes on the wire could be a terabyte; the reading ends at what was asked for."""
    array = Array(dtype="uint8", shape=(1,), stype="fedgap.bytes", data=varied(CHUNK_BYTES))
    (chunk,) = get_all_nested_objects(array).keys() - {array.object_id}
    head = {"dtype": "uint8", "shape": [1], "stype": "fedgap.bytes", "arraychunk_ids": [0] * 200_000}
    body = json.dumps(head).encode()
    bomb = b"Array " + chunk.encode() + b" " + str(len(body)).encode() + HEAD_BODY_DIVIDER + body
    objects = {chunk: ArrayChunk(memoryview(varied(CHUNK_BYTES))).deflate(), "bomb": bomb}
    asked: list[str] = []

    def get(name: str) -> bytes:
        asked.append(name)
        return objects[name]

    tree = ObjectTree(object_id="bomb", children=[ObjectTree(object_id=chunk)])
    with pytest.raises(TooLargeError):
        put_together(tree, get, most_bytes=3 * CHUNK_BYTES)
    assert len(asked) < 10


def test_what_is_no_message_is_refused() -> None:
    array = Array(dtype="uint8", shape=(1,), stype="fedgap.bytes", data=b"x")
    parts, record = get_all_nested_objects(array), ConfigRecord({"a": 1})
    nested = ArrayChunk(memoryview(b"chunk"))

    with pytest.raises((TypeError, ValueError)):
        put_together(
            get_object_tree(array),
            {name: part.deflate() for name, part in parts.items()}.__getitem__,
            most_bytes=9,
        )
    with pytest.raises(TypeError):
        put_together(get_object_tree(record), {record.object_id: record.deflate()}.__getitem__, most_bytes=9)
    with pytest.raises(ValueError, match="nested"):
        put_together(ObjectTree(object_id="x"), {"x": nested.deflate()}.__getitem__, most_bytes=9)


@given(st.lists(st.integers(), max_size=20), st.integers(1, 4))
def test_results_come_in_the_order_of_the_items_and_few_are_taken_ahead(items: list[int], at_once: int) -> None:
    taken = [0]

    def counted() -> object:
        for item in items:
            taken[0] += 1
            yield item

    seen = []
    for result in in_order(lambda item: item + 1, counted(), at_once=at_once):  # type: ignore[arg-type]  # a generator
        seen.append(result)
        assert taken[0] <= len(seen) + at_once

    assert seen == [item + 1 for item in items]


def test_an_error_ends_the_work_and_what_is_ahead_is_not_begun() -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            begun.append(item)
        if item == 1:
            raise OSError("gone")
        return item

    with pytest.raises(OSError, match="gone"):
        list(in_order(work, range(1000)))
    assert len(begun) < 5


def test_only_what_the_other_side_lacks_is_sent() -> None:
    size = CHUNK_BYTES + 1
    objects = get_all_nested_objects(holding(varied(size)))
    lacking = list(objects)[1:]
    sent: list[str] = []
    heard: list[tuple[int, int]] = []

    send_apart(objects, lacking, lambda name, _: sent.append(name), total=size, moved=lambda *said: heard.append(said))

    assert sorted(sent) == sorted(lacking)
    assert all(done <= total == size for done, total in heard)
