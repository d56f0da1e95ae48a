"""What an operator does beside the running server, and the folder it works in."""

import datetime as dt
import stat
import tarfile
from pathlib import Path

import pytest

from fedgap.config import ConfigError
from fedgap.config.operator import load_operator
from fedgap.crypto.certificates import expires, fingerprint, serves
from fedgap.errors import UsageError
from fedgap.flower import desk_work
from fedgap.flower.desk_work import BadBackupError
from fedgap.flower.enrolment import read_invite
from fedgap.flower.home import Home, NoServerError, NotEmptyError, make_home
from fedgap.storage import StorageError
from tests.flower.serving import home_in

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
NOW_S = NOW.timestamp()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A server's folder."""
    return home_in(tmp_path)


def test_an_invitation_names_this_server_and_its_ca(home: Home) -> None:
    made = desk_work.invite(home, "ash", confirm=False, now_s=NOW_S)
    invite = read_invite(made.text, now_s=NOW_S)

    assert (invite.organisation, invite.federation, invite.address) == ("ash", "tiny", home.operator().address)
    assert invite.ca == fingerprint((home.tls / "ca.pem").read_bytes())
    assert invite.expires_s == made.expires_s == NOW_S + 72 * 3600
    assert desk_work.invite(home, "ash", confirm=False, now_s=NOW_S).text != made.text


@pytest.mark.parametrize("org", ["zelkova", "../etc", "", "Ash"])
def test_only_an_organisation_of_the_federations_file_is_invited(home: Home, org: str) -> None:
    with pytest.raises(UsageError):
        desk_work.invite(home, org, confirm=False, now_s=NOW_S)


def test_a_folder_that_is_no_servers_is_said_to_be_none(tmp_path: Path) -> None:
    for work in (lambda: desk_work.status(Home(tmp_path)), lambda: desk_work.backup(Home(tmp_path), tmp_path / "b")):
        with pytest.raises(NoServerError, match=r"server\.toml"):
            work()


def test_init_changes_nothing_that_is_there(home: Home) -> None:
    before = {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}
    with pytest.raises(NotEmptyError):
        make_home(home.folder, address="https://x", listen=("127.0.0.1", 1), certificate="own", now=NOW)

    assert {path: path.read_bytes() for path in home.folder.rglob("*") if path.is_file()} == before


def test_secrets_are_readable_by_their_owner_only(home: Home) -> None:
    home.certificate_files(home.operator(), now=NOW)
    for path in (home.key, home.tls / "ca.key", home.tls / "server.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (home.key.parent, home.tls, home.state):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    home.book()
    assert stat.S_IMODE(home.book_path.stat().st_mode) == 0o600


def test_the_servers_certificate_is_renewed_in_time_and_not_before(home: Home) -> None:
    path, _ = home.certificate_files(home.operator(), now=NOW)
    assert path is not None
    first = path.read_bytes()
    home.certificate_files(home.operator(), now=NOW + dt.timedelta(days=300))
    assert path.read_bytes() == first
    home.certificate_files(home.operator(), now=NOW + dt.timedelta(days=380))
    assert expires(path.read_bytes()) > expires(first)


def test_status_tells_who_is_where(home: Home) -> None:
    desk_work.invite(home, "ash", confirm=False, now_s=NOW_S)
    found = desk_work.status(home)

    assert [(o["id"], o["standing"]) for o in found["organisations"]] == [
        ("ash", "invited"),
        ("birch", "not invited"),
        ("cedar", "not invited"),
    ]
    assert (found["rounds_done"], found["rounds_planned"], found["running"], found["last"]) == (0, 2, False, None)


def test_what_is_backed_up_is_restored_and_nothing_is_written_over(home: Home, tmp_path: Path) -> None:
    desk_work.invite(home, "ash", confirm=False, now_s=NOW_S)
    copy, new = tmp_path / "copy.tar.gz", tmp_path / "new"
    assert desk_work.backup(home, copy) == copy.stat().st_size
    with pytest.raises(NotEmptyError):
        desk_work.backup(home, copy)
    made = desk_work.restore(copy, new)

    assert desk_work.status(made) == desk_work.status(home)
    assert made.identity() == home.identity()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    with pytest.raises(NotEmptyError):
        desk_work.restore(copy, new)


@pytest.mark.parametrize(("rows", "kept"), [("rows/evaluation.csv", True), ("../evaluation.csv", False)])
def test_evaluation_rows_are_backed_up_where_they_are_in_the_servers_folder(
    home: Home, tmp_path: Path, rows: str, *, kept: bool
) -> None:
    """Without them the restored server could not go on: they are committed to."""
    home.federation.write_text(home.federation.read_text() + f'[evaluation]\ndata = "{rows}"\n')
    path = home.folder / rows
    path.parent.mkdir(exist_ok=True)
    path.write_text("a,b,y\n1,2,0\n")
    desk_work.backup(home, tmp_path / "copy.tar.gz")
    made = desk_work.restore(tmp_path / "copy.tar.gz", tmp_path / "other" / "new")

    assert (made.folder / rows).exists() == kept
    assert not kept or (made.folder / rows).read_text() == path.read_text()


def test_a_backup_that_is_cut_short_or_something_else_restores_nothing(home: Home, tmp_path: Path) -> None:
    copy = tmp_path / "copy.tar.gz"
    desk_work.backup(home, copy)
    whole = copy.read_bytes()
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as archive:
        archive.add(copy, "../outside")
    (tmp_path / "link").symlink_to(copy)
    with tarfile.open(linked := tmp_path / "linked.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "link", "federation.toml")
    for content in (b"", b"no archive", whole[: len(whole) // 2], evil.read_bytes(), linked.read_bytes()):
        copy.write_bytes(content)
        with pytest.raises(BadBackupError):
            desk_work.restore(copy, tmp_path / "new")
        assert not (tmp_path / "new").exists()
        assert not (tmp_path / "outside").exists()


def test_a_policy_of_another_name_is_backed_up_and_one_outside_the_folder_is_said(home: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("# who pays")
    (home.folder / "money.toml").symlink_to(tmp_path / "elsewhere")
    text = home.federation.read_text()
    home.federation.write_text(text.replace("[federation]\n", '[federation]\npolicy = "money.toml"\n'))
    desk_work.backup(home, tmp_path / "b.tar.gz")
    restored = desk_work.restore(tmp_path / "b.tar.gz", tmp_path / "again")
    assert restored.policy(restored.config()) == "# who pays"
    assert not (restored.folder / "money.toml").is_symlink()

    home.federation.write_text(text.replace("[federation]\n", '[federation]\npolicy = "../elsewhere"\n'))
    with pytest.raises(UsageError, match="elsewhere"):
        desk_work.backup(home, tmp_path / "c.tar.gz")
    assert [path.name for path in tmp_path.iterdir() if "c.tar" in path.name] == []


def test_a_backup_goes_on_while_files_come_and_go(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is listed may be gone when it is read: the uploads of a round that ended meanwhile."""
    (home.state / "journal").mkdir()
    for name in ("upload-1-1-0.bin", "upload-1-1-1.bin"):
        (home.state / "journal" / name).write_bytes(b"masked")
    open_ = Path.open

    def vanishing(self: Path, mode: str = "r") -> object:
        if self.name == "upload-1-1-0.bin":
            self.unlink(missing_ok=True)
        return open_(self, mode)

    monkeypatch.setattr(Path, "open", vanishing)
    desk_work.backup(home, tmp_path / "b.tar.gz")
    with tarfile.open(tmp_path / "b.tar.gz") as archive:
        names = archive.getnames()
    assert "state/journal/upload-1-1-1.bin" in names
    assert "state/journal/upload-1-1-0.bin" not in names


def test_an_interrupted_init_is_completed_and_keeps_its_keys(home: Home) -> None:
    key, ca = home.key.read_bytes(), (home.tls / "ca.key").read_bytes()
    home.settings.unlink()
    again = make_home(home.folder, address="https://x", listen=("127.0.0.1", 1), certificate="own", now=NOW)
    again.require()
    assert (again.key.read_bytes(), (again.tls / "ca.key").read_bytes()) == (key, ca)

    for path in (home.settings, home.key):
        path.unlink()
    make_home(home.folder, address="https://x", listen=("127.0.0.1", 1), certificate="own", now=NOW).identity()


def test_a_certificate_that_lost_its_key_or_names_another_address_is_made_anew(home: Home) -> None:
    path, key = home.certificate_files(home.operator(), now=NOW)
    assert path is not None
    assert key is not None
    first = path.read_bytes()
    home.certificate_files(home.operator(), now=NOW)
    assert path.read_bytes() == first

    key.write_bytes((home.tls / "ca.key").read_bytes())  # as if killed between the two files
    home.certificate_files(home.operator(), now=NOW)
    second = path.read_bytes()
    assert second != first
    assert serves(second, key.read_bytes(), ["localhost"])

    home.settings.write_text(home.settings.read_text().replace("https://localhost", "https://federation.example.org"))
    home.certificate_files(home.operator(), now=NOW)
    assert serves(path.read_bytes(), key.read_bytes(), ["federation.example.org", "localhost"])


def test_a_policy_that_is_named_and_missing_is_an_error(home: Home) -> None:
    text = home.federation.read_text().replace("[federation]", '[federation]\npolicy = "money.toml"')
    home.federation.write_text(text)
    with pytest.raises(StorageError, match=r"money\.toml"):
        home.policy(home.config())
    (home.folder / "money.toml").write_text("x = 1\n")
    assert home.policy(home.config()) == "x = 1\n"


@pytest.mark.parametrize(
    "settings",
    [
        'address = "http://plain.example"',
        'address = "https://a.example/path"',
        'address = "https://a.example"\ncertificate = "files"',
        'address = "https://a.example"\ncertificate = "proxy"',
        'address = "https://a.example"\nport = 70000',
        'address = "https://a.example"\nwait_s = 0',
        'address = "https://a.example"\ncolour = "red"',
        "",
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, settings: str) -> None:
    (tmp_path / "server.toml").write_text(f"[server]\n{settings}\n")
    with pytest.raises(ConfigError):
        load_operator(tmp_path / "server.toml")


def test_settings_for_a_proxy_and_for_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('[server]\naddress = "https://a.example"\ncertificate = "proxy"\nhost = "127.0.0.1"\n')
    assert not load_operator(path).trusts_own
    files = 'certificate = "files"\ncertificate_file = "c"\nkey_file = "k"\ntrust = "own"\n'
    path.write_text(f'[server]\naddress = "https://a"\n{files}')
    assert load_operator(path).trusts_own
