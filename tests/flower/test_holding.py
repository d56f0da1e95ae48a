"""Questions that are held open: they end with a message, with their time, with a newer question, or with the server."""

import asyncio
import threading
from collections.abc import Coroutine

import pytest

from fedgap.flower import holding
from fedgap.flower.holding import MOST_WAIT_S, Holding, wait_of

NODE = 5


def run(test: Coroutine[None, None, None]) -> None:
    """Run in a loop of its own."""
    asyncio.run(asyncio.wait_for(test, 30))


async def held(held_by: Holding, seconds: float, gone: "asyncio.Future[None] | None" = None) -> bool:
    """Ask once and wait."""
    with held_by.place(NODE, seconds) as place:
        return await place.wait(gone or asyncio.get_running_loop().create_future())


def test_a_message_from_another_thread_wakes_its_node_and_no_other() -> None:
    async def test() -> None:
        one = Holding()
        waiting = asyncio.create_task(held(one, 20))
        await asyncio.sleep(0.01)
        one.wake(NODE + 1)
        await asyncio.sleep(0.05)
        assert not waiting.done()
        threading.Thread(target=one.wake, args=(NODE,)).start()
        assert await waiting is True

    run(test())


def test_a_wake_between_looking_and_waiting_is_not_lost() -> None:
    async def test() -> None:
        one = Holding()
        with one.place(NODE, 20) as place:
            one.wake(NODE)
            assert await place.wait(asyncio.get_running_loop().create_future())

    run(test())


def test_the_time_is_over_sooner_than_proxies_cut_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        assert await held(Holding(), 0.05) is False
        monkeypatch.setattr(holding, "MOST_WAIT_S", 0.05)
        assert await held(Holding(), 9999) is False  # `run` gives it half a minute

    run(test())


def test_a_newer_question_ends_the_older_one_and_only_that_one() -> None:
    async def test() -> None:
        one = Holding()
        first = asyncio.create_task(held(one, 20))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(held(one, 20))
        assert await first is False
        one.wake(NODE)
        assert await second is True

    run(test())


def test_who_hangs_up_is_not_woken() -> None:
    async def test() -> None:
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(held(Holding(), 20, gone))
        await asyncio.sleep(0.01)
        gone.set_result(None)
        assert await waiting is False

    run(test())


def test_a_server_that_ends_sends_everybody_away_and_holds_nobody() -> None:
    async def test() -> None:
        one = Holding()
        waiting = asyncio.create_task(held(one, 20))
        await asyncio.sleep(0.01)
        one.close()
        assert await waiting is False
        assert await held(one, 20) is False

    run(test())


def test_whoever_wakes_after_the_listener_has_ended_does_no_harm() -> None:
    one = Holding()

    async def leave() -> None:
        one.place(NODE, 20).__enter__()

    asyncio.run(leave())
    one.wake(NODE)
    one.close()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0), ("", 0), ("5", 5), ("0", 0), ("999", MOST_WAIT_S), ("99999", 0), ("-1", 0), ("1e9", 0), ("\u0665", 0)],
)
def test_only_a_whole_number_of_seconds_is_waited_for(header: str | None, seconds: float) -> None:
    assert wait_of(header) == seconds
