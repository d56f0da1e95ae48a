"""What TLS costs before anybody is known: how many connections may be in their handshake, and how many may begin.

A handshake takes milliseconds of processor time and a quarter of a megabyte. Newcomers get in: where there are too many
unfinished ones, the oldest goes, of this address or of all, so that whoever says nothing locks nobody out. Who begins
too many is refused; when all together do, only addresses without a finished connection are.
"""

import ipaddress
import socket
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from fedgap.flower.restraint import Budget

HANDSHAKE_S = 10.0
"""Unfinished handshakes that are older go when somebody else comes."""

UNFINISHED_FROM_ONE, UNFINISHED = 128, 512
"""Handshakes at a time: of one address (a consortium may be behind one), and of all."""

BEGUN_FROM_ONE, BEGUN = 600, 6000
"""Handshakes in a minute."""

Peer: TypeAlias = tuple[str, int]


def household_of(host: str) -> str:
    """Give what counts as one address: with IPv6 a household has 2**64 of them, so the first half of it."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    return address.exploded[:19] if address.ipv4_mapped is None else str(address.ipv4_mapped)


@dataclass(slots=True)
class Handshakes:
    """Who is in the middle of a handshake; called in the listener's thread, and read by tests from others.

    Attributes:
        proxies: the operator's own; each speaks for many callers, so no limit of one address is theirs.
    """

    clock: Callable[[], float] = time.monotonic
    proxies: Container[str] = ()
    unfinished: OrderedDict[Peer, tuple[float, "Accepted"]] = field(default_factory=OrderedDict)
    finished: Counter[str] = field(default_factory=Counter)
    _one: Budget = field(init=False)
    _all: Budget = field(init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._one, self._all = Budget(BEGUN_FROM_ONE, self.clock), Budget(BEGUN, self.clock)

    def may_begin(self, host: str) -> bool:
        """Count a handshake; tell whether it may begin."""
        if host in self.proxies:
            return True
        with self._lock:
            household = household_of(host)
            if not self._one.allows(household):  # nor does it count for all: else one stranger could refuse everybody
                return False
            return self._all.allows("") or self.finished[household] > 0

    def begin(self, connection: "Accepted") -> None:
        """Remember a connection that begins; end those that take too long or are too many, the oldest first."""
        with self._lock:
            now, household = self.clock(), household_of(connection.peer[0])
            self.unfinished[connection.peer] = now, connection
            of_host = [peer for peer in self.unfinished if household_of(peer[0]) == household]
            most = UNFINISHED if connection.peer[0] in self.proxies else UNFINISHED_FROM_ONE
            ended = [peer for peer, (began, _) in self.unfinished.items() if now - began > HANDSHAKE_S]
            ended += of_host[: max(0, len(of_host) - most)]
            ended += list(self.unfinished)[: max(0, len(self.unfinished) - UNFINISHED)]
            for peer in dict.fromkeys(ended):
                _, one = self.unfinished.pop(peer)
                one.hang_up()

    def end(self, peer: Peer) -> None:
        """Note that a handshake is over and TLS stands."""
        with self._lock:
            if self.unfinished.pop(peer, None) is not None:
                self.finished[household_of(peer[0])] += 1

    def forget(self, peer: Peer) -> None:
        """Note that a connection is closed."""
        with self._lock:
            household = household_of(peer[0])
            if self.unfinished.pop(peer, None) is None and self.finished[household] > 0:
                self.finished[household] -= 1
            self.finished += Counter()  # drops what is zero


class Accepted(socket.socket):
    """A connection that says when it is closed."""

    def __init__(self, connection: socket.socket, peer: Peer, handshakes: Handshakes) -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self.peer, self._handshakes, self._is_open = peer, handshakes, True

    def close(self) -> None:
        """Close it."""
        super().close()
        if self._is_open:
            self._is_open = False
            self._handshakes.forget(self.peer)

    def hang_up(self) -> None:
        """End it, so that whoever reads from it finds the end and closes it."""
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class Gate(socket.socket):
    """A listening socket that hands on only whom `Handshakes` lets begin."""

    handshakes: Handshakes

    def accept(self) -> tuple[socket.socket, Any]:
        """Take the next connection that may begin; refused ones are closed without a word."""
        while True:
            connection, address = super().accept()
            peer: Peer = address[:2]
            if not self.handshakes.may_begin(peer[0]):
                connection.close()
                continue
            accepted = Accepted(connection, peer, self.handshakes)
            self.handshakes.begin(accepted)
            return accepted, address


def gates(host: str, port: int, handshakes: Handshakes) -> list[Gate]:
    """Bind a gate to each address that a host name stands for.

    Raises:
        OSError: nothing can listen there.
    """
    made: list[Gate] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(
            socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ):
            gate = Gate(family, kind, protocol)
            made.append(gate)
            gate.handshakes = handshakes
            gate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                gate.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            gate.bind(address)
    except OSError:
        for gate in made:
            gate.close()
        raise
    return made
