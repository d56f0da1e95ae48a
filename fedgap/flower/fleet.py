"""The one connection a site has: Flower's Fleet API, outbound over HTTPS, nothing fetched but messages and arrays.

Flower's own node (`flwr.supernode`) installs and runs code that the server chose, ends the process when the server is
away, and sends exception texts. This one asks for messages, gives bytes back, and raises typed errors. A proxy is used
if HTTPS_PROXY names one and NO_PROXY does not exempt the server.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import httpx
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.supercore.error import FlowerError
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectPushError
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedgap.crypto import NodeKey
from fedgap.errors import FedgapError
from fedgap.flower.assembly import TooLargeError, put_together, send_apart
from fedgap.flower.calls import Calls
from fedgap.flower.contract import (
    HEARTBEAT_S,
    MESSAGE_TYPE,
    SMALL_BYTES,
    EnvelopeError,
    Reply,
    Request,
    VersionError,
    read_request,
    write_reply,
)
from fedgap.flower.outbound import LinkLostError, OutboundProxyError, check_way, lost, trusting

BEAT_S, BEAT_AGAIN_S = 4.0, 1.0
"""How often a site says that it is there, by a thread of its own; and how soon again if nobody heard it."""

LAST_BEAT_S = 6.0
"""How long a heartbeat that is under way is waited for at the end; Flower gives one 5 s."""

MOST_OBJECT_TRIES, PATIENCE_S = 60, 5.0
"""How often a piece is asked for that the server announced and does not have yet, and the longest pause between."""

MOST_BYTES = 1 << 33
"""No message of a server is larger."""
_AWAY = {408, 425, 429, 500, 502, 503, 504}
_NO_ACTIVATION = 2004

T = TypeVar("T")


class NotAdmittedError(FedgapError):
    """The server does not know this site's key, or knows it no longer."""

    code = "link.not-admitted"
    remedy = "Ask the operator whether this organisation is approved; check that this machine's clock is right."


class ForgottenError(FedgapError):
    """The server knew this connection and does not any more: it was started anew, or the key was taken away."""

    code = "link.forgotten"
    remedy = "After a restart of the server that is usual: the client comes online again by itself."


class BusyKeyError(FedgapError):
    """The server does not let this key in now: another client uses it, or it is not approved."""

    code = "link.key-in-use"
    remedy = "After a crash this lasts up to a minute. If it lasts longer, another client runs with this site's keys."


class GoneError(FedgapError):
    """A message could not be fetched or answered any more; the server did not wait."""

    code = "link.message-gone"
    remedy = "The round goes on without this site; it takes part in the next one."


class CutShortError(GoneError):
    """A proxy on the way takes no message of this size; the server would."""

    code = "link.too-large-for-proxy"
    remedy = (
        "Ask the operator to let bodies of 1 MiB through the reverse proxy (server/README.md; nginx: "
        "client_max_body_size), or your IT department if the proxy is yours."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A message that waits for us: its head, and what it is made of."""

    head: Message = field(repr=False)
    tree: ObjectTree = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message of the server, and what is needed to answer it.

    Attributes:
        request: what it asks; or the error that it was not readable with.
        message: without its content.
    """

    request: Request | EnvelopeError | VersionError
    message: Message = field(repr=False)


class Fleet:
    """A node of the server's fleet, from `connect` to `close`.

    Args:
        address: `https://host:port`.
        ca: PEM of the only CA that may vouch for the server; None trusts what the machine trusts.
        key: of this node.
        moved: called after each HTTP call with its name, bytes up and bytes down.
        through: called while a large body travels with `down` or `up`, bytes so far and bytes in all.
    """

    def __init__(
        self,
        address: str,
        *,
        ca: bytes | None,
        key: NodeKey,
        moved: Callable[[str, int, int], None],
        through: Callable[[str, int, int], None] = lambda way, done, total: None,  # noqa: ARG005 - nobody listens
    ) -> None:
        check_way()
        public = key.private.public_key()
        self._public, self._calls = public_key_to_bytes(public), Calls(moved)
        self._client = FleetHttpClient(
            address, interceptors=[self._calls, NodeAuthHttpInterceptor(key.private, public)], verify=trusting(ca)
        )
        self._client._client.follow_redirects = False  # noqa: SLF001 - no public switch; nothing goes to another host
        self._up, self._down = partial(through, "up"), partial(through, "down")
        self._node: Node | None = None
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None

    def connect(self, *, earlier: int | None) -> int:
        """Come online.

        Args:
            earlier: this node's number if it went offline without saying so, after a crash.

        Returns:
            the node's number.

        Raises:
            LinkLostError, WrongCertificateError, NotAdmittedError, BusyKeyError: not now.
        """
        if earlier is not None:
            self._leave(earlier)
        request = ActivateNodeRequest(public_key=self._public, heartbeat_interval=HEARTBEAT_S)
        self._node = Node(node_id=_called(partial(self._client.ActivateNode, request)).node_id)
        self._beating = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._beating.start()
        return int(self._node.node_id)

    def ask(self, *, wait_s: int = 0) -> Announced | None:
        """Ask whether there is a message; None if there is none.

        Args:
            wait_s: how long the server may hold the question open; one that cannot do that answers at once.

        Raises:
            LinkLostError, NotAdmittedError: the connection is gone.
            GoneError: there is something that is none.
        """
        self._calls.wait_s = wait_s
        answer = _called(partial(self._client.PullMessages, PullMessagesRequest(node=self._node)))
        if not answer.messages_list:
            return None
        try:
            return Announced(head=message_from_proto(answer.messages_list[0]), tree=answer.message_object_trees[0])
        except Exception as error:  # what comes may break Flower's reader in any way
            raise GoneError(f"A message cannot be read ({type(error).__name__}).") from error

    def fetch(self, announced: Announced) -> Incoming:
        """Get the content of a message.

        Raises:
            LinkLostError, NotAdmittedError: the connection is gone.
            GoneError: it cannot be had any more.
        """
        run, name = announced.head.metadata.run_id, announced.head.metadata.message_id
        try:
            message = put_together(announced.tree, partial(self._pull, run), most_bytes=MOST_BYTES, moved=self._down)
            if not self._calls.given:  # else the answer confirms it
                confirmation = ConfirmMessageReceivedRequest(node=self._node, run_id=run, message_object_id=name)
                _called(partial(self._client.ConfirmMessageReceived, confirmation))
        except FedgapError as error:
            if isinstance(error, TooLargeError):
                raise GoneError("A message is larger than any that is asked for.") from error
            raise
        except Exception as error:  # what comes may break Flower's reader in any way
            raise GoneError(f"A message could not be fetched ({type(error).__name__}).") from error
        message.metadata.__dict__["_message_id"] = name
        request = _asked(message)
        return Incoming(request=request, message=remove_content_from_message(message))  # a body may be large: once

    def answer(self, incoming: Incoming, reply: Reply, *, seconds: float) -> None:
        """Send the reply to a message.

        Raises:
            LinkLostError, NotAdmittedError: the connection is gone.
            GoneError: nobody waits for it any more.
        """
        reply_message = Message(write_reply(reply), reply_to=incoming.message)
        run = incoming.message.metadata.run_id
        reply_message.metadata.__dict__["_message_id"] = reply_message.object_id
        with no_object_id_recompute():
            tree: ObjectTree = get_object_tree(reply_message)
            objects = get_all_nested_objects(reply_message)
            head = remove_content_from_message(reply_message)
            if self._calls.is_bundling and len(reply.body) <= SMALL_BYTES:
                self._calls.taken = {name: one.deflate() for name, one in objects.items()}
            answer = _called(partial(self._client.PushMessages, self._push_request(head, tree, seconds)))
            del reply_message
            push = partial(self._push, run, answer.session_id)
            try:
                send_apart(objects, answer.objects_to_push, push, total=len(reply.body), moved=self._up)
            except ObjectPushError as error:
                raise GoneError("The server takes no answer to this message any more.") from error

    def close(self) -> bool:
        """Say goodbye; tell whether the server heard it, so that nobody is online under this key any more.

        A heartbeat that is under way ends first: behind the goodbye it would bring the node back.
        """
        self._ended.set()
        if self._beating is not None:
            self._beating.join(LAST_BEAT_S)
        heard = self._node is not None and self._leave(int(self._node.node_id))
        self._client.close()
        return heard

    def _push_request(self, head: Message, tree: ObjectTree, seconds: float) -> PushMessagesRequest:
        return PushMessagesRequest(
            node=self._node,
            messages_list=[message_to_proto(head)],
            message_object_trees=[tree],
            clientapp_runtime_list=[seconds],
        )

    def _pull(self, run: int, name: str) -> bytes:
        """Give a piece: one that came with the announcement, or fetch it when the server has all of it."""
        if name in self._calls.given:
            return self._calls.given[name]
        request = PullObjectRequest(node=self._node, run_id=run, object_id=name)
        for trial in range(MOST_OBJECT_TRIES):
            answer = _called(partial(self._client.PullObject, request))
            if not answer.object_found:
                raise ObjectPullError(name, "not found")
            if answer.object_available:
                return bytes(answer.object_content)
            if self._ended.wait(min(PATIENCE_S, 0.05 * 2**trial)):
                break
        raise ObjectPullError(name, "not available")

    def _push(self, run: int, session: str, name: str, content: bytes) -> None:
        request = PushObjectRequest(
            node=self._node, run_id=run, object_id=name, object_content=content, session_id=session
        )
        if not _called(partial(self._client.PushObject, request)).stored:
            raise ObjectPushError(name, run, session)

    def _leave(self, node: int) -> bool:
        try:
            _called(partial(self._client.DeactivateNode, DeactivateNodeRequest(node_id=node)))
        except FedgapError:
            return False  # it will notice by itself
        return True

    def _beat(self) -> None:
        """Say "still here" until the end; a server that does not hear it is asked for messages anyway."""
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_S)
        pause_s = BEAT_S
        while not self._ended.wait(pause_s):
            pause_s = BEAT_AGAIN_S
            with suppress(Exception):  # whatever it was: the next beat is due
                _called(partial(self._client.SendNodeHeartbeat, request))
                pause_s = BEAT_S


def _asked(message: Message) -> Request | EnvelopeError | VersionError:
    try:
        if message.metadata.message_type != MESSAGE_TYPE or not message.has_content():
            return EnvelopeError("A message is of a type that this client does not answer.")
        return read_request(message.content)
    except (EnvelopeError, VersionError) as error:
        return error


def _called(call: Callable[[], T]) -> T:
    """Make one HTTP call; what goes wrong becomes a typed error."""
    try:
        return call()
    except httpx.HTTPStatusError as error:
        raise _refused(error.response) from error
    except httpx.RequestError as error:
        raise lost(error) from error
    except ValueError as error:  # an answer that is no protobuf: a captive portal, a proxy's error page
        raise LinkLostError("Something else than the server answered.") from error


def _refused(answer: httpx.Response) -> FedgapError:
    status = answer.status_code
    if status in _MEANINGS:
        return _MEANINGS[status](answer)
    known = FlowerError.from_json(answer.text)
    if known is not None and known.code == _NO_ACTIVATION:
        return BusyKeyError("The server does not activate this node.")
    if status in _AWAY:
        return LinkLostError(f"The server, or a proxy in front of it, is not ready (HTTP {status}).")
    if known is not None:
        return GoneError(f"The server refuses (HTTP {status}, Flower's code {known.code}).")
    return LinkLostError(f"Something else than the server answered (HTTP {status}).")


def _too_large(answer: httpx.Response) -> FedgapError:
    """Tell who says it: our server answers in JSON, proxies with a page."""
    if answer.headers.get("content-type") == "application/json":
        return _gone(answer)
    size = len(answer.request.content)
    return CutShortError(f"A proxy on the way to the server takes no message of {size} bytes (HTTP 413).")


def _gone(_: httpx.Response) -> FedgapError:
    return GoneError("The server takes no answer to this message any more, or it is too large.")


_MEANINGS: Mapping[int, Callable[[httpx.Response], FedgapError]] = {
    401: lambda _: NotAdmittedError("The server does not let this site in (HTTP 401)."),
    407: lambda _: OutboundProxyError("A proxy on the way asks for a name and a password (HTTP 407)."),
    410: _gone,
    413: _too_large,
}
