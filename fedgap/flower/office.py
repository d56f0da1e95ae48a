"""What the public listener answers besides Fleet: health, the CA, enrolment, manifests, and the status page.

Everything that comes in is read by a strict model; what goes out on an error is its code and nothing else.
"""

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fedgap.crypto import BadKeyError
from fedgap.crypto.canonical import Value
from fedgap.crypto.certificates import node_key_pem
from fedgap.crypto.codec import unpack
from fedgap.errors import FedgapError
from fedgap.flower import enrolment
from fedgap.flower.book import Book
from fedgap.flower.enrolment import ApproveRequest, EnrolReply, EnrolRequest, ManifestReply, is_enrolment
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.manifest import SignedManifest
from fedgap.storage import StorageError

Handler: TypeAlias = Callable[[Request], Coroutine[Any, Any, Response]]


class BadRequestError(FedgapError):
    """A request is not what fedgap's client sends."""

    code = "enrol.bad-request"
    remedy = "Install the same version of fedgap on both sides."


class Desk(Protocol):
    """What the office asks of the service; `fedgap.flower.service` has it."""

    book: Book
    ca: bytes | None

    @property
    def federation(self) -> FederationId:
        """Its id."""
        ...

    def nodes(self) -> Mapping[OrgId, int]:
        """Let the nodes of approved organisations connect and no others; give those that are connected."""
        ...

    def about(self) -> tuple[dict[str, Any], bytes, str | None]:
        """Give the federation's document, its digest, and the policy's text."""
        ...

    def manifests(self) -> ManifestReply:
        """Give the manifest in force, the proposed one, and those before."""
        ...

    def signable(self, org: OrgId) -> Mapping[bytes, Sequence[Value]]:
        """Give what a member may sign, by its digest, with the label and the values of the statement."""
        ...

    def page(self) -> str:
        """Give the status page."""
        ...


@dataclass(frozen=True, slots=True)
class Office:
    """The handlers of these paths."""

    desk: Desk

    def paths(self) -> frozenset[tuple[str, str]]:
        """Method and path of everything that is answered here."""
        return frozenset((method, path) for method, path, _ in self._routes())

    def application(self) -> Starlette:
        """Make the application."""
        return Starlette(routes=[Route(path, handler, methods=[method]) for method, path, handler in self._routes()])

    def enrol(self, body: bytes) -> BaseModel:
        """Take an organisation's keys.

        Raises:
            BadRequestError: the body or its signature is wrong.
            InviteUsedError, InviteExpiredError, KeyTakenError: see `Book.enrol`.
        """
        request = _read(EnrolRequest, body)
        try:
            node_key_pem(request.node_public)
        except BadKeyError as error:
            raise BadRequestError("The node key is none.") from error
        if not is_enrolment(request, self.desk.federation):
            raise BadRequestError("The request is not signed by the key it shows.")
        standing = self.desk.book.enrol(request, now_s=time.time())
        self.desk.nodes()  # at once: keys that were changed may be in somebody else's hands
        document, plan, policy = self.desk.about()
        current = self.desk.manifests().current
        status: Literal["approved", "waiting"] = "approved" if standing == "approved" else "waiting"
        return EnrolReply(status=status, federation=document, plan=plan.hex(), policy=policy, manifest=current)

    def approve(self, body: bytes) -> BaseModel:
        """Take a member's signature under the manifest that waits for signatures or the one in force, or a policy.

        Raises:
            BadRequestError: it is not a member's signature.
        """
        request = _read(ApproveRequest, body)
        book, manifest = self.desk.book, bytes.fromhex(request.manifest)
        org, signature = OrgId(request.organisation), bytes.fromhex(request.signature)
        said = self.desk.signable(org).get(manifest)
        if said is None:
            raise BadRequestError("Nothing of this digest waits for signatures.")
        if not any(book.sign(manifest, public, signature, said=said) for public in self._keys(org)):
            raise BadRequestError("The signature is not that of an approved organisation.")
        return _Done()

    def _keys(self, org: OrgId) -> list[bytes]:
        """An approved organisation's key; and the one before it, which vouches for it, while that is still in force."""
        now = [o.public for o in self.desk.book.organisations() if o.org == org and o.standing == "approved"]
        current = self.desk.manifests().current
        members = () if current is None or not now else unpack(SignedManifest, bytes.fromhex(current)).manifest.members
        return [public for public in (*now, *(m.public for m in members if m.id == org)) if public is not None]

    def _routes(self) -> tuple[tuple[str, str, Handler], ...]:
        return (
            ("GET", enrolment.HEALTH, self._health),
            ("GET", enrolment.STATUS, self._page),
            ("GET", enrolment.CA, self._ca),
            ("GET", enrolment.MANIFEST, _answering(lambda _: self.desk.manifests())),
            ("POST", enrolment.ENROL, _answering(self.enrol)),
            ("POST", enrolment.APPROVE, _answering(self.approve)),
        )

    async def _health(self, request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    async def _ca(self, request: Request) -> Response:
        del request
        if self.desk.ca is None:
            return JSONResponse({"error": "not-found"}, status_code=HTTPStatus.NOT_FOUND)
        return PlainTextResponse(self.desk.ca)

    async def _page(self, request: Request) -> Response:
        del request
        page = await run_in_threadpool(self.desk.page)
        guard = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        return HTMLResponse(page, headers={"content-security-policy": guard, "cache-control": "no-store"})


class _Done(BaseModel):
    status: str = "kept"


def _answering(work: Callable[[bytes], BaseModel]) -> Handler:
    """Make a handler: body in, model out, an error's code if there is one."""

    async def handler(request: Request) -> Response:
        body = await request.body()
        try:
            done = await run_in_threadpool(work, body)
        except StorageError as error:
            return JSONResponse({"error": error.code}, status_code=HTTPStatus.SERVICE_UNAVAILABLE)
        except FedgapError as error:
            return JSONResponse({"error": error.code}, status_code=HTTPStatus.CONFLICT)
        return Response(done.model_dump_json(), media_type="application/json")

    return handler


def _read(model: type[Any], body: bytes) -> Any:  # noqa: ANN401 - the model decides
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise BadRequestError("A request cannot be read.") from error
