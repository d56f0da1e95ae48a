"""The server's folder: what an operator writes, what is secret, what the server remembers.

federation.toml, server.toml, policy.toml    written by the operator
keys/server.key                              the key the server signs with: whoever has it can pose as the server
tls/ca.pem, ca.key, server.pem, server.key   its own CA, if it has one
state/                                       book, sums, journal, Flower's database: what a backup must hold
model/model.safetensors                      the model after the last round
ledger.sqlite                                what happened, signed; anybody may have a copy (`fedgap ledger verify`)
format.json                                  which form all of this has (`fedgap.flower.formats`)
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fedgap import storage
from fedgap.config import FederationConfig, load_federation
from fedgap.config.operator import Operator, load_operator
from fedgap.crypto import Identity, system
from fedgap.crypto.certificates import Certificate, der_of, expires, new_ca, server_certificate, serves
from fedgap.errors import FedgapError, UsageError
from fedgap.flower import formats
from fedgap.flower.book import Book
from fedgap.flower.start_file import FILE as START
from fedgap.flower.start_file import read_model
from fedgap.ids import OrgId
from fedgap.learning.parameters import digest

RENEW_DAYS = 30
"""A certificate of the server's own CA is renewed when it is valid for less than this."""


class NoServerError(FedgapError):
    """A folder is no server's."""

    code = "server.no-folder"
    remedy = "Make one: `fedgap server init DIR`."
    exit_status = 2


class NotEmptyError(FedgapError):
    """A folder holds something already; nothing in it was changed."""

    code = "server.not-empty"
    remedy = "Choose an empty folder, or one that holds federation.toml and nothing else."
    exit_status = 2


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of a server's folder."""

    folder: Path

    @property
    def federation(self) -> Path:
        """The federation's file."""
        return self.folder / "federation.toml"

    @property
    def settings(self) -> Path:
        """The server's file."""
        return self.folder / "server.toml"

    @property
    def key(self) -> Path:
        """The server's signing key."""
        return self.folder / "keys" / "server.key"

    @property
    def tls(self) -> Path:
        """Folder of the own CA."""
        return self.folder / "tls"

    @property
    def state(self) -> Path:
        """Folder of what the server remembers."""
        return self.folder / "state"

    @property
    def book_path(self) -> Path:
        """File of the book."""
        return self.state / "book.sqlite"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.folder / "ledger.sqlite"

    @property
    def model(self) -> Path:
        """The model after the last round."""
        return self.folder / "model" / "model.safetensors"

    def require(self) -> None:
        """Do nothing if this is a server's folder, in the form that this version keeps.

        Raises:
            NoServerError: it is none.
            OtherFormatError: another version of fedgap made it.
        """
        is_marked = formats.check(self.folder, "server")
        missing = [path.name for path in (self.federation, self.settings, self.key) if not path.is_file()]
        if missing:
            raise NoServerError(f"{self.folder} is no folder of a fedgap server: it lacks {', '.join(missing)}.")
        if not is_marked:
            formats.refuse_unmarked(self.folder)

    def config(self) -> FederationConfig:
        """Read federation.toml."""
        return load_federation(self.federation, deployed=True)

    def operator(self) -> Operator:
        """Read server.toml."""
        return load_operator(self.settings)

    def identity(self) -> Identity:
        """Read the server's signing key."""
        return storage.read_key(self.key, passphrase=None)

    def book(self) -> Book:
        """Open the book."""
        return Book(self.book_path)

    def policy(self, config: FederationConfig) -> str | None:
        """Read the funding policy that federation.toml names.

        Raises:
            StorageError: it cannot be read.
        """
        if config.federation.policy is None:
            return None
        path = self.folder / config.federation.policy
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise storage.StorageError(f"The policy {path} cannot be read.", remedy="Write it, as UTF-8.") from error

    def ca_pem(self, operator: Operator) -> bytes | None:
        """The CA that participants accept, if it is not their system's.

        Raises:
            StorageError: it is missing.
        """
        if not operator.trusts_own:
            return None
        path = self.tls / "ca.pem"
        try:
            return path.read_bytes()
        except OSError as error:
            remedy = 'Restore it from the backup, or write trust = "system" in server.toml.'
            raise storage.StorageError(f"The CA {path} cannot be read.", remedy=remedy) from error

    def ca_fingerprint(self, operator: Operator) -> bytes:
        """Its SHA-256, or nothing."""
        pem = self.ca_pem(operator)
        return b"" if pem is None else hashlib.sha256(der_of(pem)).digest()

    def certificate_files(self, operator: Operator, *, now: dt.datetime) -> tuple[Path | None, Path | None]:
        """Give the files of certificate and key that the listener uses; its own certificate is renewed in time.

        It is also made anew if the address in server.toml changed, or if a crash left a certificate without its key.
        """
        if operator.certificate == "proxy":
            return None, None
        if operator.certificate == "files":
            return self.folder / (operator.certificate_file or ""), self.folder / (operator.key_file or "")
        certificate, key = self.tls / "server.pem", self.tls / "server.key"
        if not self._is_certified(operator, now):
            self._certify(operator, now)
        return certificate, key

    def _is_certified(self, operator: Operator, now: dt.datetime) -> bool:
        certificate, key = self.tls / "server.pem", self.tls / "server.key"
        if not (certificate.exists() and key.exists()):
            return False
        content = certificate.read_bytes()
        names = serves(content, key.read_bytes(), _hosts(operator))
        return names and expires(content) - now >= dt.timedelta(days=RENEW_DAYS)

    def _certify(self, operator: Operator, now: dt.datetime) -> None:
        ca = Certificate((self.tls / "ca.pem").read_bytes(), (self.tls / "ca.key").read_bytes())
        made = server_certificate(ca, _hosts(operator), now=now)
        storage.replace(self.tls / "server.key", made.key, mode=storage.PRIVATE)
        storage.replace(self.tls / "server.pem", made.certificate)


def _hosts(operator: Operator) -> list[str]:
    return hosts_of(urlsplit(operator.address).hostname or "localhost", operator.host)


def hosts_of(address: str, listens: str) -> list[str]:
    """Under which names a server is reached: its address, and this machine itself."""
    own = [] if listens in {"0.0.0.0", "::"} else [listens]  # noqa: S104 - compared, not bound
    return list(dict.fromkeys([address, *own, "localhost", "127.0.0.1"]))


def make_home(
    folder: Path,
    *,
    address: str,
    listen: tuple[str, int],
    certificate: str,
    now: dt.datetime,
    start: Path | None = None,
) -> Home:
    """Make a server's folder: keys, CA, settings and templates; files that are there stay as they are.

    The settings come last: a folder without them is one whose making was interrupted, and is completed.

    Args:
        folder: where.
        address: what participants connect to.
        listen: host and port.
        certificate: own, files or proxy.
        now: the time.
        start: the model that training begins with, if it is not drawn from the seed.

    Raises:
        StartModelError: it is no model.
        UsageError: federation.toml is there and does not name it.
        NotEmptyError: it is a server's folder already.
        OtherFormatError: another version of fedgap began to make it.
        StorageError: it cannot be written.
    """
    home = Home(folder)
    is_marked = formats.check(folder, "server")
    if home.settings.exists():
        raise NotEmptyError(f"{folder} holds a server already.")
    name = None if start is None else _name_of(start, home)
    for path in (folder, home.key.parent, home.tls, home.state, home.model.parent):
        storage.make_folder(path)
    if start is not None:
        storage.copy(start, folder / START)
    for path in (home.key.parent, home.tls, home.state):
        path.chmod(0o700)
    if not is_marked:
        formats.mark(folder, "server")
    if not home.federation.exists():
        line = "" if name is None else f'start = "{name}"   # {START} here; each participant puts it beside site.toml\n'
        storage.replace(home.federation, TEMPLATE.replace("\n[task]", f"{line}\n[task]", 1).encode())
    if certificate == "own" and not (home.tls / "ca.pem").exists():
        ca = new_ca("fedgap CA", now=now)
        storage.replace(home.tls / "ca.key", ca.key, mode=storage.PRIVATE)
        storage.replace(home.tls / "ca.pem", ca.certificate)
    if not (folder / "policy.toml").exists():
        storage.replace(folder / "policy.toml", POLICY.encode())
    if not home.key.exists():
        storage.write_key(home.key, Identity(system(32)), passphrase=None, rand=system)
    settings = SETTINGS.format(address=address, host=listen[0], port=listen[1], certificate=certificate)
    storage.replace(home.settings, settings.encode())
    return home


def _name_of(start: Path, home: Home) -> str:
    """Give the digest of the model to begin with; a federation.toml that is there must name it."""
    name = digest(read_model(start))
    if home.federation.exists() and load_federation(home.federation, deployed=True).federation.start != name:
        line = f'Write start = "{name}" under [federation] there, then run this again; nothing was made.'
        raise UsageError(f"{home.federation} does not begin with {start}.", remedy=line)
    return name


def forms(config: FederationConfig) -> tuple[OrgId, ...]:
    """Ids of the organisations in the federation's file, in name order."""
    return tuple(sorted(organisation.id for organisation in config.organisations))


SETTINGS = """[server]
address = "{address}"   # what participants connect to
host = "{host}"
port = {port}
certificate = "{certificate}"   # own, files (certificate_file, key_file) or proxy
# proxies = ["192.0.2.7"]       # reverse proxies elsewhere that say who calls (X-Forwarded-For)
# wait_s = 86400.0               # how long to wait for missing organisations before the server stops
# invite_hours = 72
"""

POLICY = """# The funding policy: what is paid for, fixed before the first round.
# `fedgap config explain policy.toml` tells every key, `fedgap funding check policy.toml` what a policy means.
# To put one into force, take the # away from the lines that begin with it, change them, and write in federation.toml:
#     [federation]
#     policy = "policy.toml"

#[policy]
#currency = "EUR"

#[[period]]                  # as many as settlement.periods of federation.toml
#budget = "50000.00"

#[[price]]                   # what is reimbursed before the rest of the budget is divided
#what = "cpu-ms"
#per = 3600000               # an hour
#amount = "0.05"
"""

TEMPLATE = """# Who learns what together. `fedgap config explain` tells every key.
[federation]
id = "my-federation"
task = "tabular-classification"
seed = 1

[task]
label = "outcome"

[training]
rounds = 10
epochs = 1
lr = 0.1

[secagg]
reply_timeout_s = 300.0

# One section for each organisation; `fedgap server invite first-clinic` makes its invitation.
[[organisation]]
id = "first-clinic"

[[organisation]]
id = "second-clinic"

[[organisation]]
id = "third-clinic"
"""
