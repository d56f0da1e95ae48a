"""What an operator does beside the running server: invite, approve, revoke, look, back up, restore.

None of it needs the server to run or to stop: the book is shared, and a running server looks into it all the time.
"""

import json
import os
import shutil
import tarfile
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fedgap import storage
from fedgap.crypto import system
from fedgap.errors import FedgapError, UsageError
from fedgap.flower.enrolment import CODE_BYTES, Invite, spoken, write_invite
from fedgap.flower.formats import FILE, OtherFormatError
from fedgap.flower.home import Home, NotEmptyError
from fedgap.flower.roster import Roster
from fedgap.flower.start_file import FILE as START
from fedgap.flower.sums import Sums
from fedgap.ids import OrgId, is_id
from fedgap.ledger.reading import copy_ledger
from fedgap.storage import StorageError

BACKED_UP = (
    *("federation.toml", "server.toml", "policy.toml", FILE, START),
    *("keys", "tls", "state/sums", "state/journal", "model"),
)
BOOK = "state/book.sqlite"


class BadBackupError(FedgapError):
    """A file is no whole backup of a server."""

    code = "server.bad-backup"
    remedy = "Take another copy; nothing was restored."


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """An invitation as it is sent.

    Attributes:
        text: one line.
        expires_s: until when it can be used, seconds since 1970.
    """

    org: OrgId
    text: str
    expires_s: int


def invite(home: Home, org: str, *, confirm: bool, now_s: float) -> Invited:
    """Make an invitation; one made earlier for this organisation and not used is void from now on.

    Args:
        home: the server's folder.
        org: an organisation of federation.toml.
        confirm: whether `approve` is needed after it joined.
        now_s: seconds since 1970.

    Raises:
        UsageError: federation.toml names no such organisation.
    """
    home.require()
    config, operator = home.config(), home.operator()
    if org not in {organisation.id for organisation in config.organisations}:
        raise UsageError(
            f"federation.toml names no organisation '{org}'." if is_id(org) else "This is no organisation's id.",
            remedy="Add it there first, as [[organisation]]; the running server notices.",
        )
    name, code = OrgId(org), system(CODE_BYTES)
    expires_s = int(now_s) + 3600 * operator.invite_hours
    home.book().invite(name, code, expires_s=expires_s, confirm=confirm)
    content = Invite(
        address=operator.address,
        ca=home.ca_fingerprint(operator),
        federation=config.federation.id,
        organisation=name,
        code=code,
        expires_s=expires_s,
    )
    return Invited(org=name, text=write_invite(content), expires_s=expires_s)


def approve(home: Home, org: str) -> str:
    """Let an organisation that joined take part; give the fingerprint that it must have read out."""
    home.require()
    book, name = home.book(), OrgId(org)
    book.approve(name)
    return fingerprint(home, name)


def revoke(home: Home, org: str) -> None:
    """Let an organisation take part no longer."""
    home.require()
    home.book().revoke(OrgId(org))


def fingerprint(home: Home, org: OrgId) -> str:
    """Give the fingerprint of an organisation's keys, as its `fedgap client join` shows it; empty before it joined."""
    for entry in home.book().organisations():
        if entry.org == org and entry.public is not None and entry.node_public is not None:
            return spoken(org, entry.public, entry.node_public)
    return ""


def status(home: Home) -> dict[str, Any]:
    """Say how things stand, from the folder alone: plain JSON values."""
    home.require()
    config, operator = home.config(), home.operator()
    book = home.book()
    roster = Roster(book, home.identity().public)
    known = {entry.org: entry for entry in book.organisations()}
    signed, proposed = roster.in_force(), roster.proposed()
    return {
        "federation": config.federation.id,
        "address": operator.address,
        "running": is_running(home),
        "organisations": [
            {
                "id": organisation.id,
                "name": organisation.name,
                "standing": known[organisation.id].standing if organisation.id in known else "not invited",
                "fingerprint": fingerprint(home, organisation.id),
            }
            for organisation in sorted(config.organisations, key=lambda o: o.id)
        ],
        "manifest": None
        if signed is None
        else {"version": signed.manifest.version, "digest": signed.manifest.digest.hex()},
        "proposed": None
        if proposed is None
        else {
            "version": proposed.manifest.version,
            "digest": proposed.manifest.digest.hex(),
            "unsigned": list(roster.unsigned()),
        },
        "rounds_done": Sums(home.state / "sums").count,
        "rounds_planned": config.training.rounds,
        "last": last_words(home),
    }


def last_words(home: Home) -> dict[str, Any] | None:
    """Give what the server wrote last about itself, if it ever ran."""
    try:
        found: dict[str, Any] = json.loads((home.state / "status.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found


def is_running(home: Home) -> bool:
    """Tell whether a server works in this folder."""
    try:
        storage.locked(home.state).close()
    except storage.InUseError:
        return True
    return False


def backup(home: Home, to: Path) -> int:
    """Write everything that cannot be made again into one file; the server may go on meanwhile.

    Sums are copied before the journal, so that a copy made during a round is that of a server that was killed then.

    Returns:
        its size in bytes.

    Raises:
        NotEmptyError: something is there already.
        StorageError: it cannot be written.
    """
    home.require()
    if to.exists():
        raise NotEmptyError(f"{to} exists.", remedy="Choose another name; nothing was written over.")
    storage.make_folder(to.parent)
    handle, temporary = tempfile.mkstemp(prefix=f".{to.name}.", dir=to.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
                _fill(archive, home)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(to)
    except OSError as error:
        raise StorageError(f"{to} cannot be written ({error.strerror}).") from error
    finally:
        Path(temporary).unlink(missing_ok=True)  # it holds keys: not left behind, whatever happened
    return to.stat().st_size


def _fill(archive: tarfile.TarFile, home: Home) -> None:
    with tempfile.TemporaryDirectory(dir=home.state) as folder:
        if home.ledger.exists():  # first: what is newer elsewhere is written into it again, never the other way round
            whole = Path(folder) / "ledger"
            copy_ledger(home.ledger, whole)
            archive.add(whole, home.ledger.name)
        copy = Path(folder) / "book"
        home.book().copy_to(copy)
        archive.add(copy, BOOK)
    for name in _names(home):
        path = home.folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.name != "lock" and not file.name.startswith("."):
                _add(archive, file, file.relative_to(home.folder).as_posix())


def _names(home: Home) -> list[str]:
    """Name what is backed up: beside our own files those that the operator's settings name.

    Raises:
        UsageError: one of them is not in the server's folder.
    """
    operator, config = home.operator(), home.config()
    rows = None if config.evaluation is None else config.evaluation.data
    named = (config.federation.policy, operator.certificate_file, operator.key_file)
    for name in filter(None, named):
        if not _is_within(name):
            raise UsageError(f"{name} is not in {home.folder}.", remedy="Move it there and name it so in the settings.")
    kept = [rows] if rows is not None and _is_within(rows) else []  # elsewhere they stay: members signed the path
    return list(dict.fromkeys([*BACKED_UP, *filter(None, named), *kept]))


def _is_within(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts


def _add(archive: tarfile.TarFile, file: Path, name: str) -> None:
    """Add what a file holds now; a running server may remove it or put another in its place meanwhile."""
    with suppress(FileNotFoundError), file.open("rb") as content:
        archive.addfile(archive.gettarinfo(arcname=name, fileobj=content), content)


def _take_out(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the files of a backup; only plain ones that lie below the folder (Python before 3.11.4 has no filter)."""
    for member in archive:
        name = PurePosixPath(member.name)
        content = archive.extractfile(member) if member.isreg() else None
        if content is None or name.is_absolute() or ".." in name.parts:
            raise BadBackupError(f"{member.name} is not a file of a backup.")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(storage.PRIVATE | member.mode & storage.PUBLIC)


def restore(archive: Path, folder: Path) -> Home:
    """Make a server's folder from a backup.

    Raises:
        NotEmptyError: the folder holds something.
        OtherFormatError: another version of fedgap wrote it.
        BadBackupError: the file is no backup, or not whole.
    """
    if folder.exists() and any(folder.iterdir()):
        raise NotEmptyError(f"{folder} holds something already.")
    storage.make_folder(folder.parent if folder.parent != Path() else Path.cwd())
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with tarfile.open(archive, "r:gz") as content:
            _take_out(content, beside)
        made = Home(beside)
        made.require()
        made.book().organisations()
        for private in (made.key.parent, made.tls, made.state):
            private.mkdir(exist_ok=True)
            private.chmod(0o700)
        if folder.exists():
            folder.rmdir()
        beside.replace(folder)
    except OtherFormatError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise OtherFormatError(error.cause.replace(str(beside), str(archive)), remedy=error.remedy) from error
    except (OSError, EOFError, tarfile.TarError, FedgapError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise BadBackupError(f"{archive} is no whole backup of a server.") from error
    return Home(folder)


def age_s(words: dict[str, Any] | None) -> float | None:
    """Tell how old the server's last words are."""
    return None if words is None else max(0.0, time.time() - float(words["at_s"]))
