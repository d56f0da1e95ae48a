"""A federation of real sites in one process: real keys, journals, rows and rounds; only the network is left out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fedgap import rounds
from fedgap.config import FederationConfig
from fedgap.config.site import Limits, SiteConfig, SitePlace
from fedgap.crypto import Identity, system
from fedgap.crypto.codec import pack
from fedgap.flower import charter, course, preparation
from fedgap.flower.cohort import purpose_of
from fedgap.flower.contract import SHAPE, STATISTICS, SUMS, Reply, Request
from fedgap.flower.desk import Desk
from fedgap.flower.enrolment import ApproveRequest, ManifestReply
from fedgap.flower.first_model import first_model
from fedgap.flower.membership import Membership, SiteFolder
from fedgap.flower.meter import Machine, Meter
from fedgap.flower.resident import Resident
from fedgap.ids import OrgId
from fedgap.secagg.manifest import Approval, Manifest, SignedManifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.server import Server
from fedgap.simulation.sites import open_task
from tests.simulation import tiny

NOON = datetime(2026, 11, 22, 12, 0)  # noqa: DTZ001 - a site's hours are local time
Change = Callable[[str, OrgId, Request], Request | None]


class PaperDesk(Desk):
    """A desk without a network: shows what the test lays on it and collects signatures."""

    def __init__(self, book: "Book") -> None:
        self.book = book

    def manifest(self) -> ManifestReply:
        """Show what lies on the desk."""
        return self.book.reply

    def approve(self, request: ApproveRequest) -> None:
        """Collect a signature."""
        self.book.signed[OrgId(request.organisation)] = bytes.fromhex(request.signature)
        self.book.handed.append((OrgId(request.organisation), bytes.fromhex(request.signature)))


@dataclass(slots=True)
class Book:
    """What the desk shows, and who signed."""

    reply: ManifestReply
    signed: dict[OrgId, bytes] = field(default_factory=dict)
    handed: list[tuple[OrgId, bytes]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Village:
    """Three sites and a server.

    Attributes:
        events: what each site said.
        change: what arrives at a site instead of a request; None: nothing.
    """

    config: FederationConfig
    folder: Path
    limits: Limits
    book: Book
    stack: ExitStack
    sites: dict[OrgId, Resident] = field(default_factory=dict)
    events: dict[OrgId, list[dict[str, Any]]] = field(default_factory=dict)
    server_key: Identity = field(default_factory=lambda: Identity(system(32)))
    change: Change = lambda purpose, org, request: request  # noqa: ARG005 - the default changes nothing
    shared: bytes = b""
    shape: preparation.Shape | None = None
    rows: dict[OrgId, int] = field(default_factory=dict)
    asked: list[tuple[str, OrgId, Reply]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def orgs(self) -> list[OrgId]:
        """Everybody, by name."""
        return sorted(organisation.id for organisation in self.config.organisations)

    def open(self, org: OrgId, **limits: object) -> Resident:
        """Open a site, anew if it was open; its folder stays."""
        if org in self.sites:
            self.sites.pop(org).close()
        folder = SiteFolder(self.folder / f"site-{org}")
        identity, _ = folder.make_keys(None)
        document = self.config.document()
        if not (folder.path / "membership.json").exists():
            membership = Membership(
                address="https://fed.example.org",
                ca=None,
                federation=self.config.federation.id,
                organisation=org,
                document=document,
                plan=course.plan_digest(document).hex(),
                organisations=list(self.orgs),
                joined="2026-11-22",
            )
            folder.keep(membership)
        place = SitePlace(organisation=org, server="https://fed.example.org", data=f"{org}.csv")
        settings = Limits(**(self.limits.model_dump() | limits))
        events = self.events.setdefault(org, [])
        self.sites[org] = Resident(
            site=SiteConfig(site=place, limits=settings, base=self.folder),
            folder=folder,
            membership=folder.membership(),
            identity=identity,
            desk=PaperDesk(self.book),
            meter=Meter(Machine()),
            say=lambda kind, **facts: events.append({"event": kind, **facts}),
            rand=system,
            now=lambda: NOON,
            earlier=folder.earlier_identity(None),
        )
        self.stack.callback(self.sites[org].close)
        return self.sites[org]

    def ask(self, org: OrgId, purpose: str, body: bytes, *, number: int = 0) -> Reply:
        """Ask one site."""
        request = Request(
            purpose=purpose, federation=self.config.federation.id, round=number, attempt=1, stage_s=5.0, body=body
        )
        arrives = self.change(purpose, org, request)
        if arrives is None:
            return Reply(status="none")
        reply = self.sites[org].answer(arrives)
        self.asked.append((purpose, org, reply))
        return reply

    def prepare(self) -> None:
        """Collect statistics and shapes."""
        plan = course.plan_digest(self.config.document())
        ask = pack(preparation.AskStatistics(plan=plan))
        parts = {org: self.ask(org, STATISTICS, ask).body for org in self.orgs}
        task = open_task(self.config)
        self.shared = preparation.merged(task, parts)
        self.rows = {org: preparation.rows_of(parts[org]) for org in self.orgs}
        ask = pack(preparation.AskShape(plan=plan, shared=self.shared))
        self.shape = preparation.merged_shape({org: self.ask(org, SHAPE, ask).body for org in self.orgs})

    def manifest(self, *, version: int = 1, orgs: list[OrgId] | None = None) -> Manifest:
        """Write a manifest over these organisations."""
        assert self.shape is not None
        founding, _ = charter.found(
            self.config, open_task(self.config), self.shared, self.shape, None, secret=bytes(32)
        )
        roster = [
            charter.Line(
                org=org,
                name=self.config.organisation(org).name,
                public=SiteFolder(self.folder / f"site-{org}").keys(None)[0].public,
                rows=self.rows[org],
            )
            for org in (self.orgs if orgs is None else orgs)
        ]
        return charter.write_manifest(founding, roster, self.server_key.public, version=version)

    def show(self, **manifests: SignedManifest | None) -> None:
        """Lay manifests on the desk."""
        shown = {name: None if signed is None else pack(signed).hex() for name, signed in manifests.items()}
        shape = None if self.shape is None else pack(self.shape).hex()
        document = self.config.document()
        self.book.reply = ManifestReply(
            current=shown.get("current"),
            proposed=shown.get("proposed"),
            shape=shape,
            federation=document,
            policy=None,
        )

    def found(self) -> Manifest:
        """Let everybody sign the first manifest and take it up."""
        manifest = self.manifest()
        self.show(proposed=SignedManifest(manifest=manifest))
        for site in self.sites.values():
            site.look_for_manifest()
        self.show(current=self.signed(manifest))
        for site in self.sites.values():
            site.look_for_manifest()
        return manifest

    def signed(self, manifest: Manifest) -> SignedManifest:
        """Put the signatures that were handed in under a manifest."""
        keys = {member.id: member.public for member in manifest.members}
        approvals = [Approval(public=keys[org], signature=sig) for org, sig in self.book.signed.items() if org in keys]
        return SignedManifest(manifest=manifest, approvals=tuple(approvals))

    def cohort(self, manifest: Manifest, number: int) -> "VillageCohort":
        """Everybody, as the round's loop asks them."""
        return VillageCohort(self, manifest, number)

    def run(self, manifest: Manifest, *, until: int) -> course.Course:
        """Run rounds up to this one; give where the server then stands."""
        assert self.shape is not None
        server = Server(manifest, self.server_key, 1)
        start = first_model(open_task(self.config), self.shape, self.config)
        stands = course.begin(start, manifest.encoding)
        for outcome in self.outcomes:
            stands, _ = course.apply(stands, outcome, manifest, self.config)
        while stands.applied < until:
            previous = self.outcomes[-1] if self.outcomes else None
            plan = course.plan_next(stands, manifest, attempt=1)
            cohort = self.cohort(manifest, plan.round)
            opened = rounds.run_round(server, cohort, rounds.MemoryJournal(), plan, previous=previous, attempts=3)
            self.outcomes.append(opened.outcome)
            stands, _ = course.apply(stands, opened.outcome, manifest, self.config)
        return stands


@dataclass(frozen=True, slots=True)
class VillageCohort:
    """Asks sites one after the other; sends the sums that a site lacks, as the server does."""

    village: Village
    manifest: Manifest
    number: int

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Give what comes back."""
        for seat, body in requests.items():
            org, purpose = self.manifest.members[seat].id, purpose_of(body)
            reply = self.village.ask(org, purpose, body, number=self.number)
            if reply.code == "flower.behind":
                member = self.village.sites[org].member
                known = 0 if member is None else member.course.applied
                for outcome in self.village.outcomes[known:-1]:
                    self.village.ask(org, SUMS, pack(outcome), number=self.number)
                reply = self.village.ask(org, purpose, body, number=self.number)
            if reply.status == "ok":
                yield seat, reply.body


def village(
    folder: Path,
    stack: ExitStack,
    *,
    rounds_: int = 2,
    config: FederationConfig | None = None,
    **sections: Any,  # noqa: ANN401 - of `tiny`
) -> Village:
    """Write a tiny federation, unless it is there, and open its sites."""
    training = {"rounds": rounds_} | sections.pop("training", {})
    config = config or tiny.config(folder, training=training, **sections)
    limits = Limits(tasks=("tabular-classification",), rounds=rounds_, minimum_cohort=3)
    empty = ManifestReply(current=None, proposed=None, shape=None, federation={}, policy=None)
    made = Village(config=config, folder=folder, limits=limits, book=Book(empty), stack=stack)
    for org in made.orgs:
        made.open(org)
    return made
