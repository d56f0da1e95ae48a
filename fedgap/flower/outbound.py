"""The way out of a site's building: through which proxy, to whom, and why there is no connection.

httpx, which Flower uses too, reads HTTPS_PROXY, ALL_PROXY and NO_PROXY from the environment.
"""

import ssl
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from fedgap.errors import FedgapError


class LinkLostError(FedgapError):
    """The server cannot be reached at the moment."""

    code = "link.lost"
    remedy = (
        "The client tries again by itself; if it lasts, try `fedgap client check` and show it to your IT department."
    )


class WrongCertificateError(FedgapError):
    """Who answers is not the server that the invite named; nothing was sent."""

    code = "link.wrong-certificate"
    remedy = "Something stands between you and the server, or it has a new certificate: ask the operator by phone."


class OutboundProxyError(LinkLostError):
    """The proxy on this site's own way out does not let it through."""

    code = "link.proxy"
    remedy = (
        "Ask your IT department: the proxy must allow CONNECT to the server's port. If it wants a name and a password: "
        "HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT, with %XX for signs such as @ and : in them."
    )


def proxy_to(address: str) -> str | None:
    """Tell which proxy stands on the way to an https address, if any, with what it asks for to let us in."""
    if proxy_bypass(urlsplit(address).netloc):
        return None
    proxies = getproxies()
    return proxies.get("https") or proxies.get("all")


def check_way() -> None:
    """Do nothing if every proxy that the environment names is one that we can use; httpx looks at all of them.

    Raises:
        OutboundProxyError: one is of another kind, or no address; it may hold a password and is not shown.
    """
    proxies = getproxies()
    for name in ("https", "all", "http"):
        text = proxies.get(name)
        try:
            url = httpx.Proxy(text if "://" in text else f"http://{text}").url if text else None
        except (ValueError, httpx.InvalidURL):
            url = httpx.URL()
        if url is not None and (url.scheme not in {"http", "https"} or not url.host):
            cause = f"{name.upper()}_PROXY names something else than a proxy that speaks HTTP."
            raise OutboundProxyError(cause, remedy="Write HTTPS_PROXY=http://HOST:PORT, or unset the variable.")


def trusting(ca: bytes | None) -> ssl.SSLContext:
    """Trust one CA, given as PEM, or those that this machine trusts; Flower would trust a list of its own instead."""
    if ca is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca.decode("ascii"))
    return context


def lost(error: httpx.RequestError) -> FedgapError:
    """Say why there is no connection."""
    if isinstance(error, httpx.ProxyError):
        what = str(error)[:80] if str(error).isprintable() else ""
        return OutboundProxyError(f"The proxy that HTTPS_PROXY names does not connect us to the server ({what}).")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return WrongCertificateError(f"The server's certificate is not accepted ({cause.verify_message}).")
        if isinstance(cause, ssl.SSLError):
            return LinkLostError(f"No TLS connection ({getattr(cause, 'reason', None) or 'handshake'}).")
        cause = cause.__cause__ or cause.__context__
    through = " through the proxy that HTTPS_PROXY names" if proxy_to(_address_of(error)) else ""
    return LinkLostError(f"No connection to the server{through} ({type(error).__name__}).")


def _address_of(error: httpx.RequestError) -> str:
    try:
        return str(error.request.url)
    except RuntimeError:  # it was raised before there was a request
        return ""
