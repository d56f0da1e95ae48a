"""A server that waits between two of its rounds for what a test has to do by then."""

import threading
from collections.abc import Callable
from typing import TypeAlias

from fedgap.flower.charter import Founding
from fedgap.flower.gathering import Gathering
from fedgap.flower.roster import Roster
from fedgap.secagg.manifest import SignedManifest
from tests.flower.serving import Served
from tests.integration.deployment.stage import wait_until

Amend: TypeAlias = Callable[[Gathering, Founding], SignedManifest | None]


class Conductor:
    """Holds the server between two rounds until what has to be done by then is done: nothing depends on speed.

    Attributes:
        reached: set when so many rounds are finished.
        go_on: to be set when the server may look for another roster.
    """

    def __init__(self, server: Served, *places: int) -> None:
        self._sums = server.home.state / "sums"
        self._roster = Roster(server.home.book(), server.home.identity().public)
        self.reached = {place: threading.Event() for place in places}
        self.go_on = {place: threading.Event() for place in places}

    def amending(self, amend: Amend) -> Amend:
        """The server's look for another roster, in which it waits for everybody's signature under what it proposes."""

        def held(gathering: Gathering, founding: Founding) -> SignedManifest | None:
            place = len(list(self._sums.glob("*.bin")))
            if place in self.reached and not self.reached[place].is_set():
                self.reached[place].set()
                assert self.go_on[place].wait(500)
                assert amend(gathering, founding) is not None
                wait_until(lambda: not self._roster.unsigned(), seconds=300)
            return amend(gathering, founding)

        return held
