"""A whole federation in this process, over TLS on loopback: the server in one thread, each site in another."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fedgap.config.site import load_site
from fedgap.crypto import system
from fedgap.flower import desk_work
from fedgap.flower.charter import Founding
from fedgap.flower.desk import Desk
from fedgap.flower.egress import EgressLog
from fedgap.flower.gathering import Gathering
from fedgap.flower.home import Home
from fedgap.flower.join import begin_joining, end_joining
from fedgap.flower.membership import SiteFolder
from fedgap.flower.meter import Machine, Meter
from fedgap.flower.node import make_node
from fedgap.flower.resident import Resident
from fedgap.secagg.manifest import SignedManifest
from tests.flower.serving import Served


@dataclass(slots=True)
class Site:
    """One site, in a thread of its own until the run is over.

    Attributes:
        place: its folder; the file with its rows is there.
        events: what it said.
        on: called with every event.
    """

    place: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    on: Callable[[str, dict[str, Any]], None] = lambda kind, facts: None  # noqa: ARG005 - by default nobody listens
    thread: threading.Thread | None = None
    failed: list[BaseException] = field(default_factory=list)

    @property
    def folder(self) -> SiteFolder:
        """What it keeps."""
        return SiteFolder(load_site(self.place / "site.toml").folder)

    def join(self, invite: str, *, now_s: float) -> None:
        """Join as `fedgap client join` does."""
        settings, data = self.place / "site.toml", str(self.place / "data.csv")
        joining = begin_joining(invite, settings, data=data, passphrase=None, now_s=now_s)
        public = self.place / "public.csv"
        end_joining(joining, settings, data=data, evaluation=str(public) if public.exists() else None)

    def start(self) -> None:
        """Run as `fedgap client run` does."""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def ended(self, seconds: float = 120.0) -> bool:
        """Wait until it is done."""
        assert self.thread is not None
        self.thread.join(seconds)
        return not self.thread.is_alive() and not self.failed

    def _say(self, kind: str, **facts: Any) -> None:  # noqa: ANN401 - plain facts
        self.events.append({"event": kind, **facts})
        self.on(kind, facts)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.failed.append(error)

    def _work(self) -> None:
        site = load_site(self.place / "site.toml")
        folder = SiteFolder(site.folder)
        membership = folder.membership()
        identity, key = folder.keys(None)
        egress = EgressLog(folder.egress, to=membership.address)
        resident = Resident(
            site=site,
            folder=folder,
            membership=membership,
            identity=identity,
            desk=Desk(membership.address, ca=membership.ca, egress=egress),
            meter=Meter(Machine()),
            say=self._say,
            rand=system,
            earlier=folder.earlier_identity(None),
        )
        try:
            make_node(resident=resident, membership=membership, key=key, egress=egress).run()
        finally:
            resident.close()
            egress.close()


def settle_in(server: Served, folder: Path, org: str, rows: str, *, now_s: float, public: str | None = None) -> Site:
    """Invite an organisation and let it join; `public` are its evaluation rows, if everybody has them."""
    place = folder / org
    place.mkdir()
    (place / "data.csv").write_text(rows)
    if public is not None:
        (place / "public.csv").write_text(public)
    site = Site(place)
    site.join(desk_work.invite(server.home, org, confirm=False, now_s=now_s).text, now_s=now_s)
    return site


def hold_rounds(patch: pytest.MonkeyPatch, home: Home, until: Mapping[int, Callable[[], object]]) -> None:
    """Let no round begin after so many sums before something holds; newcomers are looked after meanwhile.

    Rounds of a test take no time on a fast machine: what is to happen on the way must not depend on being faster.
    """
    real = Gathering.amend

    def amend(self: Gathering, founding: Founding) -> SignedManifest | None:
        found = real(self, founding)
        while any(_sums(home) >= count and not holds() for count, holds in until.items()):
            self.check_stopped()
            time.sleep(0.02)
            found = real(self, founding) or found
        return found

    patch.setattr(Gathering, "amend", amend)


def _sums(home: Home) -> int:
    return len(list((home.state / "sums").glob("*.bin")))
