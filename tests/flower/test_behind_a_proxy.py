"""A server whose TLS ends at a reverse proxy on the same machine, which passes paths and bodies on unchanged."""

import http.server
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fedgap.crypto.certificates import Certificate, server_certificate
from fedgap.flower.fleet import Fleet
from fedgap.flower.home import Home
from tests.flower.serving import enrol, free_port, home_in, new_node_key, now, served


def forwarder(inner: int) -> type[http.server.BaseHTTPRequestHandler]:
    """Make a handler that passes every request on to a port of this machine."""

    class Forward(http.server.BaseHTTPRequestHandler):
        """One request."""

        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            """Ask the server behind, and give its answer."""
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
            kept["x-forwarded-for"], kept["x-forwarded-proto"] = self.client_address[0], "https"
            asked = urllib.request.Request(
                f"http://127.0.0.1:{inner}{self.path}", data=body or None, headers=kept, method=self.command
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            try:
                answer = opener.open(asked, timeout=20)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                content = answer.read()
                self.send_response(answer.status)
                for name in ("content-type",):
                    if answer.headers.get(name):
                        self.send_header(name, answer.headers[name])
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = handle_one  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    return Forward


@contextmanager
def proxied(home: Home, folder: Path) -> Iterator[int]:
    """Run a TLS proxy in front of a server; give its port."""
    made = server_certificate(
        Certificate((home.tls / "ca.pem").read_bytes(), (home.tls / "ca.key").read_bytes()), ["localhost"], now=now()
    )
    (folder / "pem").write_bytes(made.certificate + made.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), forwarder(home.operator().port))
    proxy.daemon_threads = True
    proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield proxy.server_address[1]
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the proxy's own sockets
def test_a_site_joins_and_connects_through_a_proxy_that_ends_tls(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    settings = home.settings.read_text()
    inner = f'certificate = "proxy"\ntrust = "own"\nport = {free_port()}\n'
    kept = [line for line in settings.splitlines() if not line.startswith(("certificate", "port", "#"))]
    home.settings.write_text("\n".join(kept) + "\n" + inner)
    with served(home) as server, proxied(home, tmp_path) as port:
        home.settings.write_text(
            home.settings.read_text().replace(home.operator().address, f"https://localhost:{port}")
        )
        invite, key = server.invite("ash"), new_node_key()
        assert invite.address == f"https://localhost:{port}"
        assert enrol(server, invite, secret=b"a" * 32, key=key).status_code == 200
        with closing(Fleet(invite.address, ca=server.ca, key=key, moved=lambda *_: None)) as fleet:
            assert fleet.connect(earlier=None) > 0
            assert fleet.ask() is None
        with server.http() as client:
            assert client.get("/v1/control/list-runs").status_code == 404
            assert client.get("/").status_code == 200
