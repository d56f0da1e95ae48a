"""A site's part in settlements beside the protocol: its own recomputation, the checkpoints it saw, what it spent.

Rows that the server shows are looked at with the locally installed task, and with models that this site computed
itself. A ledger that does not extend the one seen before is refused; both signed heads are kept as evidence.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from fedgap import storage
from fedgap.contribution.errors import UtilityError
from fedgap.contribution.openings import Divisible, directions, openings
from fedgap.contribution.steps import elementwise_step
from fedgap.crypto import BadBytesError, BadSignatureError, Identity, digest
from fedgap.crypto.codec import pack, unpack
from fedgap.flower.claims import AskClaim, claim_of, sign_claim
from fedgap.flower.course import Course
from fedgap.flower.enrolment import ManifestReply
from fedgap.flower.measuring import utility_on
from fedgap.flower.member import BehindError
from fedgap.flower.membership import SiteFolder
from fedgap.flower.meter import Meter
from fedgap.flower.preparation import Shape
from fedgap.flower.trail import Trail
from fedgap.flower.workplace import Workplace
from fedgap.ids import OrgId
from fedgap.learning.rows import Rows
from fedgap.learning.threads import use_threads
from fedgap.ledger import Checkpoint, SplitViewError
from fedgap.ledger.shown import ShownCheckpoint, compare
from fedgap.records import sign_record
from fedgap.secagg.certificates import Listing
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.errors import BadMessageError, BadServerMessageError, OutOfOrderError
from fedgap.secagg.evaluation import Evaluation, Row
from fedgap.secagg.manifest import Manifest, SignedManifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.periods import Periods
from fedgap.secagg.plain import mean_of
from fedgap.secagg.reaction import NOT_ANSWERED
from fedgap.secagg.settlement import Close, Reaction, Statement, read_settlement
from fedgap.secagg.settler import Settler
from fedgap.secagg.tenures import tenure_of, tenures
from fedgap.simulation.contribution import server_step
from fedgap.simulation.federate import server_rule
from fedgap.simulation.shards import read_rows
from fedgap.storage import DamagedFileError, replace


@dataclass(slots=True, kw_only=True)
class Witness:
    """Keeps the last checkpoint of the ledger that was seen here, and co-signs the next if it extends it.

    Attributes:
        folder: the site's.
        org, identity: who co-signs.
        server: its public key.
    """

    folder: Path
    org: OrgId
    identity: Identity
    server: bytes

    @property
    def path(self) -> Path:
        """Where the last one is."""
        return self.folder / "checkpoint.bin"

    def __call__(self, checkpoint: bytes) -> bytes:
        """Co-sign what the server shows; what was seen is on disk before the signature leaves.

        Raises:
            BadBytesError: it is no checkpoint.
            LedgerError, NoProofError: it does not hold.
            SplitViewError: the server shows two ledgers; both heads are kept in `split-view-*.json`.
        """
        kept = self.kept()
        try:
            seen = compare(kept, unpack(ShownCheckpoint, checkpoint), server=self.server)
        except SplitViewError as error:
            evidence = json.dumps(error.evidence, indent=2, sort_keys=True).encode() + b"\n"
            name = digest("split-view", evidence).hex()[:16]
            replace(self.folder / f"split-view-{name}.json", evidence, mode=storage.PRIVATE)
            raise
        replace(self.path, pack(seen), mode=storage.PRIVATE)
        return sign_record(seen.cosigned(self.org), self.identity, origin=seen.origin)

    def kept(self) -> Checkpoint | None:
        """Read the last checkpoint that was seen here.

        Raises:
            DamagedFileError: it is not what was written.
        """
        if not self.path.exists():
            return None
        try:
            return unpack(Checkpoint, self.path.read_bytes())
        except (OSError, BadBytesError) as error:
            raise DamagedFileError(f"{self.path} is damaged.") from error


@dataclass(slots=True, kw_only=True)
class SiteAssessor:
    """Recomputes directions (see `fedgap.secagg.inspection.Assessor`).

    Attributes:
        manifests: every version, in force or not any more.
        workplace: the installed task.
        shape: that everybody's model fits.
        trail: the models.
        meter: counts it as evaluation.
        public: rows that everybody has, if contributions are measured on such; else rows are shown.
    """

    manifests: Sequence[Manifest]
    workplace: Workplace
    shape: Shape
    trail: Trail
    meter: Meter
    public: Rows | None = None
    _utilities: tuple[Sequence[Row], list[Divisible]] | None = None

    def directions(self, listing: Listing, rows: Sequence[Row]) -> Sequence[Unrounded]:
        """Recompute a round's unrounded directions; nothing if the round or the rows are not to be used here."""
        with self.meter.phase("evaluate"):
            use_threads(self.workplace.limits.threads)
            found = self.trail.step(listing.plan.round)
            manifest = next((one for one in self.manifests if one.digest == listing.plan.manifest), None)
            if found is None or manifest is None or found[2].plan != listing.plan:
                return ()
            before, after, outcome = found
            total = np.frombuffer(outcome.total, dtype="<u4")
            mean = mean_of(manifest, total, seats=listing.seats, clip=listing.plan.clip).update
            step = elementwise_step(server_step(server_rule(self.workplace.config)), after.state.second[:])
            try:
                parts = self._on(rows)
                made = directions(parts, before.state.model, after.state.model, mean, step)
            except (UtilityError, BadBytesError, ValueError, TypeError):
                return ()
            return [one.unrounded for one in made]

    def _on(self, rows: Sequence[Row]) -> list[Divisible]:
        if self._utilities is None or self._utilities[0] is not rows:
            utility = utility_on(self.workplace.task, self.shape)(
                read_rows(rows) if self.public is None else self.public
            )
            seed = self.workplace.config.federation.seed
            self._utilities = (rows, openings(utility, self.manifests[-1].openings, seed))
        return self._utilities[1]


@dataclass(slots=True, kw_only=True)
class Claims:
    """What this site says it spent; said once for each period, the same bytes ever after.

    Attributes:
        folder: the site's.
        workplace: who we are, and our rows.
        identity: signs.
        origin: digest of the federation's first manifest.
    """

    folder: Path
    workplace: Workplace
    identity: Identity
    origin: bytes

    def answer(self, asked: AskClaim) -> bytes:
        """Claim a period's costs."""
        path = self.folder / f"claim-{asked.period:06d}.bin"
        if not path.exists():
            place = self.workplace
            claim = claim_of(asked, place.org, self.folder / "metering.jsonl", rows=len(place.training_data()))
            replace(path, sign_claim(claim, self.identity, origin=self.origin), mode=storage.PRIVATE)
        return path.read_bytes()


@dataclass(slots=True, kw_only=True)
class SiteSettling:
    """A site's part in the settlements of one federation.

    Attributes:
        folder: the site's.
        workplace, identity, meter: who we are, and what it costs.
        say: told what happened, for people here.
        claims: our costs.
        origin: digest of the federation's first manifest.
    """

    folder: SiteFolder
    workplace: Workplace
    identity: Identity
    meter: Meter
    say: Callable[..., None]
    claims: Claims
    origin: bytes
    _settler: Settler | None = None
    _trail: Trail | None = None
    _witness: Witness | None = None
    _server: bytes = b""
    _versions: tuple[Manifest, ...] = ()
    _periods: Periods

    @classmethod
    def of(
        cls,
        folder: SiteFolder,
        workplace: Workplace,
        identity: Identity,
        meter: Meter,
        say: Callable[..., None],
        *,
        origin: bytes,
        periods: Periods,
    ) -> Self:
        """Put the parts together."""
        claims = Claims(folder=folder.path, workplace=workplace, identity=identity, origin=origin)
        return cls(
            folder=folder,
            workplace=workplace,
            identity=identity,
            meter=meter,
            say=say,
            claims=claims,
            origin=origin,
            _periods=periods,
        )

    def settler(
        self,
        manifest: Manifest,
        evaluation: Evaluation,
        shape: Shape,
        trail: Trail,
        public: Rows | None,
        *,
        earlier: tuple[Manifest, ...],
    ) -> Settler:
        """Make what the protocol needs of us; `earlier` are the versions before the one in force."""
        self._trail, self._server, self._versions = trail, manifest.server, (*earlier, manifest)
        self._witness = Witness(
            folder=self.folder.path, org=self.workplace.org, identity=self.identity, server=manifest.server
        )
        assessor = SiteAssessor(
            manifests=self._versions,
            workplace=self.workplace,
            shape=shape,
            trail=trail,
            meter=self.meter,
            public=public,
        )
        self._settler = Settler(
            evaluation=evaluation, assessor=assessor, origin=self.origin, cosign=self._witness, earlier=earlier
        )
        return self._settler

    def claim(self, asked: AskClaim, course: Course) -> bytes:
        """Claim a period's costs once it is over here: what is said is said for good.

        Raises:
            OutOfOrderError: there is no such period.
            BehindError: sums of it are not here yet.
        """
        rounds = self._periods.rounds_of(asked.period) if asked.period <= self._periods.count else ()
        if not rounds or (asked.first, asked.last) != (rounds[0], rounds[-1]):
            raise OutOfOrderError("Costs are asked for of rounds that are no period.")
        if course.applied + 1 < asked.last:
            raise BehindError(course.standpoint, wanted=asked.last)
        return self.claims.answer(asked)

    @property
    def is_over(self) -> bool:
        """Whether the server has said that nothing more comes, or nothing is settled at all."""
        return self._settler is None or self._ended.exists()

    def closing(self, request: bytes) -> Outcome:
        """Read the last round's sum out of a closing request.

        Raises:
            BadServerMessageError: it is none, or not the server's.
        """
        try:
            message = read_settlement(self._server, request)
        except (BadMessageError, BadSignatureError) as error:
            raise BadServerMessageError("A request is malformed or not signed by the server.") from error
        if not isinstance(message, Close):
            raise BadServerMessageError("A closing request is something else.")
        return message.outcome

    def stated(self, request: bytes, reply: bytes) -> None:
        """Tell people here what became of a period; after its final statement, erase what it needed."""
        said, reaction = read_settlement(self._server, request), unpack(Reaction, reply)
        assert isinstance(said, Statement)  # noqa: S101 - the participant has answered it; tells mypy
        assert self._trail is not None  # noqa: S101 - there is a settler; tells mypy
        facts = {"period": said.period, "final": said.final, "confirmed": not reaction.code, "code": reaction.code}
        self.say("settled", **facts)
        self.folder.note_status(settled=facts)
        if said.final and reaction.code in {"", NOT_ANSWERED}:
            over = tenure_of(tenures(self._versions), said.manifest)
            assert over is not None  # noqa: S101 - the participant has answered it; tells mypy
            rounds = self._periods.rounds_of(said.period)
            later = {manifest.digest for manifest in over.later}
            self._trail.forget(self._trail.last_before(rounds, later))

    def end(self, shown: bytes) -> bytes:
        """Keep and co-sign the ledger's last checkpoint; nothing more comes after it."""
        if self._witness is None:
            return b""
        signature = self._witness(shown)
        replace(self._ended, b"", mode=storage.PRIVATE)
        return signature

    @property
    def _ended(self) -> Path:
        return self.folder.path / "ended"


def first_manifest(reply: ManifestReply) -> bytes | None:
    """Name the first manifest of a federation, if the server shows it."""
    texts = [*reply.earlier, *([] if reply.current is None else [reply.current])]
    try:
        manifests = [unpack(SignedManifest, bytes.fromhex(text)).manifest for text in texts]
    except (ValueError, BadBytesError):
        return None
    return next((manifest.digest for manifest in manifests if manifest.version == 1), None)
