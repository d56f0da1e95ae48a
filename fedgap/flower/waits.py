"""How long the server waited for each organisation, period by period: what bounds the costs that it may claim.

    begin   before requests go out   on disk: who is asked, and for how long at most
    heard   an answer, or none       that organisation's clock stops; a member that is sent more starts it again
    end     the exchange is over     nobody is waited for any longer

What a killed server cannot know any more counts in the organisation's favour: all the time it would have waited. So an
honest claim is never cut. Only the exchanges of rounds count: nothing else that a site does is claimed.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Self

from fedgap.config import FederationConfig
from fedgap.crypto import BadBytesError
from fedgap.crypto.codec import Between, pack, unpack
from fedgap.funding.bound import Devices, bounded
from fedgap.ids import OrgId
from fedgap.records import CostBounded, CostClaimed
from fedgap.records.values import Number, Organisation
from fedgap.storage import DamagedFileError, FolderJournal

NAME = "waits"
"""Under which name the journal keeps them."""

ASKED = "asked"
_MOST_MS = 2**50


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """One organisation in one period."""

    period: Number
    organisation: Organisation
    ms: Annotated[int, Between(0, _MOST_MS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWaits:
    """What is on disk."""

    KIND: ClassVar[str] = "waits/1"

    waits: tuple[Waited, ...]


@dataclass(slots=True, kw_only=True)
class Waits:
    """The clocks.

    Attributes:
        journal: keeps them.
        clock: seconds; never goes back.
    """

    journal: FolderJournal
    clock: Callable[[], float] = time.monotonic
    _ms: dict[tuple[int, OrgId], int] = field(default_factory=dict)
    _since: dict[OrgId, float] = field(default_factory=dict)
    _period: int = 0

    @classmethod
    def of(cls, journal: FolderJournal, *, clock: Callable[[], float] = time.monotonic) -> Self:
        """Take them up where the last process left them.

        Raises:
            DamagedFileError: the file is not what was written.
        """
        if not journal.has(NAME):
            return cls(journal=journal, clock=clock)
        try:
            kept = unpack(KeptWaits, journal.get(NAME))
        except BadBytesError as error:
            raise DamagedFileError(f"The file '{NAME}' in the journal is damaged.") from error
        found = {(one.period, one.organisation): one.ms for one in kept.waits}
        return cls(journal=journal, clock=clock, _ms=found)

    def begin(self, period: int, organisations: Iterable[OrgId], most_s: float) -> None:
        """Start the clocks of those who are asked; durable before a request goes out.

        Args:
            period: to which the round belongs.
            organisations: who is asked.
            most_s: how long they are waited for at most.
        """
        self.end()
        asked, most_ms = set(organisations), math.ceil(1000 * most_s)
        table = self._ms | {(period, org): self.waited_ms(period, org) + most_ms for org in asked}
        waits = tuple(
            Waited(period=at, organisation=org, ms=min(ms, _MOST_MS)) for (at, org), ms in sorted(table.items())
        )
        self.journal.put(NAME, pack(KeptWaits(waits=waits)))
        self._period, self._since = period, dict.fromkeys(asked, self.clock())

    def heard(self, organisation: OrgId, what: str) -> None:
        """Note what became of a request in the exchange that runs: `asked`, or anything that ends the waiting."""
        if self._period == 0:
            return
        if what == ASKED:
            self._since.setdefault(organisation, self.clock())
        elif organisation in self._since:
            self._stop(organisation)

    def end(self) -> None:
        """Stop every clock."""
        for organisation in list(self._since):
            self._stop(organisation)
        self._period = 0

    def waited_ms(self, period: int, organisation: OrgId) -> int:
        """Milliseconds that were waited for an organisation in a period, each wait rounded up."""
        return self._ms.get((period, organisation), 0)

    def bound(self, claim: CostClaimed, config: FederationConfig) -> CostBounded | None:
        """Bound a claim by how long the server waited for the organisation; None if it claims nothing as metered."""
        written = {one.id: one for one in config.organisations}.get(claim.organisation)
        devices = Devices() if written is None else Devices(processors=written.processors, gpus=written.gpus)
        return bounded(claim, waited_ms=self.waited_ms(claim.period, claim.organisation), devices=devices)

    def _stop(self, organisation: OrgId) -> None:
        waited_s = self.clock() - self._since.pop(organisation)
        key = (self._period, organisation)
        self._ms[key] = self._ms.get(key, 0) + math.ceil(1000 * waited_s)
