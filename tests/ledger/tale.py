"""A made-up federation that writes a ledger: honest records in an order that a run would give, as many as wanted."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from fedgap.crypto import Identity, digest
from fedgap.ids import FederationId, OrgId
from fedgap.ledger import Checkpoint, Signed
from fedgap.ledger.store import Ledger
from fedgap.records import (
    AggregateReleased,
    Approval,
    ContributionEstimated,
    CostBounded,
    CostClaimed,
    CreditConfirmed,
    CreditObjected,
    DirectionCommitted,
    EdgeAnswer,
    FundingLine,
    FundingSettled,
    ManifestSigned,
    MemberChanged,
    OpeningAnswered,
    PolicyApproved,
    PolicySigned,
    Quantity,
    Record,
    RosterAgreed,
    RoundOpened,
    Survivor,
    UtilityObserved,
    Verdict,
    Voice,
)
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.manifest import Manifest, Member, approve
from fedgap.secagg.quorum import Quorum
from fedgap.secagg.transcript import Survivor as Stayed
from fedgap.secagg.transcript import agreement
from fedgap.secagg.wire import pack

POLICY = b"the money rule"


@dataclass
class Tale:
    """A federation of `n` organisations whose keys follow from `seed`."""

    seed: int = 1
    n: int = 3
    rounds: int = 2
    periods: int = 1
    policy: bytes = POLICY
    amended: bool = False
    origin: bytes = b""
    head: Checkpoint | None = None
    rng: random.Random = field(init=False, repr=False)
    _cosigned: Checkpoint | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - repeatable on purpose
        self.server = Identity(digest("tale-server", self.seed))
        self.orgs = [OrgId(f"org-{k}") for k in range(self.n)]
        self.keys = {org: Identity(digest("tale-key", self.seed, org)) for org in self.orgs}
        self.manifest = self.version(1)
        self.origin = self.manifest.digest

    def version(self, number: int, **changed: object) -> Manifest:
        """A version of the manifest."""
        fields: dict[str, object] = {
            "federation": FederationId("tale"),
            "version": number,
            "members": tuple(
                Member(id=org, name=org.upper(), public=self.keys[org].public, weight=1) for org in self.orgs
            ),
            "server": self.server.public,
            "f": Quorum.of(self.n).f,
            "tau": Quorum.of(self.n).tau,
            "encoding": Encoding(parameters=5, clip_low=0.5, clip_start=1.0, clip_high=2.0, seed=1),
            "model": digest("model"),
            "start": digest("start"),
            "training": digest("training"),
            "evaluation": digest("evaluation"),
            "policy": digest("policy", self.policy),
            "periods": self.periods,
            "confirm_exchanges": 5,
            "openings": 1,
            "amended_by": "quorum",
            "simulation": False,
        }
        return Manifest(**fields | changed)  # type: ignore[arg-type]  # a test's own fields

    def signed(self, manifest: Manifest, *signers: Identity) -> ManifestSigned:
        """A manifest that everybody approved, or only these."""
        approvals = [approve(manifest, key) for key in signers or self.keys.values()]
        return ManifestSigned(
            manifest=pack(manifest),
            approvals=tuple(Approval(public=a.public, signature=a.signature) for a in approvals),
        )

    def by(self, record: Record, org: OrgId | None = None) -> Signed:
        """A record, signed by the organisation it names, or by another one."""
        return Signed.by(self.keys[org or record.organisation], record, origin=self.origin)  # type: ignore[union-attr]

    def story(self) -> Iterator[Record | Signed]:
        """Everything after the founding manifest; the head of the ledger is looked at for co-signatures."""
        yield PolicySigned(version=1, policy=self.policy, from_period=1)
        if self.amended:
            yield from self.amendment()
        yield UtilityObserved(round=0, utility=500_000_000, evaluation=self.manifest.evaluation)
        each = max(1, self.rounds // self.periods)
        for number in range(1, self.rounds + 1):
            yield from self.round(number)
            if number % each == 0 and number // each <= self.periods:
                yield from self.settlement(number // each)

    def amendment(self, policy: bytes = b"another rule", *, first: int = 2) -> Iterator[Record | Signed]:
        """Every member approves the next version of the policy, and it is signed."""
        name = digest("policy", policy)
        for org in self.orgs:
            yield self.by(PolicyApproved(version=2, policy=name, from_period=first, organisation=org))
        yield PolicySigned(version=2, policy=policy, from_period=first)

    def round(self, number: int, manifest: Manifest | None = None) -> Iterator[Record | Signed]:
        """One round: who was invited, who stayed, the sum, the direction, the utility, a co-signature or two."""
        manifest = self.manifest if manifest is None else manifest
        sid, t2 = digest("sid", number), digest("t2", number)
        if self.head not in {None, self._cosigned}:
            assert self.head is not None
            self._cosigned = self.head
            for org in self.rng.sample(self.orgs, self.rng.randrange(3)):
                yield self.by(self.head.cosigned(org))
        orgs = tuple(self.orgs)
        yield RoundOpened(round=number, attempt=1, sid=sid, manifest=manifest.digest, cohort=orgs)
        yield RosterAgreed(round=number, attempt=1, t2=t2, organisations=orgs)
        yield self.released(number, sid=sid, t2=t2)
        yield DirectionCommitted(round=number, slot=1, commitment=digest("commitment", number), voices=())
        yield UtilityObserved(round=number, utility=self.rng.randrange(10**9), evaluation=self.manifest.evaluation)

    def released(self, number: int, *, sid: bytes, t2: bytes) -> AggregateReleased:
        """The sum of a round in which everybody stayed."""
        roots = [digest("root", number, org) for org in self.orgs]
        stayed = [Stayed(seat=seat, root=root, signature=bytes(64)) for seat, root in enumerate(roots)]
        agreed = agreement(sid, t2, stayed)
        return AggregateReleased(
            round=number,
            attempt=1,
            agreed=agreed,
            sum_root=digest("sum", number),
            state=digest("state", number),
            survivors=tuple(Survivor(organisation=org, root=root) for org, root in zip(self.orgs, roots, strict=True)),
            voices=tuple(
                Voice(organisation=org, signature=self.keys[org].sign("agree", sid, seat, agreed))
                for seat, org in enumerate(self.orgs)
            ),
        )

    def settlement(self, period: int) -> Iterator[Record | Signed]:
        """One period: answers, values, what members say to them, costs, money."""
        listed, said = digest("listed", period), digest("statement", period)
        for org in self.orgs:
            answers = tuple(
                EdgeAnswer(peer=peer, answer=self.rng.choice([None, self.rng.randrange(2**32)]))
                for peer in self.orgs
                if peer != org
            )
            yield self.by(OpeningAnswered(period=period, opening=1, organisation=org, listed=listed, answers=answers))
        for org in self.orgs:
            yield ContributionEstimated(
                period=period,
                organisation=org,
                value=Fraction(self.rng.randrange(-5, 100), 3**90),
                weight=Fraction(1, self.n),
                standing="verified",
                flags=("one-opening",),
                statement=said,
            )
        for org in self.orgs[1:]:
            yield self.by(CreditConfirmed(period=period, organisation=org, statement=said))
        objected = CreditObjected(
            period=period, organisation=self.orgs[0], statement=said, code="other-sum", evidence=digest("evidence")
        )
        yield self.by(objected)
        yield Verdict(period=period, organisation=self.orgs[0], fault="bad-share", evidence=digest("evidence"))
        for org in self.orgs:
            spent = Quantity(what="cpu-ms", amount=self.rng.randrange(10**6))
            yield self.by(CostClaimed(period=period, organisation=org, metered=(spent,), declared=()))
            yield CostBounded(period=period, organisation=org, bounds=(spent,))
        if self.policy != POLICY:
            return
        line = {"reimbursed": 1, "base": 2, "pool": 3, "paid": 6, "vesting": 0, "set_aside": 0}
        yield FundingSettled(
            period=period,
            policy=digest("policy", self.policy),
            budget=100,
            lines=tuple(FundingLine(organisation=org, **line) for org in self.orgs),
            carried=0,
            returned=0,
            statement=digest("funding", period),
        )

    def changed(self, version: int) -> Iterator[Record | Signed]:
        """A member gets a new key."""
        org, before = self.orgs[-1], list(self.keys.values())
        self.keys[org] = Identity(digest("tale-key", self.seed, org, version))
        self.manifest = self.version(version)
        yield self.signed(self.manifest, *before, self.keys[org])
        yield MemberChanged(organisation=org, version=version, change="key", manifest=self.manifest.digest)

    def write(self, path: Path) -> "Tale":
        """Write the whole story to a new ledger."""
        with Ledger(path, self.server, founding=self.signed(self.manifest)) as ledger:
            for fact in self.story():
                self.head = ledger.append(fact)
        return self
