"""Flower's parts that are not public at the server: they are there as we use them."""

import importlib.metadata
import inspect

import pytest
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.server.superlink.linkstate import InMemoryLinkState, LinkState
from flwr.supercore.corestate.in_memory_corestate import InMemoryCoreState, TokenRecord
from flwr.supercore.object_store import ObjectStore

LINKSTATE = {
    "acknowledge_node_heartbeat": ["node_id", "heartbeat_interval"],
    "activate_task": ["task_id"],
    "claim_task": ["task_id"],
    "create_node": ["owner_aid", "owner_name", "public_key", "heartbeat_interval", "name"],
    "create_run": [
        "fab_id",
        "fab_version",
        "fab_hash",
        "override_config",
        "federation_id",
        "federation_config",
        "flwr_aid",
        "primary_task_type",
    ],
    "delete_messages": ["message_ins_ids"],
    "delete_node": ["owner_aid", "node_id"],
    "finish_task": ["task_id"],
    "get_message_res": ["message_ids", "run_id"],
    "get_node_id_by_public_key": ["public_key"],
    "get_node_info": ["statuses"],
    "get_object": ["run_id", "object_id"],
    "get_run_info": ["run_ids"],
    "start_session": ["run_id"],
    "store_message_and_object_tree": ["message", "object_tree", "session_id"],
    "store_object": ["run_id", "session_id", "object_id", "object_content"],
}
STORE = {"delete": ["object_id"], "get_object_tree": ["object_id"]}


def test_flower_is_the_version_that_was_looked_at() -> None:
    major, minor, *_ = importlib.metadata.version("flwr").split(".")
    assert (major, minor) == ("1", "41"), "look at every name in fedgap/flower again before allowing another version"


@pytest.mark.parametrize(("owner", "methods"), [(LinkState, LINKSTATE), (ObjectStore, STORE)])
def test_flowers_state_has_the_methods_we_call(owner: type, methods: dict[str, list[str]]) -> None:
    for name, wanted in methods.items():
        parameters = inspect.signature(getattr(owner, name)).parameters
        assert set(wanted) <= set(parameters), name


def test_the_push_request_names_its_messages() -> None:
    assert {"node", "messages_list", "message_object_trees"} <= set(PushMessagesRequest.DESCRIPTOR.fields_by_name)


def test_the_state_in_memory_has_what_we_reach_into() -> None:
    assert list(inspect.signature(InMemoryLinkState._cleanup_push_session).parameters)[1:] == [
        "session_id",
        "cleanup_messages",
    ]
    source = inspect.getsource(InMemoryLinkState.__init__) + inspect.getsource(InMemoryCoreState.__init__)
    for name in ("message_ins_id_to_message_res_id", "_object_push_session_by_root", "task_token_store"):
        assert f"self.{name}:" in source


def test_a_task_has_a_time_until_which_it_counts_as_alive() -> None:
    assert "active_until" in inspect.signature(TokenRecord).parameters
