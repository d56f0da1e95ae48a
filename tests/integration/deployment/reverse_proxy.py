"""Real reverse proxies on loopback, with the files of server/proxies; or with their defaults and nothing else."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from tests.flower.serving import free_port

ROOT = Path(__file__).parents[3]
SHIPPED = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "apache2": "apache.conf", "caddy": "Caddyfile"}
"""The program, and our file for it."""

BARE_NGINX = """server {
    listen 443 ssl;
    ssl_certificate /etc/ssl/federation.example.pem;
    ssl_certificate_key /etc/ssl/private/federation.example.key;
    location / { proxy_pass http://127.0.0.1:8080; }
}
"""
"""The least that works."""

TLS_INSIDE = BARE_NGINX.replace(
    "proxy_pass http://127.0.0.1:8080;",
    "proxy_pass https://127.0.0.1:8080; proxy_ssl_verify on; proxy_ssl_name localhost; "
    "proxy_ssl_trusted_certificate ca.pem; proxy_set_header X-Forwarded-For $remote_addr;",
)
"""As on another machine: TLS again behind the proxy, a handshake for each call."""

AROUND: Mapping[str, str] = {
    "nginx": """daemon off; pid {folder}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {ours}
}}
""",
    "haproxy": "{ours}",
    "apache2": """ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog /dev/stderr
Listen 127.0.0.1:{front}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
{ours}
""",
    "caddy": "{{\n    auto_https off\n    admin off\n}}\n{ours}",
}
"""What a distribution's own configuration does around ours: modules, folders; here without a daemon."""

AS_ROOT = {"nginx": "user root root;\n", "apache2": "User daemon\nGroup daemon\n"}
"""Started by root they become somebody else: nginx one who cannot write into our folder, Apache one it must be told."""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "nginx": ("-p", "{folder}", "-e", "stderr", "-c", "{file}"),
    "haproxy": ("-db", "-f", "{file}"),
    "apache2": ("-D", "FOREGROUND", "-f", "{file}"),
    "caddy": ("run", "--config", "{file}", "--adapter", "caddyfile"),
}
APACHE_MODULES = Path("/usr/lib/apache2/modules")
START_S = 60.0


def program(name: str) -> str:
    """Find a proxy's program; skips where it is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None or (name == "apache2" and not APACHE_MODULES.is_dir()):
        pytest.skip(f"{name} is not installed here")
    return found


@dataclass(slots=True)
class ReverseProxy:
    """A proxy in front of a server on this machine.

    Attributes:
        name: one of `SHIPPED`.
        folder: of its own; holds `cert.pem` and `key.pem` for localhost.
        inner: port of the server behind.
        text: configuration in place of ours.
        front: port on which it listens.
    """

    name: str
    folder: Path
    inner: int
    text: str | None = None
    front: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if kind is not None:
            sys.stderr.write((self.folder / "proxy.log").read_text(errors="replace")[-2000:])

    def start(self) -> None:
        """Run it, and wait until somebody answers: the server behind, or the proxy for it."""
        found = program(self.name)
        path = self.folder / SHIPPED[self.name]
        path.write_text(self._configuration())
        words = [word.format(folder=self.folder, file=path) for word in COMMANDS[self.name]]
        home = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        with (self.folder / "proxy.log").open("ab") as log:
            self._process = subprocess.Popen([found, *words], stdout=log, stderr=log, env=dict(os.environ) | home)
        end = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "proxy.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)

    def stop(self) -> None:
        """End it without a word to whoever is connected."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        try:
            with httpx.Client(verify=False, trust_env=False, timeout=5) as client:  # noqa: S501 - only whether it is there
                client.get(f"https://localhost:{self.front}/health")
        except httpx.TransportError:
            return False
        return True

    def _configuration(self) -> str:
        """Our file with this test's ports and certificate in it."""
        ours = self.text or (ROOT / "server" / "proxies" / SHIPPED[self.name]).read_text()
        both = self.folder / "both.pem"
        both.write_bytes((self.folder / "cert.pem").read_bytes() + (self.folder / "key.pem").read_bytes())
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{self.inner}",
            "listen 443 ssl": f"listen 127.0.0.1:{self.front} ssl",
            "bind :443 ssl": f"bind 127.0.0.1:{self.front} ssl",
            "<VirtualHost *:443>": f"<VirtualHost 127.0.0.1:{self.front}>",
            "/etc/haproxy/federation.example.pem": str(both),
            "/etc/ssl/federation.example.pem": str(self.folder / "cert.pem"),
            "/etc/ssl/private/federation.example.key": str(self.folder / "key.pem"),
            "ca.pem": str(self.folder / "ca.pem"),
            "federation.example {": f"localhost:{self.front} {{\n    tls {self.folder}/cert.pem {self.folder}/key.pem",
            "federation.example": "localhost",
        }
        for before, after in changes.items():
            ours = ours.replace(before, after)
        whole = AROUND[self.name].format(folder=self.folder, front=self.front, modules=APACHE_MODULES, ours=ours)
        return whole if os.geteuid() else AS_ROOT.get(self.name, "") + whole
