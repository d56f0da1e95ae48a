"""The way out through somebody's proxy: which one it is, and what is said when it does not let us through."""

from contextlib import closing

import httpx
import pytest

from fedgap.crypto import new_node_key
from fedgap.flower.fleet import Fleet
from fedgap.flower.outbound import OutboundProxyError, check_way, lost, proxy_to

SERVER = "https://federation.example:8443"
PROXY = "http://name:secret@proxy.example:3128"
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_is_used_unless_the_server_is_exempt(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_to(SERVER) is None
    monkeypatch.setenv(name, PROXY)
    assert proxy_to(SERVER) == PROXY
    for exempt in ("federation.example", ".example", "*"):
        monkeypatch.setenv("NO_PROXY", exempt)
        assert proxy_to(SERVER) is None


@pytest.mark.parametrize(
    "value", ["socks5://127.0.0.1:1080", "ftp://proxy.example", "http://proxy:port", "://", "http://"]
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"])
def test_a_proxy_of_another_kind_is_said_with_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(OutboundProxyError, match=name) as refused:
        Fleet(SERVER, ca=None, key=new_node_key(), moved=lambda *_: None)
    assert value not in refused.value.cause


@pytest.mark.parametrize(
    "value", ["proxy.example:3128", "http://proxy.example", PROXY, "https://proxy.example:443", ""]
)
def test_a_proxy_that_speaks_http_can_be_used(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)

    check_way()
    with closing(Fleet(SERVER, ca=None, key=new_node_key(), moved=lambda *_: None)):
        pass


def test_it_is_said_whether_the_proxy_refuses_or_is_not_there_and_never_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    away = httpx.ConnectError("x", request=httpx.Request("GET", SERVER))
    refused = lost(httpx.ProxyError("407 Proxy Authentication Required"))
    odd = lost(httpx.ProxyError("200\x1b[2J"))

    assert (refused.code, odd.code, lost(away).code) == ("link.proxy", "link.proxy", "link.lost")
    assert "407" in refused.cause
    assert "\x1b" not in odd.cause
    assert "through the proxy" in lost(away).cause
    assert "secret" not in refused.line() + lost(away).line()
    monkeypatch.setenv("NO_PROXY", "federation.example")
    assert "proxy" not in lost(away).cause
