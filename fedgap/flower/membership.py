"""What a site keeps of its membership: keys, the plan it approved, the server's CA. In one private folder.

identity.key      signs what the organisation says      node.key      opens the door to the server's Fleet API
membership.json   what was approved, and when           manifest-N    versions of the manifest, signed
journal/          the protocol's durable memory         course-*.bin  the model so far
egress.jsonl      what left this building               metering.jsonl, status.json, client.log
format.json       which form all of this has
"""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedgap.crypto import BadBytesError, Identity, NodeKey, new_node_key, open_node_key, seal_node_key, system
from fedgap.crypto.codec import pack, unpack
from fedgap.errors import FedgapError
from fedgap.flower import formats
from fedgap.ids import OrgId
from fedgap.secagg.manifest import SignedManifest
from fedgap.storage import (
    PRIVATE,
    DamagedFileError,
    InUseError,
    make_folder,
    read_key,
    replace,
    sweep,
    write_key,
)

Which = Literal["keys", "keys-before", "keys-next"]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NotJoinedError(FedgapError):
    """This site is no member of a federation yet, or no longer."""

    code = "client.not-joined"
    remedy = "Run `fedgap client join INVITE` with the invite that the operator sent."
    exit_status = 2


class Membership(BaseModel):
    """What an organisation joined, and what a person at the site approved.

    Attributes:
        address: of the server.
        ca: PEM of the CA that vouches for it; null for one that every machine trusts.
        server: the server's Ed25519 key, hexadecimal; null until the first manifest.
        federation: its id.
        organisation: ours.
        document: the federation's file as it was told and approved.
        plan: its digest.
        policy: text of the funding policy that was approved, if there is one.
        organisations: whose presence in the roster was approved by a person.
        manifests: digests that a person approved one by one, of manifests and of later versions of the policy.
        joined: when.
        left: when a person ended the membership; null while it lasts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    address: str
    ca: str | None
    server: Hex32 | None = None
    federation: str
    organisation: str
    document: dict[str, Any]
    plan: Hex32
    policy: str | None = None
    organisations: list[str]
    manifests: list[Hex32] = Field(default_factory=list)
    joined: str
    left: str | None = None

    @property
    def org(self) -> OrgId:
        """Our identifier."""
        return OrgId(self.organisation)


def now_text() -> str:
    """Write the present time for files that people read."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class SiteFolder:
    """The private folder of a site, made if it is missing.

    Raises:
        OtherFormatError: another version of fedgap made it, or it is a server's; nothing in it was touched.
    """

    def __init__(self, path: Path) -> None:
        is_marked = formats.check(path, "site")
        if not is_marked and any((path / name).exists() for name in ("membership.json", "keys", "journal")):
            formats.refuse_unmarked(path)
        make_folder(path)
        path.chmod(0o700)
        if not is_marked:
            formats.mark(path, "site")
        self.path = path
        self.egress = path / "egress.jsonl"
        self.metering = path / "metering.jsonl"
        self.status = path / "status.json"
        self.log = path / "client.log"
        self.journal = path / "journal"
        self.flower = path / "flower"
        self.node = path / "node.json"
        self.ended = path / "ended.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process that runs or changes this site, while the block lasts.

        Raises:
            InUseError: another one does.
        """
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InUseError(f"Another fedgap client works with {self.path}.") from error
            yield

    def membership(self) -> Membership:
        """Read what was joined.

        Raises:
            NotJoinedError: nothing, or the membership has ended.
            DamagedFileError: the file is not what was written.
        """
        path = self.path / "membership.json"
        if not path.exists():
            raise NotJoinedError(f"{self.path} holds no membership.")
        try:
            found = Membership.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise DamagedFileError(f"{path} cannot be read.") from error
        if found.left is not None:
            raise NotJoinedError(f"This site left the federation '{found.federation}' on {found.left}.")
        return found

    def keep(self, membership: Membership) -> None:
        """Write down what was joined or approved."""
        replace(self.path / "membership.json", membership.model_dump_json(indent=2).encode(), mode=PRIVATE)

    def change(self, change: Callable[[Membership], Membership]) -> Membership:
        """Change what was joined or approved; a person and the client that runs may do so at the same time.

        Raises:
            NotJoinedError, DamagedFileError: as `membership`.
        """
        with self._changing():
            changed = change(self.membership())
            self.keep(changed)
        return changed

    def tidy(self) -> None:
        """Remove what a process that was killed left half-written; for the one that is `alone`."""
        with self._changing():
            for place in (self.path, self.path / "trail", *(self._keys(which) for which in get_args(Which))):
                sweep(place)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Wait until no other process changes the membership."""
        with (self.path / "membership.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def note_end(self) -> None:
        """Write down that the federation has ended, so that a client that is started again says so and ends too."""
        replace(self.ended, json.dumps({"ended": now_text()}).encode() + b"\n", mode=PRIVATE)

    def begin(self) -> None:
        """Take up a membership: whatever ended before was another one."""
        self.ended.unlink(missing_ok=True)

    def make_keys(self, passphrase: str | None, *, which: Which = "keys") -> tuple[Identity, NodeKey]:
        """Give this site's keys; they are born here, the first time, and never leave."""
        place = self._keys(which)
        make_folder(place)
        place.chmod(0o700)
        if not (place / "node.key").exists():
            sealed = seal_node_key(new_node_key(), passphrase=passphrase, salt=system(16))
            replace(place / "node.key", sealed, mode=PRIVATE)
        if not (place / "identity.key").exists():
            write_key(place / "identity.key", Identity(system(32)), passphrase=passphrase, rand=system)
        return self.keys(passphrase, which=which)

    def keys(self, passphrase: str | None, *, which: Which = "keys") -> tuple[Identity, NodeKey]:
        """Read this site's keys.

        Raises:
            NotJoinedError: there are none.
            DamagedFileError: others may read them, or they are none.
            BadPassphraseError: they do not open with this passphrase.
        """
        place = self._keys(which)
        identity, node = place / "identity.key", place / "node.key"
        if not identity.exists() or not node.exists():
            raise NotJoinedError(f"{place} holds no keys.")
        signer = read_key(identity, passphrase=passphrase)
        if node.stat().st_mode & 0o077:
            raise DamagedFileError(f"Others than its owner may use {node}.", remedy=f"Run: chmod 600 {node}")
        try:
            return signer, open_node_key(node.read_bytes(), passphrase=passphrase)
        except BadBytesError as error:
            raise DamagedFileError(f"{node} is no key file.") from error

    def earlier_identity(self, passphrase: str | None) -> Identity | None:
        """Read the key before the present one, which vouches for it until the others have signed; None if none."""
        if not self._keys("keys-before").exists():
            return None
        return self.keys(passphrase, which="keys-before")[0]

    def take_next_keys(self, *, keep_before: bool = False) -> None:
        """Let the next keys be the present ones; a crash in the middle is put right by the next command.

        Args:
            keep_before: the present keys never came into force, so those before go on vouching; the present ones go.
        """
        before, now, following = (self._keys(which) for which in ("keys-before", "keys", "keys-next"))
        if now.exists():
            gone = self.path / "keys-gone"
            shutil.rmtree(gone, ignore_errors=True)
            if before.exists():
                (now if keep_before else before).rename(gone)
            if now.exists():
                now.rename(before)
            shutil.rmtree(gone, ignore_errors=True)
        following.rename(now)

    def are_keys_sealed(self) -> bool:
        """Tell whether the keys need a passphrase."""
        path = self._keys("keys") / "identity.key"
        return path.exists() and b"fedgap/1/key-file/sealed" in path.read_bytes()[:64]

    def _keys(self, which: Which) -> Path:
        """The folder of the present keys, of those before or of the next; an interrupted change is finished first."""
        now, following = self.path / "keys", self.path / "keys-next"
        if not now.exists() and following.exists() and (self.path / "keys-before").exists():
            following.rename(now)
        return self.path / which

    def keep_manifest(self, signed: SignedManifest, *, ours: bool = True) -> None:
        """Keep a version of the manifest that was approved here, or one from before this site joined."""
        name = f"{'manifest' if ours else 'earlier'}-{signed.manifest.version:06d}.bin"
        replace(self.path / name, pack(signed), mode=PRIVATE)

    def manifests(self, *, ours: bool = True) -> list[SignedManifest]:
        """Give every version that was approved here, or those from before this site joined; oldest first.

        Raises:
            DamagedFileError: a file is not what was written.
        """
        found = []
        for path in sorted(self.path.glob("manifest-*.bin" if ours else "earlier-*.bin")):
            try:
                found.append(unpack(SignedManifest, path.read_bytes()))
            except (BadBytesError, FedgapError) as error:
                raise DamagedFileError(f"{path} is damaged.") from error
        return found

    def note_status(self, **facts: Any) -> None:  # noqa: ANN401 - plain JSON values
        """Put facts into status.json beside those that are there; what people and `client status` look at."""
        replace(self.status, json.dumps(self.read_status() | facts, indent=2).encode() + b"\n", mode=PRIVATE)

    def read_status(self) -> dict[str, Any]:
        """Read status.json; empty if there is none."""
        try:
            found = json.loads(self.status.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
