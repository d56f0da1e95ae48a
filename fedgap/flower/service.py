"""`fedgap server run`: one process that listens, keeps the book, and runs the rounds until the last one.

listener thread   Door -> Fleet (Flower) | Office (enrolment, status)
this thread       TrainingRun over Gathering and FlowerCohort
"""

import datetime as dt
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from fedgap import storage
from fedgap.config import ConfigError, FederationConfig
from fedgap.config.operator import Operator
from fedgap.crypto import BadKeyError
from fedgap.crypto.canonical import Value
from fedgap.crypto.certificates import node_key_pem
from fedgap.errors import FedgapError
from fedgap.flower import give_back_memory, page
from fedgap.flower.board import Board, read_rounds
from fedgap.flower.book import Book, Enrolled
from fedgap.flower.charter import policy_digest, read_policy
from fedgap.flower.cohort import FlowerCohort
from fedgap.flower.course import Course, plan_digest
from fedgap.flower.enrolment import ManifestReply, PolicyNotice
from fedgap.flower.gathering import Gathering
from fedgap.flower.home import Home
from fedgap.flower.listener import Door, Listener
from fedgap.flower.office import Office
from fedgap.flower.policies import Policies
from fedgap.flower.proxies import LOOPBACK, Behind, Proxies
from fedgap.flower.restraint import allow_many_files
from fedgap.flower.roster import EVALUATION, SHAPE, Roster
from fedgap.flower.sums import Sums
from fedgap.flower.superlink import NodeKeyError, SuperLink
from fedgap.flower.training_run import TrainingRun
from fedgap.ids import FederationId, OrgId
from fedgap.records import write_record
from fedgap.secagg.manifest import SignedManifest
from fedgap.secagg.wire import pack
from fedgap.simulation.sites import open_task

UPLOAD_BYTES = 64 << 20
"""The largest answer before the model's size is known: statistics of very wide tables."""


UNNAMED = (
    "The proxy at {peer} does not say who calls, so all callers share the limits of one address: let it send "
    "X-Forwarded-For (server/README.md)."
)

_OTHER_POLICY = "Put the old text back; from a later period on another may apply: fedgap server policy NEW.toml."


class ChangedPlanError(FedgapError):
    """federation.toml says something else than what the organisations have agreed on."""

    code = "server.changed-plan"
    remedy = "Put the old text back; a federation with other settings is another one: `fedgap server init` anew."
    exit_status = 2


@dataclass(slots=True)
class Service:
    """The parts of a running server; see `serve`.

    Attributes:
        home: its folder.
        operator: its settings.
        config: the federation's file as it is now; organisations may be added while the server runs.
        board, book, roster: its memory.
        link: Flower.
        ca: PEM that participants accept.
    """

    home: Home
    operator: Operator
    config: FederationConfig
    board: Board
    book: Book
    roster: Roster
    link: SuperLink
    ca: bytes | None
    policy: str | None
    _admitted: dict[OrgId, tuple[bytes, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _unread: str = ""

    @property
    def federation(self) -> FederationId:
        """Its id."""
        return self.config.federation.id

    def about(self) -> tuple[dict[str, Any], bytes, str | None]:
        """Give the federation's document, its digest, and the policy's text."""
        document = self.config.document()
        return document, plan_digest(document), self.policy

    def manifests(self) -> ManifestReply:
        """Give the manifest in force, the proposed one, and those before."""
        versions, proposed = self.roster.versions(), self.roster.proposed()
        shape = self.book.kept(SHAPE)
        document, _, policy = self.about()
        return ManifestReply(
            current=_hex(versions[-1]) if versions else None,
            proposed=None if proposed is None else _hex(proposed),
            earlier=tuple(_hex(version) for version in versions[:-1]),
            shape=None if shape is None else shape.hex(),
            federation=document,
            policy=policy,
            policies=self._policies(versions),
            evaluation=(self.book.kept(EVALUATION) or b"").hex() or None,
        )

    def signable(self, org: OrgId) -> dict[bytes, tuple[Value, ...]]:
        """Give what may be signed: manifests, and the version of the policy that is proposed."""
        versions, proposed = self.roster.versions(), self.roster.proposed()
        digests = [one.manifest.digest for one in (proposed, *versions[-1:]) if one is not None]
        found: dict[bytes, tuple[Value, ...]] = {digest: ("manifest", digest) for digest in digests}
        policy = Policies(self.book).proposed()
        if policy is not None and versions:
            origin = versions[0].manifest.digest
            found[policy.name(origin)] = ("record", origin, write_record(policy.approved(org)))
        return found

    def _policies(self, versions: list[SignedManifest]) -> tuple[PolicyNotice, ...]:
        if not versions:
            return ()
        return Policies(self.book).notices(origin=versions[0].manifest.digest)

    def page(self) -> str:
        """Give the status page."""
        return page.status(self.config, self.board.document(), self.book.organisations(), connected=set(self.nodes()))

    def nodes(self) -> Mapping[OrgId, int]:
        """Let the nodes of approved organisations connect and no others, as the book has it now; give those online."""
        organisations = self.book.organisations()
        with self._lock:
            for organisation in organisations:
                if organisation.standing == "approved":
                    self._admit(organisation)
            approved = {o.org for o in organisations if o.standing == "approved"}
            for org in self._admitted.keys() - approved:
                self.link.expel(self._admitted.pop(org)[0])
            online = self.link.online()
            return {org: node for org, (_, node) in self._admitted.items() if node in online}

    def reread(self) -> FederationConfig:
        """Read federation.toml again: organisations may be added; anything else that changed is reported.

        While the file cannot be read, because it is being edited, it stays what it was.

        Raises:
            ChangedPlanError: the settings changed.
        """
        try:
            config = self.home.config()
        except ConfigError as error:
            if error.cause != self._unread:
                self._unread = error.cause
                self.board.say(error.line())
            return self.config
        if plan_digest(config.document()) != plan_digest(self.config.document()):
            raise ChangedPlanError("federation.toml has other settings than when the server was started.")
        self.config = config
        return config

    def _admit(self, organisation: Enrolled) -> None:
        if organisation.node_public is None:
            return
        try:
            key, (before, _) = node_key_pem(organisation.node_public), self._admitted.get(organisation.org, (b"", 0))
            if before == key:
                return
            if before:
                self.link.expel(before)  # a key was changed, perhaps because somebody else has it
            self._admitted[organisation.org] = key, self.link.admit(key, organisation.org)
        except (NodeKeyError, BadKeyError) as error:
            self.board.hear(organisation.org, error.code)


def serve(home: Home, *, say: Callable[[str], None], stopped: Callable[[], bool], wait_s: float | None) -> Course:
    """Run a server until the last round is over.

    Args:
        home: its folder.
        say: told what happens, a sentence at a time.
        stopped: tells whether to stop; asked several times a second.
        wait_s: how long to wait for organisations; None as server.toml says.

    Raises:
        NoServerError, ConfigError: the folder is no server's, or its settings are wrong.
        PortError: nothing can listen there.
        InUseError: another server runs in this folder.
        FedgapError: whatever ended the run (see `TrainingRun.run`); run it again and it goes on.
    """
    home.require()
    allow_many_files()
    give_back_memory()
    operator, config = home.operator(), home.config()
    task, now = open_task(config), dt.datetime.now(dt.UTC)
    with ExitStack() as parts:
        parts.enter_context(storage.locked(home.state))
        for place in (home.state, home.state / "sums", home.state / "witness", home.model.parent, home.tls):
            storage.sweep(place)
        book, identity = home.book(), home.identity()
        board = Board(home.state / "status.json", say, rounds=read_rounds(home.state / "status.json"))
        link = SuperLink(home.state)
        parts.callback(link.close)
        ca, policy = home.ca_pem(operator), home.policy(config)
        roster = Roster(book, identity.public)
        _refuse_changes(roster, config, policy)
        service = Service(home, operator, config, board, book, roster, link, ca, policy)
        service.nodes()
        office = Office(service)
        door = Door(link.fleet(), office.application(), office.paths(), link.knows)
        certificate, key = home.certificate_files(operator, now=now)
        proxies = Proxies.at((*operator.proxies, *(LOOPBACK if certificate is None else ())))
        listener = Listener(
            Behind(door, proxies, lambda peer: say(UNNAMED.format(peer=peer))),
            host=operator.host,
            port=operator.port,
            certificate=certificate,
            key=key,
            proxies=proxies,
        )
        parts.callback(listener.close)
        parts.callback(link.release)
        say(f"listening on {operator.host} port {listener.port} as {operator.address}")

        def is_to_stop() -> bool:
            listener.check()
            return stopped()

        gathering = Gathering(
            config=service.reread,
            task=task,
            policy=policy,
            book=book,
            roster=roster,
            board=board,
            nodes=service.nodes,
            cohort=lambda nodes: _cohort(service, nodes, is_to_stop),
            stopped=is_to_stop,
            wait_s=operator.wait_s if wait_s is None else wait_s,
        )
        run = TrainingRun(
            identity=identity,
            gathering=gathering,
            roster=roster,
            board=board,
            sums=Sums(home.state / "sums"),
            state=home.state,
            model=home.model,
            ledger=home.ledger,
            attempts=operator.attempts,
        )
        try:
            return run.run()
        except FedgapError as error:
            board.begin(f"stopped: {error.code}")
            raise


def _refuse_changes(roster: Roster, config: FederationConfig, policy: str | None) -> None:
    """Go on only with the settings and the policy that the organisations signed; begin with a policy that can be read.

    Raises:
        ChangedPlanError: they were changed while the server did not run.
        ConfigError: nobody has signed anything, and the policy has problems.
    """
    signed = roster.in_force()
    if signed is None:
        read_policy(policy)
        return
    if signed.manifest.training != plan_digest(config.document()):
        raise ChangedPlanError("federation.toml has other settings than the manifest that the organisations signed.")
    try:
        same = signed.manifest.policy == policy_digest(policy)
    except ConfigError as error:
        raise ChangedPlanError("The funding policy cannot be read, so it is not what the members signed.") from error
    if not same:
        raise ChangedPlanError("The funding policy is another one than the organisations signed.", remedy=_OTHER_POLICY)


def _cohort(service: Service, nodes: Mapping[int, int], stopped: Callable[[], bool]) -> FlowerCohort:
    def no_sum(round_: int) -> bytes:
        raise ValueError(f"nobody can lack the sum of round {round_} before the first round")

    secagg = service.config.secagg
    return FlowerCohort(
        mailbox=service.link,
        federation=service.federation,
        nodes=nodes,
        stage_s=120.0 if secagg is None else secagg.reply_timeout_s,
        upload_bytes=UPLOAD_BYTES,
        sum_of=no_sum,
        stopped=stopped,
    )


def _hex(signed: SignedManifest) -> str:
    return pack(signed).hex()
