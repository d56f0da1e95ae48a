"""Every half-private name of Flower that the client uses is there and does what the client relies on.

Fails first when Flower is upgraded: read it before raising the bound in pyproject.toml.
"""

import inspect
import ssl
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.app.message_type import MessageType
from flwr.app.metadata import Metadata
from flwr.common import constant, serde
from flwr.proto import fleet_pb2, heartbeat_pb2, message_pb2, node_pb2
from flwr.supercore.error import FlowerError
from flwr.supercore.inflatable import inflatable_object, inflatable_utils
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.protobuf.client import ProtobufRequestContext
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedgap.crypto import new_node_key
from fedgap.flower import PIECE_BYTES, contract
from fedgap.flower.contract import HEARTBEAT_S
from fedgap.flower.fleet import (
    BEAT_AGAIN_S,
    BEAT_S,
    BusyKeyError,
    CutShortError,
    Fleet,
    GoneError,
    NotAdmittedError,
    _refused,
)
from fedgap.flower.outbound import LinkLostError, OutboundProxyError, lost, trusting

CALLS = (
    "ActivateNode",
    "DeactivateNode",
    "SendNodeHeartbeat",
    "PullMessages",
    "PushMessages",
    "PullObject",
    "PushObject",
    "ConfirmMessageReceived",
)


def test_the_version_is_the_one_these_names_were_read_in() -> None:
    assert version("flwr").startswith("1.41.")


@pytest.mark.parametrize("call", CALLS)
def test_the_fleet_has_the_call_with_one_request(call: str) -> None:
    assert list(inspect.signature(getattr(FleetHttpClient, call)).parameters) == ["self", "request"]


def test_requests_and_answers_have_the_fields_the_client_reads() -> None:
    fields: dict[Any, set[str]] = {
        fleet_pb2.ActivateNodeRequest: {"public_key", "heartbeat_interval"},
        fleet_pb2.ActivateNodeResponse: {"node_id"},
        fleet_pb2.DeactivateNodeRequest: {"node_id"},
        fleet_pb2.PullMessagesRequest: {"node"},
        fleet_pb2.PullMessagesResponse: {"messages_list", "message_object_trees"},
        fleet_pb2.PushMessagesRequest: {
            "node",
            "messages_list",
            "message_object_trees",
            "clientapp_runtime_list",
        },
        fleet_pb2.PushMessagesResponse: {"objects_to_push", "session_id"},
        heartbeat_pb2.SendNodeHeartbeatRequest: {"node", "heartbeat_interval"},
        message_pb2.PullObjectRequest: {"node", "run_id", "object_id"},
        message_pb2.PullObjectResponse: {"object_found", "object_available", "object_content"},
        message_pb2.PushObjectRequest: {"node", "run_id", "session_id", "object_id", "object_content"},
        message_pb2.PushObjectResponse: {"stored"},
        message_pb2.ConfirmMessageReceivedRequest: {"node", "run_id", "message_object_id"},
        message_pb2.ObjectTree: {"object_id"},
        node_pb2.Node: {"node_id"},
    }

    for message, wanted in fields.items():
        assert wanted <= set(message.DESCRIPTOR.fields_by_name), message.DESCRIPTOR.name


def test_a_heartbeat_may_be_lost_four_times_before_a_site_counts_as_away() -> None:
    """Each trial ends after Flower's own time limit of a heartbeat."""
    assert constant.HEARTBEAT_MIN_INTERVAL <= HEARTBEAT_S <= constant.HEARTBEAT_MAX_INTERVAL
    lost_s = BEAT_S + 4 * (constant.HEARTBEAT_CALL_TIMEOUT + BEAT_AGAIN_S)
    assert lost_s < constant.HEARTBEAT_PATIENCE * HEARTBEAT_S


def test_a_client_speaks_https_with_the_ca_it_is_given_and_takes_proxies_from_the_environment() -> None:
    client = FleetHttpClient("https://127.0.0.1:1", interceptors=[], verify=trusting(None))

    assert client._base_url == "https://127.0.0.1:1"
    assert client._client.trust_env
    assert client._client.follow_redirects
    client.close()
    fleet = Fleet("https://127.0.0.1:1", ca=None, key=new_node_key(), moved=lambda *_: None)
    assert not fleet._client._client.follow_redirects, "what is meant for the server goes to no other host"
    assert fleet.close() is False


PIECES = """
import fedgap.flower
from flwr.app import Array
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.proto.node_pb2 import Node

array = Array("uint8", (5_000_000,), "raw", bytes(5_000_000))
for _, piece in array.slice_array():
    about = {"run_id": 2**64 - 1, "object_id": "f" * 64, "session_id": "f" * 64}
    call = PushObjectRequest(node=Node(node_id=2**64 - 1), object_content=piece.deflate(), **about)
    print(len(call.SerializeToString()))
"""


def test_a_large_array_is_cut_into_pieces_that_reverse_proxies_take_by_default() -> None:
    """Flower reads the size from the environment when it is imported, so this looks into a process of its own."""
    told = subprocess.run([sys.executable, "-c", PIECES], check=True, capture_output=True, text=True).stdout
    sizes = [int(line) for line in told.split()]

    assert len(sizes) == -(-5_000_000 // PIECE_BYTES)
    assert PIECE_BYTES < max(sizes) < 1 << 20


def test_without_an_own_ca_a_site_trusts_what_its_machine_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flower's client alone would trust a list that comes with a package, not the CAs that an IT department added."""
    asked: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *words: asked.append(words))
    made = Fleet("https://127.0.0.1:1", ca=None, key=new_node_key(), moved=lambda *_: None)
    made.close()

    assert len(asked) == 1


def test_interceptors_see_the_request_and_sign_it() -> None:
    key = new_node_key()
    signer = NodeAuthHttpInterceptor(key.private, key.private.public_key())
    request = httpx.Request("POST", "https://127.0.0.1/v1/fleet/pull-messages", content=b"x")
    context = ProtobufRequestContext(
        rpc_method="/flwr.proto.Fleet/PullMessages", message=node_pb2.Node(), request=request
    )
    answer = httpx.Response(200, content=b"y")

    assert signer.intercept(context, lambda seen: answer if seen.request is request else httpx.Response(500)) is answer
    assert any("signature" in name.lower() for name in request.headers)
    assert b"BEGIN PUBLIC KEY" in public_key_to_bytes(key.private.public_key())


def test_the_version_is_told_in_headers() -> None:
    told = dict(RuntimeVersionMetadata.from_local_component("SuperNode").as_metadata())

    assert version("flwr") in told.values()


def test_a_message_goes_through_objects_and_back_with_its_envelope() -> None:
    reply = contract.Reply(status="ok", body=bytes(range(256)) * 40_000)
    metadata = Metadata(
        run_id=1,
        message_id="a" * 64,
        src_node_id=1,
        dst_node_id=7,
        reply_to_message_id="",
        group_id="1",
        created_at=time.time(),
        ttl=60.0,
        message_type=contract.MESSAGE_TYPE,
    )
    asked = make_message(metadata=metadata, content=RecordDict({"x": ConfigRecord()}))
    answer = Message(contract.write_reply(reply), reply_to=asked)
    answer.metadata.__dict__["_message_id"] = answer.object_id
    with inflatable_object.no_object_id_recompute():
        tree = inflatable_object.get_object_tree(answer)
        objects = inflatable_object.get_all_nested_objects(answer)
    pushed: dict[str, bytes] = {}
    names = {node.object_id for node in inflatable_object.iterate_object_tree(tree)}
    inflatable_utils.push_objects(objects, pushed.__setitem__, object_ids_to_push=names)
    pulled = inflatable_utils.pull_objects(sorted(names), pushed.__getitem__, max_tries_per_object=1)
    read = inflatable_utils.inflate_object_from_contents(answer.object_id, pulled)

    assert isinstance(read, Message)
    assert contract.read_reply(read.content) == reply
    assert max(map(len, pushed.values())) < 6_000_000, "large arrays travel in chunks"
    head = serde.message_from_proto(serde.message_to_proto(remove_content_from_message(answer)))
    assert head.metadata.reply_to_message_id == "a" * 64
    assert contract.MESSAGE_TYPE.split(".")[0] == MessageType.QUERY
    assert isinstance(ArrayRecord({"a": Array("uint8", (1,), "raw", b"x")})["a"].data, bytes)


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (401, b"", NotAdmittedError),
        (407, b"", OutboundProxyError),
        (413, b"<html>", CutShortError),
        (413, b'{"error": "server.too-large"}', GoneError),
        (410, b"", GoneError),
        (400, b'{"code": 2004, "detail": "no"}', BusyKeyError),
        (403, b'{"code": 2007, "detail": "no"}', GoneError),
        (503, b"", LinkLostError),
        (404, b"<html>", LinkLostError),
        (200, b"\xff", LinkLostError),
    ],
)
def test_what_a_server_or_a_proxy_refuses_becomes_a_typed_error(status: int, content: bytes, expected: type) -> None:
    about = {"content-type": "text/html" if content.startswith(b"<") else "application/json"}
    request = httpx.Request("POST", "https://127.0.0.1/", content=b"1234")
    assert type(_refused(httpx.Response(status, content=content, headers=about, request=request))) is expected
    known = FlowerError.from_json(content.decode("latin-1"))
    assert (known is not None) is content.startswith(b'{"code"')


def test_a_certificate_that_is_not_accepted_is_told_apart_from_a_server_that_is_away() -> None:
    wrong = ssl.SSLCertVerificationError(1, "certificate verify failed")
    wrong.verify_message = "unable to get local issuer certificate"
    error = httpx.ConnectError("x")
    error.__cause__ = wrong

    assert lost(error).code == "link.wrong-certificate"
    assert lost(httpx.ConnectTimeout("x")).code == "link.lost"
    error.__cause__ = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert "TLS" in lost(error).cause
