"""What a site adds to each call over HTTP: Flower's version, how long it waits, small objects; and what it counts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import httpx
from flwr.proto.fleet_pb2 import PullMessagesRequest, PushMessagesRequest
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata

from fedgap.crypto import BadBytesError
from fedgap.flower.bundle import OBJECTS_HEADER, bundle, unbundle
from fedgap.flower.holding import WAIT_HEADER


@dataclass(slots=True)
class Calls:
    """Sees every call: tells Flower's version, counts bytes, and bundles small objects with the call (see `bundle`).

    Attributes:
        moved: told what was sent and what came.
        wait_s: how long the server may hold a question.
        given: objects that came with the last message.
        is_bundling: whether the server takes a bundle; it does if it sent one.
        taken: objects that go with the next answer.
    """

    moved: Callable[[str, int, int], None]
    wait_s: int = 0
    given: dict[str, bytes] = field(default_factory=dict, repr=False)
    is_bundling: bool = False
    taken: dict[str, bytes] = field(default_factory=dict, repr=False)
    version: dict[str, str] = field(
        default_factory=lambda: dict(RuntimeVersionMetadata.from_local_component("SuperNode").as_metadata())
    )

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Stand around one call."""
        context.request.headers.update(self.version)
        is_question = isinstance(context.message, PullMessagesRequest)
        if is_question and self.wait_s:
            context.request.headers[WAIT_HEADER] = str(self.wait_s)
        if isinstance(context.message, PushMessagesRequest) and self.taken:
            context = self._bundled(context)
        response = call_next(context)
        self.moved(context.rpc_method.rpartition("/")[2], len(context.request.content), len(response.content))
        return self._unbundled(response) if is_question else response

    def _bundled(self, context: ProtobufRequestContext) -> ProtobufRequestContext:
        asked = context.request
        body, about = bundle(asked.content, self.taken)
        self.taken = {}
        headers = {name: value for name, value in asked.headers.items() if name != "content-length"} | about
        whole = httpx.Request(asked.method, asked.url, headers=headers, content=body, extensions=asked.extensions)
        return replace(context, request=whole)

    def _unbundled(self, response: httpx.Response) -> httpx.Response:
        about = response.headers.get(OBJECTS_HEADER)
        self.is_bundling = about is not None
        if not response.is_success or about is None:
            self.given = {}
            return response
        try:
            call, self.given = unbundle(response.content, about)
        except BadBytesError as error:
            raise ValueError("This is no bundle.") from error
        return httpx.Response(response.status_code, content=call, request=response.request)
