"""The server's enrolment desk, as a site sees it: a few small JSON calls over HTTPS, beside Flower's Fleet API.

What is sent is written into the egress log first. Answers are bounded, read strictly, and become typed errors.
"""

import ssl
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from fedgap.errors import FedgapError
from fedgap.flower.book import KeyTakenError
from fedgap.flower.contract import VersionError
from fedgap.flower.egress import EgressLog
from fedgap.flower.enrolment import (
    APPROVE,
    CA,
    ENROL,
    HEALTH,
    MANIFEST,
    MOST_BODY_BYTES,
    ApproveRequest,
    EnrolReply,
    EnrolRequest,
    Invite,
    InviteExpiredError,
    InviteUsedError,
    ManifestReply,
    check_ca,
)
from fedgap.flower.fleet import NotAdmittedError
from fedgap.flower.outbound import LinkLostError, OutboundProxyError, check_way, lost, trusting

TIMEOUT_S = 20.0
MOST_ANSWER_BYTES = 64 * MOST_BODY_BYTES

B = TypeVar("B", bound=BaseModel)


class RefusedByServerError(FedgapError):
    """The server does not do what was asked."""

    code = "client.server-refuses"
    remedy = "Ask the operator; the code here is what the server gave as its reason."


class OddAnswerError(FedgapError):
    """The server's answer is not what its version of fedgap would say."""

    code = "client.odd-answer"
    remedy = "Check the address; a proxy may answer in the server's place. Otherwise ask the operator for its version."


_KNOWN: dict[str, type[FedgapError]] = {
    error.code: error for error in (InviteExpiredError, InviteUsedError, KeyTakenError, VersionError)
}


def fetch_ca(invite: Invite) -> str | None:
    """Get the CA that the invitation names; None if it names none, because the machine's own are meant.

    Nothing is sent and nothing of the answer is used unless its fingerprint is the invitation's.

    Raises:
        WrongFingerprintError: the server shows another one.
        LinkLostError: there is no connection.
    """
    if not invite.ca:
        return None
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE  # the fingerprint is what is trusted, and it is checked below
    content = _body(_Http(invite.address, unchecked).get(CA))
    try:
        pem = content.decode("ascii")
        der = ssl.PEM_cert_to_DER_cert(pem.strip())
    except ValueError as error:
        raise OddAnswerError("The server shows no certificate of a CA.") from error
    check_ca(invite, der)
    return pem


class Desk:
    """The enrolment desk of one server.

    Args:
        address: `https://host:port`.
        ca: PEM of the only CA that may vouch for it; None trusts what the machine trusts.
        egress: where is written down what leaves.
    """

    def __init__(self, address: str, *, ca: str | None, egress: EgressLog) -> None:
        self._http, self._egress = _Http(address, trusting(None if ca is None else ca.encode())), egress

    def health(self) -> None:
        """Ask whether the server is there; nothing is sent.

        Raises:
            LinkLostError, WrongCertificateError: it is not, or it is another one.
        """
        _body(self._http.get(HEALTH))

    def enrol(self, request: EnrolRequest) -> EnrolReply:
        """Show our public keys with the one-time code.

        Raises:
            InviteExpiredError, InviteUsedError, RefusedByServerError: they are not taken.
        """
        return self._post(ENROL, "enrol", request, EnrolReply)

    def manifest(self) -> ManifestReply:
        """Ask which manifest is in force, and which waits for signatures."""
        return _read(self._http.get(MANIFEST), ManifestReply)

    def approve(self, request: ApproveRequest) -> None:
        """Hand in our signature under a manifest."""
        content = request.model_dump_json().encode()
        self._egress.note("approve", content, manifest=request.manifest)
        _body(self._http.post(APPROVE, content))

    def _post(self, path: str, purpose: str, request: BaseModel, answer: type[B]) -> B:
        content = request.model_dump_json().encode()
        self._egress.note(purpose, content)
        return _read(self._http.post(path, content), answer)


class _Http:
    """Two verbs against one address; a proxy is used if the environment names one."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        self._address, self._context = address, context

    def get(self, path: str) -> httpx.Response:
        return self._called("GET", path, None)

    def post(self, path: str, content: bytes) -> httpx.Response:
        return self._called("POST", path, content)

    def _called(self, verb: str, path: str, content: bytes | None) -> httpx.Response:
        check_way()
        headers = {} if content is None else {"content-type": "application/json"}
        try:
            with (
                httpx.Client(verify=self._context, timeout=TIMEOUT_S) as client,
                client.stream(verb, self._address + path, content=content, headers=headers) as answer,
            ):
                got = bytearray()
                for part in answer.iter_bytes():
                    got += part
                    if len(got) > MOST_ANSWER_BYTES:
                        raise OddAnswerError("The server's answer has no end.")
                return httpx.Response(answer.status_code, content=bytes(got), request=answer.request)
        except httpx.RequestError as error:
            raise lost(error) from error


def _body(answer: httpx.Response) -> bytes:
    """Let a good answer through; the code in a bad one says what is wrong."""
    if answer.is_success:
        return answer.content
    if answer.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        raise OutboundProxyError("A proxy on the way asks for a name and a password (HTTP 407).")
    if answer.status_code in {401, 403}:
        raise NotAdmittedError(f"The server or a proxy does not let this site in (HTTP {answer.status_code}).")
    code = _code(answer)
    if code in _KNOWN:
        raise _KNOWN[code]("The server refuses.")
    if code:
        raise RefusedByServerError(f"The server refuses: {code}.")
    raise LinkLostError(f"The server is not ready, or something else answered (HTTP {answer.status_code}).")


def _code(answer: httpx.Response) -> str:
    try:
        found: Any = answer.json()
    except ValueError:
        return ""
    code = found.get("error") if isinstance(found, dict) else None
    is_code = isinstance(code, str) and code.isprintable() and len(code) <= 64  # noqa: PLR2004 - codes are short
    return str(code) if is_code else ""


def _read(answer: httpx.Response, wanted: type[B]) -> B:
    content = _body(answer)
    try:
        return wanted.model_validate_json(content)
    except ValidationError as error:
        raise OddAnswerError(f"The server's answer is no {wanted.__name__}.") from error
