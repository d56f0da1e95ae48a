"""Flower's own functions behind the Fleet calls are there, with the arguments that we give."""

import inspect
from typing import Any

import pytest
from flwr.server.superlink.linkstate import InMemoryLinkState, LinkStateFactory
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore, ObjectEntry
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.superlink.config_loader import get_federation_manager
from flwr.superlink.routers.fleet import node_auth
from flwr.superlink.servicer.fleet import fleet_handlers

from fedgap.flower.listener import FLEET

WITH_STORE = {"pull-messages", "confirm-message-received"}


@pytest.mark.parametrize("path", sorted(FLEET))
def test_every_call_that_the_door_lets_through_has_a_handler(path: str) -> None:
    name = path.rpartition("/")[2]
    wanted = ["request", "state", "store"] if name in WITH_STORE else ["request", "state"]

    assert list(inspect.signature(getattr(fleet_handlers, name.replace("-", "_"))).parameters) == wanted
    assert PROTOBUF_REQUEST_TYPES["POST", path].DESCRIPTOR.full_name.startswith("flwr.proto.")


def test_a_node_is_authenticated_by_flower() -> None:
    assert list(inspect.signature(node_auth.authenticate_node).parameters) == ["request"]


def test_flowers_state_in_memory_takes_the_store_it_is_given() -> None:
    objects = ObjectStoreFactory()
    store: Any = InMemoryObjectStore()
    objects.store_instance = store
    state = LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, get_federation_manager(), objects).state()

    assert isinstance(state, InMemoryLinkState)
    assert state.object_store is store


def test_the_store_in_memory_is_built_as_ours_relies_on() -> None:
    assert {"content", "is_available", "child_object_ids"} <= set(ObjectEntry.__dataclass_fields__)
    store = InMemoryObjectStore()
    assert store.store == {}
    with store.lock_store, store.lock_store:  # one thread may take it twice
        assert len(store) == 0
