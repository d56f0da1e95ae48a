"""A server runs for weeks: of a message nobody waits for any more nothing stays, however far its answer had come."""

from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from fedgap.flower import contract
from fedgap.flower.fleet import Fleet, GoneError
from fedgap.flower.superlink import SMALL_BYTES
from tests.flower.test_superlink import Line, ask, serve_one

LARGE = bytes(range(256)) * (16 << 12)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One line for all tests here."""
    with closing(Line(tmp_path_factory.mktemp("line"))) as line:
        yield line


def counts(line: Line) -> dict[str, int]:
    """How much of messages there is."""
    state = line.link.state
    return {
        "requests": state.num_message_ins(),
        "answers": state.num_message_res(),
        "objects": len(state.object_store),
        "sendings": len(state._object_push_sessions),
        "allowed": len(line.link._allowance._rooms),
        "files": len(list((line.folder / "transit").iterdir())),
    }


def answer(node: Fleet, body: bytes) -> None:
    """Answer one message, as far as the server takes it."""
    with suppress(GoneError):
        serve_one(node, lambda _: contract.answered(body))


@pytest.mark.parametrize("is_looked_at", [False, True])
@pytest.mark.parametrize("body", [b"", b"small", LARGE])
@pytest.mark.parametrize("most_bytes", [SMALL_BYTES, 1 << 30])
def test_nothing_stays_of_an_answer_that_has_come_wholly_or_in_part(
    line: Line, body: bytes, most_bytes: int, *, is_looked_at: bool
) -> None:
    node, number = line.connected(f"node-{len(body)}-{most_bytes}-{is_looked_at}")
    name = ask(line, number, b"x" * 200_000, most_bytes=most_bytes)
    answer(node, body)
    if is_looked_at:
        list(line.link.receive([name], most_bytes=most_bytes))
    line.link.withdraw([name])
    node.close()

    assert set(counts(line).values()) == {0}, counts(line)
