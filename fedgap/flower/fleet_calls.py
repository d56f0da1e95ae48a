"""Flower's Fleet calls as an ASGI application: each is read, authenticated and answered by Flower's own functions.

Flower wraps them into FastAPI, five layers and two threads a call. Here a call runs in the listener's loop, since it
only touches memory; one with a large object gets a thread. A question for messages may be held open (see `holding`),
and is then answered with the message's objects beside it (see `bundle`).

Whoever calls is there: each call of a node counts as its sign of life, so that one whose line is full of a large upload
is not taken for away.

A message that a waiting node was given, but neither confirmed nor answered before it asked again, is given once more:
its connection broke. Whoever answers twice gives the same bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, TypeAlias

from fastapi import HTTPException
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.server.superlink.linkstate import LinkState, LinkStateFactory
from flwr.supercore.error import ApiErrorCode, FlowerError, http_error_translator
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]  # it has no types
from starlette.requests import Request
from starlette.responses import Response

from fedgap.crypto import BadBytesError
from fedgap.flower.allowance import Allowance
from fedgap.flower.bundle import MOST_BYTES, OBJECTS_HEADER, bundle, unbundle
from fedgap.flower.contract import HEARTBEAT_S
from fedgap.flower.holding import WAIT_HEADER, Holding, wait_of
from fedgap.flower.transit import ON_DISK_BYTES, Transit

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SIGNS_OF_LIFE = (
    PullMessagesRequest,
    PullObjectRequest,
    ConfirmMessageReceivedRequest,
    PushMessagesRequest,
    PushObjectRequest,
)
"""Calls beside the heartbeat itself that show that a node is there; each names its node."""

MOST_TIMES = 3
"""How often a message is given to a node that does not confirm it."""


@dataclass(slots=True)
class _Given:
    """What a waiting node was given last and has not confirmed."""

    message: str
    answer: PullMessagesResponse
    times: int = 1


class FleetCalls:
    """The application.

    Args:
        factory: gives Flower's state.
        transit: its object store.
        allowance: how much each node may send.
        holding: nodes that wait.
        arrived: told that a piece of an answer is here.

    Attributes:
        calls: of admitted nodes so far.
    """

    def __init__(
        self,
        factory: LinkStateFactory,
        transit: Transit,
        allowance: Allowance,
        holding: Holding,
        arrived: Callable[[], None],
    ) -> None:
        self._link: LinkState = factory.state()
        self._transit, self._allowance, self._holding, self._arrived = transit, allowance, holding, arrived
        self._given: dict[int, _Given] = {}
        self.calls = 0
        self.state = SimpleNamespace(linkstate_factory=factory)  # where Flower looks for it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or refuse it in Flower's words."""
        scope["app"] = self
        response = await http_error_translator(Request(scope, receive), self._respond)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        message, objects = _read(request, await request.body())
        request.state.protobuf_request = message
        authenticate_node(request)
        self.calls += 1
        if isinstance(message, _SIGNS_OF_LIFE):
            self._link.acknowledge_node_heartbeat(message.node.node_id, HEARTBEAT_S)
        if isinstance(message, PullMessagesRequest):
            return await self._pull(message, request)
        self._check(message)
        answer = await self._handle(message)
        if isinstance(message, PushMessagesRequest) and isinstance(answer, PushMessagesResponse):
            self._store(message, answer, objects)
        self._note(message)
        return _response(answer.SerializeToString())

    def _store(self, message: PushMessagesRequest, answer: PushMessagesResponse, objects: Mapping[str, bytes]) -> None:
        """Keep the objects that came along, and do not ask for them."""
        run, node, wanted = message.messages_list[0].metadata.run_id, message.node.node_id, list(answer.objects_to_push)
        for name in wanted:
            content = objects.get(name)
            if content is None or not self._allowance.takes(node, len(content)):
                continue
            if self._link.store_object(run, answer.session_id, name, content):
                answer.objects_to_push.remove(name)

    def _with_objects(self, answer: PullMessagesResponse) -> Response:
        """Put the objects of a small message beside it."""
        objects: dict[str, bytes] = {}
        for tree in answer.message_object_trees:
            for one in iterate_object_tree(tree):
                content = None if self._transit.is_large(one.object_id) else self._transit.get(one.object_id)
                if not content:
                    return _response(answer.SerializeToString())
                objects[one.object_id] = content
        if not objects or sum(map(len, objects.values())) > MOST_BYTES:
            return _response(answer.SerializeToString())
        return _response(*bundle(answer.SerializeToString(), objects))

    async def _handle(self, message: Message) -> Message:
        return await asyncio.to_thread(self._answer, message) if self._is_large(message) else self._answer(message)

    def _answer(self, message: Message) -> Message:  # noqa: PLR0911 - one for each call
        """Let Flower answer."""
        link, store = self._link, self._transit
        match message:
            case PullMessagesRequest():
                return fleet_handlers.pull_messages(message, link, store)
            case PullObjectRequest():
                return fleet_handlers.pull_object(message, link)
            case ConfirmMessageReceivedRequest():
                return fleet_handlers.confirm_message_received(message, link, store)
            case PushMessagesRequest():
                return fleet_handlers.push_messages(message, link)
            case PushObjectRequest():
                return fleet_handlers.push_object(message, link)
            case SendNodeHeartbeatRequest():
                return fleet_handlers.send_node_heartbeat(message, link)
            case ActivateNodeRequest():
                return fleet_handlers.activate_node(message, link)
            case DeactivateNodeRequest():
                return fleet_handlers.deactivate_node(message, link)
            case _:
                raise HTTPException(HTTPStatus.NOT_FOUND)

    def _is_large(self, message: Message) -> bool:
        if isinstance(message, PushObjectRequest):
            return len(message.object_content) >= ON_DISK_BYTES
        return isinstance(message, PullObjectRequest) and self._transit.is_large(message.object_id)

    async def _pull(self, message: PullMessagesRequest, request: Request) -> Response:
        """Give a message; if there is none, wait for one as long as the node would and is there."""
        wait_s, node = wait_of(request.headers.get(WAIT_HEADER)), message.node.node_id
        if not wait_s:
            return _response(self._answer(message).SerializeToString())
        gone = asyncio.ensure_future(request.receive())
        try:
            with self._holding.place(node, wait_s) as place:
                while True:
                    answer = self._again(node) or self._answer(message)
                    assert isinstance(answer, PullMessagesResponse)  # noqa: S101 - tells mypy what Flower gives
                    if answer.messages_list:
                        self._give(node, answer)
                        return self._with_objects(answer)
                    if not await place.wait(gone):
                        return _response(b"")
        finally:
            gone.cancel()

    def _give(self, node: int, answer: PullMessagesResponse) -> None:
        name, before = answer.messages_list[0].metadata.message_id, self._given.get(node)
        if before is None or before.message != name:
            self._given[node] = _Given(name, answer)

    def _again(self, node: int) -> PullMessagesResponse | None:
        """Give what this node was given but has not confirmed, if somebody still waits for its answer."""
        given = self._given.get(node)
        if given is None:
            return None
        if given.times >= MOST_TIMES or not self._allowance.waits_for(given.message):
            del self._given[node]
            return None
        given.times += 1
        return given.answer

    def _check(self, message: Message) -> None:
        """Refuse what Flower would take: answers in another's name, several at once, unasked ones and endless ones."""
        if isinstance(message, PushMessagesRequest):
            senders = [one.metadata.src_node_id for one in message.messages_list]
            if senders != [message.node.node_id] or len(message.message_object_trees) != 1:
                raise HTTPException(HTTPStatus.FORBIDDEN)
            objects = [tree.object_id for tree in iterate_object_tree(message.message_object_trees[0])]
            if len(set(objects)) != len(objects):  # a small tree that names itself twice at each level is a huge one
                raise HTTPException(HTTPStatus.FORBIDDEN)
            answered = message.messages_list[0].metadata.reply_to_message_id
            size = message.ByteSize()
            if not self._allowance.may_answer(message.node.node_id, answered, objects=len(objects), size_bytes=size):
                raise HTTPException(HTTPStatus.GONE)
        if isinstance(message, PushObjectRequest) and not self._allowance.takes(
            message.node.node_id, message.ByteSize()
        ):
            raise HTTPException(HTTPStatus.GONE)

    def _note(self, message: Message) -> None:
        """Tell who waits for it what has happened."""
        if isinstance(message, PushMessagesRequest):
            self._confirm(message.node.node_id, message.messages_list[0].metadata.reply_to_message_id)
        elif isinstance(message, ConfirmMessageReceivedRequest):
            self._confirm(message.node.node_id, message.message_object_id)
        if isinstance(message, PushMessagesRequest | PushObjectRequest):
            self._arrived()

    def _confirm(self, node: int, name: str) -> None:
        given = self._given.get(node)
        if given is not None and given.message == name:
            del self._given[node]


def _read(request: Request, body: bytes) -> tuple[Message, dict[str, bytes]]:
    message: Message = PROTOBUF_REQUEST_TYPES[request.method, request.url.path]()
    try:
        call, objects = unbundle(body, request.headers.get(OBJECTS_HEADER))
        message.ParseFromString(call)
    except (DecodeError, BadBytesError) as error:
        raise FlowerError(ApiErrorCode.INVALID_PROTOBUF_PAYLOAD, "No protobuf.") from error
    return message, objects


def _response(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, headers=headers, media_type=PROTOBUF_MEDIA_TYPE)
