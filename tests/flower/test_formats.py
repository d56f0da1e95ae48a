"""Folders of another form are refused by name, and nothing in them changes; whoever changes the form must say so."""

import dataclasses
import hashlib
import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tarfile
import typing
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

import fedgap
from fedgap import __version__
from fedgap.flower import book, desk_work, formats
from fedgap.flower.formats import FILE, FORMAT, OtherFormatError
from fedgap.flower.home import Home, make_home
from fedgap.flower.membership import Membership, SiteFolder
from fedgap.flower.service import serve
from fedgap.storage import DamagedFileError
from tests.flower.serving import home_in, now

SHAPES = {1: "f62b21d8fb986548"}
"""For each format that was released, and the present one: the digest of everything that is written in it."""


def contents(folder: Path) -> dict[Path, tuple[bytes, int, int]]:
    """Every file with its bytes, its rights and when it was changed."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns) for path in files}


def remark(folder: Path, **facts: object) -> None:
    """Change what the mark of a folder says."""
    mark = json.loads((folder / FILE).read_bytes())
    (folder / FILE).write_text(json.dumps(mark | facts))


def site_in(folder: Path) -> SiteFolder:
    """A site's folder with keys."""
    site = SiteFolder(folder)
    site.make_keys(None)
    return site


def another_format(folder: Path) -> None:
    """As a later version would leave it."""
    remark(folder, format=FORMAT + 1, program="9.9.9")


def an_earlier_format(folder: Path) -> None:
    """As an earlier version left it."""
    remark(folder, format=FORMAT - 1, program="0.0.1")


def no_format(folder: Path) -> None:
    """As before formats were numbered."""
    (folder / FILE).unlink()


CHANGES = [
    (another_format, r"format 2, written by fedgap 9\.9\.9", "Install fedgap 9.9.9 or later."),
    (an_earlier_format, r"format 0, written by fedgap 0\.0\.1", "Finish the federation with fedgap 0.0.1, which began"),
    (no_format, "did not yet number", "Finish the federation with the version that began it"),
]
COMMANDS: list[Callable[[Home], object]] = [
    lambda home: serve(home, say=print, stopped=lambda: True, wait_s=0),
    lambda home: desk_work.invite(home, "ash", confirm=False, now_s=0),
    desk_work.status,
    lambda home: desk_work.revoke(home, "ash"),
    lambda home: desk_work.backup(home, home.folder.parent / "backup"),
]


@pytest.mark.parametrize(("change", "cause", "remedy"), CHANGES)
def test_a_servers_folder_of_another_format_is_refused_and_not_touched(
    tmp_path: Path, change: Callable[[Path], None], cause: str, remedy: str
) -> None:
    home = home_in(tmp_path)
    change(home.folder)
    before = contents(home.folder)
    for command in COMMANDS:
        with pytest.raises(OtherFormatError, match=cause) as refused:
            command(home)

        assert refused.value.remedy.startswith(remedy)
        assert refused.value.exit_status == 2
    assert contents(home.folder) == before
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize(("change", "cause", "remedy"), CHANGES)
def test_a_sites_folder_of_another_format_is_refused_and_not_touched(
    tmp_path: Path, change: Callable[[Path], None], cause: str, remedy: str
) -> None:
    site = site_in(tmp_path / "site")
    change(site.path)
    before = contents(site.path)
    with pytest.raises(OtherFormatError, match=cause) as refused:
        SiteFolder(site.path)

    assert refused.value.remedy.startswith(remedy)
    assert contents(site.path) == before


def test_the_command_says_it_in_one_line_and_ends_with_2(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    another_format(home.folder)
    command = [sys.executable, "-m", "fedgap", "server", "status", str(home.folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    said = " ".join(ended.stderr.split())
    assert ended.returncode == 2
    assert "storage.other-format" in said
    assert "Install fedgap 9.9.9 or later." in said


def test_a_folder_of_one_kind_is_not_taken_for_the_other(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    before = contents(home.folder)
    with pytest.raises(OtherFormatError, match="folder of a server, not of a site"):
        SiteFolder(home.folder)
    assert contents(home.folder) == before

    site = site_in(tmp_path / "site")
    with pytest.raises(OtherFormatError, match="folder of a site, not of a server"):
        make_home(site.path, address="https://x", listen=("127.0.0.1", 1), certificate="own", now=now())
    assert sorted(path.name for path in site.path.iterdir()) == [FILE, "keys"]


@pytest.mark.parametrize("mark", [b"", b"{", b"[]", b"3", b'{"kind": "server"}', b'{"kind": "server", "format": "x"}'])
def test_a_mark_that_is_none_is_damage(tmp_path: Path, mark: bytes) -> None:
    home = home_in(tmp_path)
    (home.folder / FILE).write_bytes(mark)
    with pytest.raises(DamagedFileError):
        home.require()


def test_a_backup_keeps_the_format_and_one_of_another_version_is_not_restored(tmp_path: Path) -> None:
    home, archive = home_in(tmp_path), tmp_path / "backup.tar.gz"
    desk_work.backup(home, archive)
    restored = desk_work.restore(archive, tmp_path / "restored")
    assert formats.check(restored.folder, "server")

    newer = tmp_path / "newer.tar.gz"
    with tarfile.open(archive) as old, tarfile.open(newer, "w:gz") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = content.read()
            if member.name == FILE:
                data = json.dumps({"kind": "server", "format": FORMAT + 1, "program": "9.9.9"}).encode()
                member.size = len(data)
            new.addfile(member, BytesIO(data))
    with pytest.raises(OtherFormatError, match=r"newer\.tar\.gz has format 2") as refused:
        desk_work.restore(newer, tmp_path / "other")

    assert refused.value.remedy == "Install fedgap 9.9.9 or later."
    assert not list(tmp_path.glob("*other*"))


def test_the_making_of_a_folder_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    home.settings.unlink()  # written last
    again = make_home(home.folder, address="https://x:1", listen=("127.0.0.1", 1), certificate="own", now=now())

    again.require()
    assert json.loads((home.folder / FILE).read_bytes()) == {"kind": "server", "format": 1, "program": __version__}


# --- what the number stands for ---


def modules() -> Iterator[object]:
    """Every module whose data lie in these folders."""
    for package in ("crypto", "records", "secagg", "ledger", "flower"):
        path = Path(fedgap.__file__).parent / package
        for found in sorted(pkgutil.iter_modules([str(path)]), key=lambda one: one.name):
            yield importlib.import_module(f"fedgap.{package}.{found.name}")


def packed() -> list[type]:
    """Every dataclass that is written as bytes."""
    found = {cls for module in modules() for cls in vars(module).values() if isinstance(cls, type)}
    kinds = [cls for cls in found if "KIND" in vars(cls) and dataclasses.is_dataclass(cls)]
    return sorted(kinds, key=lambda cls: (str(vars(cls)["KIND"]), cls.__module__))


def shape_of(hint: object, seen: frozenset[object] = frozenset()) -> str:
    """Spell what is written for an annotation, into the last field."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint not in seen:
        hints = typing.get_type_hints(hint, include_extras=True)
        fields = [f"{one.name}:{shape_of(hints[one.name], seen | {hint})}" for one in dataclasses.fields(hint)]
        return f"{getattr(hint, 'KIND', '')}({','.join(fields)})"
    arguments = typing.get_args(hint)
    if not arguments:
        return getattr(hint, "__name__", str(hint))
    return f"[{','.join(shape_of(one, seen) for one in arguments)}]"


def test_whoever_changes_what_is_written_counts_the_format_up() -> None:
    """A run under way must not be continued by a version that would misread it.

    If this fails: was the present format ever released? Then count `formats.FORMAT` up, add a line to SHAPES, and say
    in CHANGELOG that runs must be finished first. If not, put the new digest into its line.
    """
    written = [
        *(shape_of(cls) for cls in packed()),
        *(f"{name}:{shape_of(one.annotation)}" for name, one in Membership.model_fields.items()),
        " ".join(book._SCHEMA.split()),
    ]
    assert len(written) > 60
    text = re.sub(r" at 0x[0-9a-f]+", "", "\n".join(written))

    assert hashlib.sha256(text.encode()).hexdigest()[:16] == SHAPES[FORMAT]


def test_the_number_changes_with_a_field_its_type_and_its_bounds() -> None:
    class Three:
        """A bound."""

        __name__ = "three"

    def made(**fields: object) -> str:
        return shape_of(dataclasses.make_dataclass("Kept", fields.items()))

    kinds = {made(a=int), made(b=int), made(a=bytes), made(a=int, b=int), made(a=typing.Annotated[int, Three()])}
    assert len(kinds) == 5
