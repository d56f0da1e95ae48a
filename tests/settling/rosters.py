"""Changes of keys and rosters in a run, and its members at the seats of a roster that it had before."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from fedgap import settling
from fedgap.crypto import Identity
from fedgap.ids import OrgId
from fedgap.secagg.desk import Desk
from fedgap.secagg.local import MemoryVault
from fedgap.secagg.manifest import Member
from fedgap.secagg.valuation import Settlement
from tests.settling.settled_run import ROWS, SettledRun


def key_of(name: str) -> Identity:
    """A new key."""
    return Identity(name.encode().ljust(32, b"."))


def new_keys(run: SettledRun, seat: int, *, lost: bool = False) -> None:
    """A member shows a new key; if all was lost, it begins with an empty vault."""
    key = key_of(f"{seat} in version {run.manifest.version + 1}")
    members, identities, vaults = list(run.manifest.members), list(run.identities), list(run.vaults)
    members[seat], identities[seat] = replace(members[seat], public=key.public), key
    if lost:
        vaults[seat] = MemoryVault()
    run.amend(*members, identities=identities, vaults=vaults)


def joins(run: SettledRun, org: str) -> None:
    """An organisation joins."""
    weight = run.manifest.members[0].weight
    new = Member(id=OrgId(org), name=org, public=key_of(org).public, weight=weight)
    members = sorted((*run.manifest.members, new), key=lambda member: member.id)
    seat = members.index(new)
    identities, vaults = list(run.identities), list(run.vaults)
    identities.insert(seat, key_of(org))
    vaults.insert(seat, MemoryVault())
    run.amend(*members, identities=identities, vaults=vaults)


def leaves(run: SettledRun, seat: int) -> None:
    """An organisation leaves."""
    parts = ([*one[:seat], *one[seat + 1 :]] for one in (run.manifest.members, run.identities, run.vaults))
    members, identities, vaults = parts
    run.amend(*members, identities=identities, vaults=vaults)


def weighs(run: SettledRun, seat: int, weight: int) -> None:
    """An organisation's weight changes."""
    members = list(run.manifest.members)
    members[seat] = replace(members[seat], weight=weight)
    run.amend(*members, identities=run.identities)


@dataclass(frozen=True)
class Bench:
    """The members of a run at the seats of a roster it had before; who left does not answer."""

    run: SettledRun
    desk: Desk

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask whoever is still there."""
        now = {member.id: seat for seat, member in enumerate(self.run.manifest.members)}
        for seat, request in requests.items():
            org = self.desk.manifest.members[seat].id
            if org in now:
                for _, reply in self.run.exchange({now[org]: request}):
                    yield seat, reply


def settle_parts(run: SettledRun, period: int = 1) -> list[Settlement]:
    """Settle a period, once for each of its rosters."""
    rows = ROWS if run.source == "committed" else ()
    return [settling.settle(desk, Bench(run, desk), period, rows=rows) for desk in run.desk.parts(period)]
