"""Large messages in pieces: put together, and taken apart, with one copy of the body in memory and a few pieces beside.

Flower cuts an array into chunks of 5 MB, and by itself holds all of them, their contents and the whole array at once:
four times what was sent. Here the chunks of the one array that a message may hold (`fedgap.flower.contract`) are read
in order and appended; chunks on their way to the server are cut off and sent, a few at a time.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from typing import TypeVar

from flwr.app import Array, Message
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_object_body,
    get_object_children_ids_from_object_content,
    get_object_type_from_object_content,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from fedgap.errors import FedgapError

T = TypeVar("T")
R = TypeVar("R")

Get = Callable[[str], bytes]
"""Gives the content of one of Flower's objects by its id."""

Moved = Callable[[int, int], None]
"""Told how many bytes of a body are through, and how many it has."""

AT_ONCE = 2
"""Pieces on their way at a time: one is worked on while another travels."""

_MOST_DEPTH = 4
"""Message, records, record, array; chunks lie below."""


class TooLargeError(FedgapError):
    """A message is larger than what was asked for; nothing of it is used."""

    code = "flower.too-large"
    remedy = "The other side runs another program or another version."


def put_together(tree: ObjectTree, get: Get, *, most_bytes: int, moved: Moved = lambda done, total: None) -> Message:  # noqa: ARG005 - nobody listens
    """Make a message from its objects, reading each chunk of its array once.

    Args:
        tree: what it is made of.
        get: gives an object; several threads call it if it may take long.
        most_bytes: no body is larger, however often it names a chunk.
        moved: told of each chunk.

    Raises:
        TooLargeError: the message is larger than that.
        ValueError, KeyError, TypeError: these objects are no message; Flower's readers may raise others.
    """
    contents: dict[str, bytes] = {}
    arrays: dict[str, InflatableObject] = {}

    def collect(node: ObjectTree, depth: int) -> None:
        content = get(node.object_id)
        kind = get_object_type_from_object_content(content)
        if depth > _MOST_DEPTH or kind == ArrayChunk.__qualname__:
            raise ValueError("a message is nested in another way than ours")
        if kind == Array.__qualname__:
            arrays[node.object_id] = _array(content, get, most_bytes, moved)
            return
        contents[node.object_id] = content
        for child in node.children:
            collect(child, depth + 1)

    collect(tree, 1)
    message = inflate_object_from_contents(tree.object_id, contents, objects=arrays)
    if not isinstance(message, Message):
        raise TypeError("an object is no message")
    return message


def _array(content: bytes, get: Get, most_bytes: int, moved: Moved) -> Array:
    """Read an array's chunks in their order into one piece of memory."""
    children = get_object_children_ids_from_object_content(content)
    head = json.loads(get_object_body(content, Array))
    names = [children[position] for position in head["arraychunk_ids"]]
    shape = tuple(head["shape"])
    total = shape[0] if len(shape) == 1 and isinstance(shape[0], int) else 0
    body = BytesIO()
    for chunk in in_order(get, names):
        body.write(get_object_body(chunk, ArrayChunk))
        if body.tell() > most_bytes:
            raise TooLargeError(f"A body of more than {most_bytes} bytes came.")
        moved(body.tell(), total)
        del chunk
    return Array(dtype=head["dtype"], shape=shape, stype=head["stype"], data=body.getvalue())


def in_order(work: Callable[[T], R], items: Iterable[T], *, at_once: int = AT_ONCE) -> Iterator[R]:
    """Work on items in threads, a few at a time, and give the results in order.

    The items are taken in the caller's thread, each when there is room for it, so no more than these are in memory.
    """
    ahead: deque[Future[R]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(work, item))
                if len(ahead) >= at_once:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def send_apart(
    objects: dict[str, InflatableObject],
    wanted: Iterable[str],
    push: Callable[[str, bytes], object],
    *,
    total: int,
    moved: Moved = lambda done, total: None,  # noqa: ARG005 - nobody listens
) -> None:
    """Send the objects that the other side lacks, each written as bytes when it is its turn.

    Args:
        objects: of a message, by id.
        wanted: which of them.
        push: sends one; what it raises ends the sending.
        total: size of the message's body, for `moved`.
        moved: told of each object that is through.
    """
    lacking = set(wanted)

    def send(part: tuple[str, bytes]) -> int:
        push(*part)
        return len(part[1])

    parts = ((name, objects[name].deflate()) for name in list(objects) if name in lacking)
    done = 0
    for size in in_order(send, parts):
        done += size
        moved(min(done, total), total)
