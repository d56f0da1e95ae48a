"""server.toml: where an operator's server listens, under which name, with which certificate, how long it waits."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fedgap.config.load import read_toml
from fedgap.config.problems import ConfigError, read_section, unknown_key
from fedgap.config.section import Problem, Section, freeze, refuse
from fedgap.config.values import Shown

MOST_PORT = 65535


def check_address(address: str) -> str:
    """Let an https address without a path through."""
    host = address.removeprefix("https://")
    if host == address or not host or any(sign in host for sign in "/?#@ "):
        raise refuse("It is no https address.", 'Write "https://host" or "https://host:port", without a path.')
    return address


def check_network(name: str) -> str:
    """Let an IP address or a network through, unless everybody is in it."""
    try:
        network = ipaddress.ip_network(name)
    except ValueError:
        raise refuse("It is no IP address and no network.", 'Write "192.0.2.7" or "192.0.2.0/24".') from None
    if network.prefixlen == 0:
        raise refuse("Everybody is in this network, and could claim any address.", "Name your proxies only.")
    return name


class Operator(Section):
    """Where an operator's server listens, under which name and certificate, and how long it waits."""

    address: Annotated[Shown, AfterValidator(check_address)] = Field(
        description="what participants connect to, as it stands in invitations"
    )
    host: Shown = Field(default="0.0.0.0", description="address of this machine on which to listen")  # noqa: S104 - a server for the public
    port: int = Field(default=443, ge=0, le=MOST_PORT, description="port on which to listen; 0: any")
    certificate: Literal["own", "files", "proxy"] = Field(
        default="own",
        description="own: from a CA made by `fedgap server init`; files: the two named below; proxy: a reverse proxy "
        "on this machine has it, and this server speaks plain HTTP on a loopback address",
    )
    certificate_file: Shown | None = Field(default=None, description='PEM with the whole chain, for "files"')
    key_file: Shown | None = Field(default=None, description='PEM of its private key, for "files"')
    proxies: tuple[Annotated[str, AfterValidator(check_network)], ...] = Field(
        default=(),
        description="addresses or networks of reverse proxies in front of this server: their X-Forwarded-For says who "
        'calls; with certificate = "proxy" this machine\'s own is one already',
    )
    trust: Literal["own", "system"] | None = Field(
        default=None,
        description="which CAs participants accept: the one whose fingerprint is in the invitation, or those of "
        'their system; by default "own" with certificate = "own", else "system"',
    )
    wait_s: float = Field(
        default=86400.0,
        gt=0,
        description="how long the server waits for missing organisations before it stops",
        json_schema_extra={"unit": "s"},
    )
    invite_hours: int = Field(
        default=72, ge=1, le=8760, description="how long an invitation is valid", json_schema_extra={"unit": "hours"}
    )
    attempts: int = Field(default=5, ge=1, le=1000, description="how often a round is tried")

    @property
    def trusts_own(self) -> bool:
        """Whether participants accept only the CA of the invitation."""
        return (self.trust or ("own" if self.certificate == "own" else "system")) == "own"

    def broken_rules(self) -> Iterator[Problem]:
        """Files belong to "files", and nothing is served in the clear to the outside."""
        named = self.certificate_file is not None and self.key_file is not None
        if (self.certificate == "files") != named:
            yield Problem("certificate_file", 'It and key_file go together with certificate = "files".', "Correct it.")
        if self.certificate == "proxy" and self.host not in {"127.0.0.1", "::1", "localhost"}:
            yield Problem("host", "Behind a proxy the server speaks plain HTTP.", 'Write host = "127.0.0.1".')


def load_operator(path: Path) -> Operator:
    """Read and check a server.toml.

    Raises:
        ConfigError: it cannot be read or has problems; all of them are listed.
    """
    document = read_toml(path)
    section, problems = read_section(Operator, freeze(document.get("server", {})), "server")
    problems += [unknown_key(name, name, ("server",)) for name in document if name != "server"]
    if section is None or problems:
        raise ConfigError(problems, name=path.name)
    return section
