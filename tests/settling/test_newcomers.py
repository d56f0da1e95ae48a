"""Rounds under an older manifest: whoever was in them is credited, wherever its seat is now."""

from dataclasses import replace

from fedgap.crypto import Identity, seeded
from fedgap.ids import OrgId
from fedgap.secagg.desk import Desk
from fedgap.secagg.manifest import Member
from fedgap.secagg.server import Server
from tests.settling.settled_run import SettledRun


def test_seats_of_an_older_round_are_found_again_by_name() -> None:
    run = SettledRun(n=4, rounds=1).run()
    old = run.manifest
    first = Member(id=OrgId("a-newcomer"), name="New", public=Identity(b"n" * 32).public, weight=old.members[0].weight)
    new = replace(old, version=2, members=(first, *old.members[:1], *old.members[2:]))  # one came, seat 1 left
    server = Server(new, run.server.identity)
    desk = Desk(server, run.evaluation, run.journal, rand=seeded("salts"), origin=old.digest, earlier=[old])

    listing = desk.dossier(1).listing

    assert listing.seats == {0, 1, 2, 3}
    assert desk.seats_now(listing) == {1, 2, 3}
    assert run.desk.seats_now(listing) == listing.seats
