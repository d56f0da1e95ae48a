"""Who calls when a reverse proxy stands in front: what the operator's own proxies say, and nobody else.

Limits go by address, and behind a proxy every call comes from the proxy's. Each proxy appends the address that called
it to `X-Forwarded-For`; what stands further left may be written by anybody. So the caller is the last address there
that is none of our proxies.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

FORWARDED = b"x-forwarded-for"
LOOPBACK = ("127.0.0.0/8", "::1")
"""Where the proxy is with `certificate = "proxy"`: there everything comes from this machine."""

_MOST_BYTES = 1024
"""Longer lists of addresses are nobody's."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies in front of this server."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def at(cls, names: Iterable[str]) -> Self:
        """Make it from addresses and networks as server.toml has them."""
        return cls(tuple(ipaddress.ip_network(name) for name in names))

    def __contains__(self, host: object) -> bool:
        address = _address(str(host))
        return address is not None and any(address in network for network in self.networks)

    def caller(self, forwarded: Iterable[bytes]) -> str | None:
        """Give the address of who called our outermost proxy.

        Args:
            forwarded: every `X-Forwarded-For` of a call that one of the proxies made, in order.

        Returns:
            an IP address, one of a proxy if there are no others; None if the headers name none.
        """
        line = b",".join(forwarded)[-_MOST_BYTES:].decode("latin-1")
        caller = None
        for name in reversed(line.split(",")):
            address = _address(_without_port(name.strip()))
            if address is None:
                return caller
            caller = str(address)
            if caller not in self:
                return caller
        return caller


class Behind:
    """An application behind proxies; it is told who called them.

    Args:
        application: what answers.
        proxies: whose headers are believed.
        unnamed: told once, of a proxy that does not say who calls.
    """

    def __init__(self, application: Application, proxies: Proxies, unnamed: Callable[[str], None]) -> None:
        self._application, self._proxies, self._unnamed = application, proxies, unnamed
        self._is_told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, under its caller's address."""
        peer = (scope.get("client") or ("", 0))[0]
        if scope["type"] == "http" and peer in self._proxies:
            caller = self._proxies.caller(value for name, value in scope["headers"] if name == FORWARDED)
            if caller is not None:
                scope["client"] = (caller, 0)
            elif scope["method"] == "POST" and not self._is_told:  # a GET may be the proxy's own look at our health
                self._is_told = True
                self._unnamed(peer)
        await self._application(scope, receive, send)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(text: str) -> str:
    """Take `host`, `host:port`, `[host]` or `[host]:port` apart; the host of IPv6 alone has many colons."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
