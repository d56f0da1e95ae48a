"""Flower's SuperLink as a part of our own process: its state in memory, its Fleet API as an application, nothing else.

The server's side of the conversation talks to the state directly. So neither Flower's Control API (which starts runs)
nor its Runtime API (which hands out tasks) exists here, on any port: there is nothing to protect.

Flower keeps messages and nodes in memory here, and the chunks of arrays as files. What is delivered is erased at once,
and what an earlier process left behind when this one starts: then nodes come online anew, under other numbers.
"""

import datetime as dt
import logging
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flwr.app import Message, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.app.metadata import Metadata
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID, SubStatus
from flwr.server.superlink.linkstate import InMemoryLinkState, LinkStateFactory
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID, NodeStatus, TaskType
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.object_store import NoObjectInStoreError, ObjectStoreFactory
from flwr.superlink.config_loader import get_federation_manager

from fedgap.errors import FedgapError
from fedgap.flower.allowance import Allowance
from fedgap.flower.assembly import put_together
from fedgap.flower.contract import MESSAGE_TYPE
from fedgap.flower.fleet_calls import FleetCalls
from fedgap.flower.holding import Holding
from fedgap.flower.transit import Transit
from fedgap.storage import StorageError

_log = logging.getLogger(__name__)
logging.getLogger("flwr").addFilter(lambda record: "UnexpectedError" in record.getMessage())
"""Flower logs every message and every stranger who knocks; only its own defects are worth a line."""
HEARTBEAT_S = 20.0
APPLICATION = "fedgap/fedgap"

SMALL_BYTES = 1 << 20
"""No answer but an upload is larger."""


class NodeKeyError(FedgapError):
    """A node key cannot be admitted: it was admitted or expelled before."""

    code = "enrol.node-key-used"
    remedy = "Let the organisation make a new node key: `fedgap client rotate-key`; then invite it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An answer to a message.

    Attributes:
        message: id of the message it answers.
        content: its records; None if there will be no answer.
        error: Flower's code in that case: 2 the other side failed, 3 too late, 5 not connected.
    """

    message: str
    content: RecordDict | None = field(repr=False)
    error: int = 0


class _NotYetError(Exception):
    """An object was announced and has not come."""


class SuperLink:
    """Flower's state and one run in it, for as long as this process serves.

    Args:
        folder: of our own, for Flower's database.
    """

    def __init__(self, folder: Path) -> None:
        self._transit = Transit(folder / "transit")
        objects = ObjectStoreFactory()
        objects.store_instance = self._transit
        self._factory = LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, get_federation_manager(), objects)
        self.state = self._in_memory()
        self.run, self._task = self._begin_run()
        self._arriving: dict[str, Message] = {}
        self._allowance = Allowance()
        self._holding = Holding()
        self._arrived = threading.Event()
        self.last_s = 0.0
        self._fleet = FleetCalls(self._factory, self._transit, self._allowance, self._holding, self._note_arrival)
        self._keys: set[bytes] = set()

    def knows(self, key: bytes) -> bool:
        """Tell whether a request's header names the key of an admitted node; Flower checks its signature then."""
        return key in self._keys

    def fleet(self) -> FleetCalls:
        """Give the application that answers Flower's Fleet calls of admitted nodes, and no other call of Flower."""
        return self._fleet

    @property
    def calls(self) -> int:
        """How many Fleet calls were answered so far."""
        return self._fleet.calls

    def admit(self, public: bytes, name: str) -> int:
        """Let a node with this key (DER of its public half) connect; again, if it was admitted before.

        Raises:
            NodeKeyError: the key was expelled once; Flower never takes it back.
        """
        node = self.state.get_node_id_by_public_key(public)
        if node is None:
            try:
                node = self.state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, public, 0, name=name)
            except ValueError as error:
                raise NodeKeyError(f"The node key of '{name}' was in use before.") from error
        self._keys.add(b64encode(public))
        return node

    def expel(self, public: bytes) -> None:
        """Never answer a node with this key again."""
        self._keys.discard(b64encode(public))
        node = self.state.get_node_id_by_public_key(public)
        if node is not None:
            self.state.activate_node(node, HEARTBEAT_S)  # Flower cannot delete a node that never was online
            self.state.delete_node(NOOP_FLWR_AID, node)

    def online(self) -> set[int]:
        """Tell which nodes are connected, as far as their heartbeats say."""
        nodes = self.state.get_node_info(statuses=[NodeStatus.ONLINE])
        return {node.node_id for node in nodes}

    def send(
        self, node: int, content: RecordDict, *, ttl_s: float, group: str, most_bytes: int = SMALL_BYTES
    ) -> str | None:
        """Leave a message for a node; chunks that other messages share are kept once.

        Args:
            node: for whom.
            content: its records.
            ttl_s: how long an answer is waited for.
            group: of messages, for Flower.
            most_bytes: how many bytes of an answer are taken.

        Returns:
            its id, or None if there is no such node.
        """
        metadata = Metadata(
            run_id=self.run,
            message_id="",
            src_node_id=SUPERLINK_NODE_ID,
            dst_node_id=node,
            reply_to_message_id="",
            group_id=group,
            created_at=now().timestamp(),
            ttl=ttl_s,
            message_type=MESSAGE_TYPE,
        )
        message = make_message(metadata=metadata, content=content)
        with no_object_id_recompute():
            name = message.object_id
            message.metadata.__dict__["_message_id"] = name
            session = self.state.start_session(self.run)
            bare, tree = remove_content_from_message(message), get_object_tree(message)
            stored, missing = self.state.store_message_and_object_tree(bare, tree, session)
            if not stored:
                return None
            self._allowance.grant(name, node, most_bytes)
            objects = get_all_nested_objects(message)
            for part in missing:
                if not self.state.store_object(self.run, session, part, objects[part].deflate()):
                    self._erase(name, "")
                    raise StorageError("A message cannot be kept until it is fetched.")
        self._holding.wake(node)
        return name

    def _note_arrival(self) -> None:
        self.last_s = time.monotonic()
        self._arrived.set()

    def wait(self, seconds: float) -> None:
        """Wait until a piece of an answer has come since `receive` was begun, or the time is over."""
        self._arrived.wait(seconds)

    def receive(self, messages: Iterable[str], *, most_bytes: int) -> Iterator[Arrived]:
        """Give the answers that are whole by now, one by one; each is given once and then erased here.

        Args:
            messages: ids that `send` gave.
            most_bytes: a larger answer is none.
        """
        self._arrived.clear()
        wanted = set(messages)
        for reply in self.state.get_message_res(message_ids=set(wanted), run_id=self.run):
            self._arriving[reply.metadata.reply_to_message_id] = reply
        for name in wanted & self._arriving.keys():
            reply = self._arriving[name]
            if not reply.has_error() and self._transit.is_coming(reply.metadata.message_id):
                continue
            if reply.has_error():
                arrived: Arrived | None = Arrived(message=name, content=None, error=reply.error.code)
            else:
                arrived = self._whole(name, reply.metadata.message_id, most_bytes)
            if arrived is not None:
                self._erase(name, reply.metadata.message_id)
                yield arrived
                del arrived  # as large as a model, and the next one is put together before the name is given away

    def arrived_bytes(self, message: str) -> int:
        """Tell how much of the answer to a message is here, for people."""
        return self._allowance.arrived_bytes(message)

    def withdraw(self, messages: Iterable[str]) -> None:
        """Erase messages that nobody needs to answer any more, and what has come of their answers."""
        for name in messages:
            reply = self._arriving.get(name)
            self._erase(name, reply.metadata.message_id if reply is not None else "")

    def release(self) -> None:
        """Let nobody wait at the door any more: the listener is about to end."""
        self._holding.close()

    def close(self) -> None:
        """End the run."""
        self.release()
        self.state.finish_task(self._task, SubStatus.STOPPED, "")

    def _whole(self, name: str, reply: str, most_bytes: int) -> Arrived | None:
        """Put an answer together once all its chunks are here; None while they are not."""
        try:
            tree = self.state.object_store.get_object_tree(reply)
            message = put_together(tree, self._content, most_bytes=most_bytes)
        except NoObjectInStoreError:
            return Arrived(message=name, content=None)
        except _NotYetError:
            return None
        except Exception as error:  # noqa: BLE001 - what a node sends may break Flower's reader in any way
            _log.warning("An answer cannot be read (%s).", type(error).__name__)
            return Arrived(message=name, content=None)
        return Arrived(message=name, content=None if message.has_error() else message.content)

    def _content(self, name: str) -> bytes:
        """Give an object that is whole."""
        content = self.state.get_object(self.run, name)
        if content is None:
            raise NoObjectInStoreError(name)
        if not content:
            raise _NotYetError
        return content

    def _erase(self, name: str, reply: str) -> None:
        self._arriving.pop(name, None)
        self._allowance.end(name)
        answer = reply or self.state.message_ins_id_to_message_res_id.get(name, "")  # perhaps nobody looked at it yet
        self.state.delete_messages(message_ins_ids={name})
        for part in filter(None, (name, answer)):
            self._end_sending(part)
            with suppress(NoObjectInStoreError):
                self.state.object_store.delete(part)

    def _end_sending(self, root: str) -> None:
        """Forget what was still to come of a message; Flower does that only if it is asked for it again."""
        session = self.state._object_push_session_by_root.get(root)  # noqa: SLF001 - no public name
        if session is not None:
            self.state._cleanup_push_session(session, cleanup_messages=False)  # noqa: SLF001 - same

    def _in_memory(self) -> InMemoryLinkState:
        state = self._factory.state()
        assert isinstance(state, InMemoryLinkState)  # noqa: S101 - by the name of its database; tells mypy
        return state

    def _begin_run(self) -> tuple[int, int]:
        """Open the one run of this process. Clients never fetch an application, so it names none."""
        run = self.state.create_run(
            fab_id=APPLICATION,
            fab_version="",
            fab_hash="",
            override_config={},
            federation_id=NOOP_FEDERATION_ID,
            federation_config=None,
            flwr_aid=NOOP_FLWR_AID,
            primary_task_type=TaskType.SERVER_APP,
        )
        task = self.state.get_run_info(run_ids=[run])[0].primary_task_id
        if task is None or not self.state.claim_task(task) or not self.state.activate_task(task):
            raise FedgapError("Flower's state did not begin a run.")
        self._keep_for_ever(task)
        return run, task

    def _keep_for_ever(self, task: int) -> None:
        """Let the run last as long as this process.

        Flower ends a run for good when the wall clock says that its process was silent for a minute: after a clock
        that was set, or a machine that slept, nobody could be asked anything any more.
        """
        self.state.task_token_store[task].active_until = dt.datetime.max.replace(tzinfo=dt.UTC)
