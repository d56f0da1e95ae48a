"""A site's folder, worked with by a client that runs and by a person at the same time, and after a kill."""

import threading
from pathlib import Path

from fedgap.flower.membership import Membership, SiteFolder
from fedgap.flower.standing import approve_manifest

DIGEST = "ab" * 32
SITE = """
[site]
organisation = "ash"
server = "https://fed.example.org"
data = "ash.csv"
[limits]
tasks = ["tabular-classification"]
rounds = 2
minimum_cohort = 3
"""


def joined(place: Path) -> SiteFolder:
    """A site that has joined and not seen a manifest yet."""
    (place / "site.toml").write_text(SITE)
    folder = SiteFolder(place / "fedgap-site")
    folder.keep(
        Membership(
            address="https://fed.example.org",
            ca=None,
            federation="tiny",
            organisation="ash",
            document={},
            plan="00" * 32,
            organisations=["ash"],
            joined="today",
        )
    )
    return folder


def test_an_approval_is_not_lost_when_the_client_writes_at_the_same_time(tmp_path: Path) -> None:
    """The client pins the server's key with the first manifest, which is when a person approves it."""
    folder = joined(tmp_path)
    person = threading.Thread(target=approve_manifest, args=(tmp_path / "site.toml", DIGEST))

    def pin(before: Membership) -> Membership:
        person.start()
        person.join(0.2)  # it waits until this is written; however long it is given, both must be there then
        return before.model_copy(update={"server": "cd" * 32})

    folder.change(pin)
    person.join()

    assert (folder.membership().server, folder.membership().manifests) == ("cd" * 32, [DIGEST])


def test_what_a_killed_client_left_half_written_is_removed_before_the_next_one_runs(tmp_path: Path) -> None:
    folder = joined(tmp_path)
    folder.make_keys(None)
    (folder.path / "trail").mkdir()
    for place in (folder.path, folder.path / "keys", folder.path / "trail"):
        (place / ".model.half-written-abc").write_bytes(b"secret")
    with folder.alone():
        folder.tidy()

    assert [path for path in folder.path.rglob("*") if "half-written" in path.name] == []
    assert folder.keys(None)
