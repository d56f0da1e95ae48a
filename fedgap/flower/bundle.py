"""A Flower call and the small objects that go with it, in one body over HTTP: two calls an exchange instead of nine.

    body   the call as Flower writes it | the objects, canonical bytes of [(name, content)]
    header where the objects begin

A node that waits at the door is given a message with its objects; it then answers in the same way. Neither happens
with Flower's own nodes and servers, nor with large messages: their objects are fetched and sent one by one.
"""

from collections.abc import Mapping

from fedgap.crypto import BadBytesError, decode, encode

OBJECTS_HEADER = "fedgap-objects"
MOST_BYTES = 1 << 19
"""Larger messages are not bundled; the door takes bodies of twice this size."""


def bundle(call: bytes, objects: Mapping[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Put a call and objects into one body; give it and its header."""
    return call + encode(tuple(objects.items())), {OBJECTS_HEADER: str(len(call))}


def unbundle(body: bytes, header: str | None) -> tuple[bytes, dict[str, bytes]]:
    """Take a body apart; without the header it is a call alone.

    Raises:
        BadBytesError: it is not what the header says.
    """
    if header is None:
        return body, {}
    if not header.isascii() or not header.isdigit() or len(header) > len(str(MOST_BYTES)) or int(header) > len(body):
        raise BadBytesError("A bundle has no objects where it says.")
    objects: dict[str, bytes] = {}
    pairs = decode(body[int(header) :])
    for pair in pairs if isinstance(pairs, tuple) else (None,):
        match pair:
            case (str(name), bytes(content)) if name not in objects:
                objects[name] = content
            case _:
                raise BadBytesError("A bundle holds something else than objects.")
    return body[: int(header)], objects
