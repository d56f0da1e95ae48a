"""Whatever a server says instead of a message, the site says that it cannot be had, and goes on."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from flwr.app import RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.proto.fleet_pb2 import PullMessagesResponse
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree
from hypothesis import example, given
from hypothesis import strategies as st

from fedgap.crypto import new_node_key
from fedgap.flower.contract import MESSAGE_TYPE
from fedgap.flower.fleet import Announced, Fleet, GoneError

NAME = "a" * 64
KINDS = ("Message", "RecordDict", "ConfigRecord", "ArrayRecord", "Array", "ArrayChunk")


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A node that never reaches a server."""
    made = Fleet("https://localhost:9", ca=None, key=new_node_key(), moved=lambda *_: None)
    with closing(made) as fleet:
        yield fleet


def announced(name: str) -> Announced:
    """A message that consists of this object."""
    metadata = Metadata(
        run_id=1,
        message_id="x",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="1",
        created_at=1.0,
        ttl=1.0,
        message_type=MESSAGE_TYPE,
    )
    return Announced(head=make_message(metadata=metadata, content=RecordDict()), tree=ObjectTree(object_id=name))


@pytest.mark.parametrize(
    "answer",
    [
        PullMessagesResponse(messages_list=[ProtoMessage()]),
        PullMessagesResponse(messages_list=[ProtoMessage()], message_object_trees=[ObjectTree()]),
    ],
)
def test_an_announcement_of_nothing_is_none(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, answer: PullMessagesResponse
) -> None:
    monkeypatch.setattr(fleet._client, "PullMessages", lambda _: answer)
    fleet._calls.given = {"": b"nothing"}
    with pytest.raises(GoneError):
        fleet.fetch(fleet.ask() or announced(NAME))


@example(kind="Array", children=(), body=b'{"arraychunk_ids": [1], "shape": [1], "dtype": "uint8", "stype": ""}')
@example(kind="Message", children=(), body=b"\xff")
@example(kind="Message", children=(NAME,), body=b"")
@given(
    kind=st.sampled_from(KINDS),
    children=st.lists(st.just(NAME), max_size=2).map(tuple),
    body=st.binary(max_size=60),
)
def test_content_that_is_no_message_cannot_be_had(
    fleet: Fleet, kind: str, children: tuple[str, ...], body: bytes
) -> None:
    head = f"{kind} {','.join(children)} {len(body)}".encode() + b"\0"
    fleet._calls.given = {NAME: head + body}
    with pytest.raises(GoneError):
        fleet.fetch(announced(NAME))
