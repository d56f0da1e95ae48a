"""Who calls behind a reverse proxy: what our own proxies say is believed, what callers say of themselves is not."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedgap.flower.proxies import LOOPBACK, Behind, Proxies, Scope

OURS = Proxies.at((*LOOPBACK, "10.0.0.0/8", "fd00::7"))
STRANGERS = st.ip_addresses().map(str).filter(lambda text: text not in OURS and "::ffff:" not in text)
INSIDE = st.sampled_from(["127.0.0.1", "10.2.3.4", "fd00::7", "::ffff:10.9.9.9"])
LIES = st.lists(st.one_of(STRANGERS, INSIDE, st.text("abc,.: \t\xff", max_size=8)), max_size=4)


@given(lies=LIES, caller=STRANGERS, inside=st.lists(INSIDE, max_size=3), cut=st.integers(0, 8))
def test_the_caller_is_the_last_address_that_is_none_of_our_proxies(
    lies: list[str], caller: str, inside: list[str], cut: int
) -> None:
    """Whatever callers write before it, and whether proxies lengthen the header or add another one."""
    names = [*lies, caller, *inside]
    headers = [", ".join(part).encode("latin-1") for part in (names[:cut], names[cut:]) if part]

    assert OURS.caller(headers) == caller


@pytest.mark.parametrize(
    ("header", "caller"),
    [
        (b"192.0.2.1:5000", "192.0.2.1"),
        (b"[2001:db8::1]:5000", "2001:db8::1"),
        (b"2001:DB8:0::1", "2001:db8::1"),
        (b"::ffff:192.0.2.1", "192.0.2.1"),
        (b"10.0.0.1", "10.0.0.1"),
        (b"unknown", None),
        (b"192.0.2.1, unknown", None),
        (b"", None),
        (b"9" * 100_000, None),
        (b"9" * 100_000 + b", 192.0.2.1", "192.0.2.1"),
    ],
)
def test_addresses_are_read_with_ports_and_in_one_spelling(header: bytes, caller: str | None) -> None:
    assert OURS.caller([header]) == caller


def called(headers: Mapping[str, str], peer: str, method: str = "POST") -> tuple[Any, list[str]]:
    """Give under which address a call gets through, and what was told."""
    seen: list[Any] = []
    told: list[str] = []

    async def application(scope: Scope, receive: object, send: object) -> None:
        del receive, send
        seen.append(scope["client"][0])

    async def nothing(*_: object) -> Any:  # noqa: ANN401 - nobody reads or writes
        return {}

    behind = Behind(application, OURS, told.append)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "client": (peer, 1), "headers": raw}
    for _ in range(2):
        asyncio.run(behind(dict(scope), nothing, nothing))
    return seen[-1], told


def test_a_stranger_cannot_name_itself() -> None:
    assert called({"x-forwarded-for": "192.0.2.9"}, "192.0.2.1") == ("192.0.2.1", [])
    assert called({"x-forwarded-for": "192.0.2.9"}, "10.1.1.1") == ("192.0.2.9", [])


def test_a_proxy_that_does_not_say_who_calls_is_told_of_once() -> None:
    assert called({}, "10.1.1.1") == ("10.1.1.1", ["10.1.1.1"])
    assert called({}, "10.1.1.1", method="GET") == ("10.1.1.1", [])
