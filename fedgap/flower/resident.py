"""The answers of a site: what the server asks is looked at, limited, logged, and answered with a code or with bytes.

Everything goes through `answer`. Exception texts stay here; what leaves is a reply, and it is in the egress log first.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fedgap.config.site import SiteConfig
from fedgap.crypto import BadBytesError, Identity
from fedgap.crypto.codec import pack, unpack
from fedgap.errors import FedgapError
from fedgap.flower.approvals import Approvals
from fedgap.flower.charter import Founding, founding_of
from fedgap.flower.claims import AskClaim
from fedgap.flower.consent import Consent
from fedgap.flower.contract import (
    CLAIM,
    ENDED,
    ROUND_PURPOSES,
    SETTLEMENT_PURPOSES,
    SHAPE,
    STATISTICS,
    SUMS,
    EnvelopeError,
    Reply,
    Request,
    VersionError,
    answered,
    refused,
)
from fedgap.flower.desk import Desk
from fedgap.flower.enrolment import ManifestReply
from fedgap.flower.first_model import first_model
from fedgap.flower.limits import check_present, check_round, check_task
from fedgap.flower.measuring import public_rows, read_evaluation
from fedgap.flower.member import BehindError, Member, become_member
from fedgap.flower.membership import Membership, SiteFolder
from fedgap.flower.meter import Meter
from fedgap.flower.plainvalues import StatisticsError
from fedgap.flower.preparation import AskShape, AskStatistics, Shape, read_shape
from fedgap.flower.refusals import NoManifestError, OtherPlanError, as_ours
from fedgap.flower.site_settling import SiteSettling, first_manifest
from fedgap.flower.trail import Trail
from fedgap.flower.unfinished import unfinished
from fedgap.flower.vault import FolderVault
from fedgap.flower.workplace import Workplace, told
from fedgap.ids import OrgId
from fedgap.learning.parameters import digest, file_parts
from fedgap.learning.rows import Rows
from fedgap.secagg.errors import PlanMismatchError, RefusalError, UnseenListError
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.manifest import Manifest, SignedManifest
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Adverts, Outcome, Sealed, Survivors, forget_read
from fedgap.secagg.participant import Participant
from fedgap.secagg.periods import Periods
from fedgap.storage import replace, replace_in_parts

Say = Callable[..., None]
"""Told what happened: a kind of event and plain facts about it."""


@dataclass(slots=True, kw_only=True)
class Resident:
    """One site at work.

    Attributes:
        site: its own settings.
        say: told what happened, for log and screen; nothing of it leaves.
        now: local time.
        earlier: the key before the present one, if it was changed.
    """

    site: SiteConfig
    folder: SiteFolder
    membership: Membership
    identity: Identity
    desk: Desk
    meter: Meter
    say: Say
    rand: Callable[[int], bytes]
    now: Callable[[], datetime] = datetime.now
    earlier: Identity | None = None
    workplace: Workplace = field(init=False)
    settling: SiteSettling | None = field(default=None, init=False)
    _vault: FolderVault | None = None
    _force: SignedManifest | None = None
    _participant: Participant | None = None
    _before: Participant | None = None
    _member: Member | None = None
    _consent: Consent | None = None
    _said: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        config = told(self.membership.document, self.site.base)
        check_task(self.site.limits, config)
        self.workplace = Workplace(
            config=config,
            org=self.membership.org,
            source=self.site.data,
            evaluation_data=self.site.evaluation_data,
            limits=self.site.limits,
            meter=self.meter,
        )
        shared = self.folder.path / "shared.bin"
        if shared.exists():
            self.workplace.shared = shared.read_bytes()
        self._vault = FolderVault(self.folder.journal)

    def close(self) -> None:
        """Let go of the journal."""
        if self._vault is not None:
            self._vault.close()

    @property
    def is_member(self) -> bool:
        """Whether there is a manifest that this site goes along with."""
        return self._participant is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come, as far as settlement goes."""
        return self.settling is None or self.settling.is_over

    @property
    def member(self) -> Member | None:
        """Our side of the federation's course, once there is one."""
        return self._member

    def answer(self, request: Request | EnvelopeError | VersionError) -> Reply:
        """Answer one message. Never raises: what goes wrong becomes a code, and is told to people here."""
        if isinstance(request, FedgapError):
            return self._refuse(request, purpose="unreadable")
        try:
            return self._answer(request)
        except BehindError as error:
            self.say("behind", cause=error.cause)
            return refused(error, pack(error.standpoint))
        except UnseenListError as error:
            self.say("behind", cause=error.cause)
            return refused(error)
        except FedgapError as error:
            return self._refuse(error, purpose=request.purpose, round=request.round)
        except Exception as error:  # noqa: BLE001 - somebody else's task may fail in any way; only a code may leave
            self.say("failed", error=error)
            return self._refuse(as_ours(error), purpose=request.purpose)

    def look_for_manifest(self) -> None:
        """Ask the desk for manifests, sign what this site goes along with, take up the one in force.

        Raises:
            FedgapError: there is no connection, or an answer is not sound.
        """
        reply = self.desk.manifest()
        if reply.shape is None or self.workplace.shared is None:
            return
        try:
            shape = read_shape(bytes.fromhex(reply.shape))
        except (ValueError, StatisticsError) as error:
            raise OtherPlanError("The server tells no shape of a row.") from error
        approvals = Approvals(
            folder=self.folder,
            membership=self.folder.membership(),
            limits=self.site.limits,
            identity=self.identity,
            earlier=self.earlier,
            make_founding=lambda: self._founding(shape, reply),
        )
        standing = approvals.look(reply, self.desk)
        for one in standing.waiting:
            self._once("waiting", one)
        if standing.force is not None and standing.force != self._force:
            self._take_up(standing.force, shape, reply)
        elif standing.force is None and self._vault is not None:
            for signed in self.folder.manifests()[-1:]:
                self._before = unfinished(signed.manifest, self.membership.org, self.earlier, self._vault, self.rand)
        if self._consent is not None and self._member is not None:
            for one in self._consent.look(reply, self.desk, applied=self._member.course.applied):
                self._once("waiting", one)

    def _founding(self, shape: Shape, reply: ManifestReply) -> Founding:
        """Compute what every manifest of this federation has in common; only when there is one to look at."""
        place = self.workplace
        with self.meter.phase("load"):
            start = first_model(place.task, shape, place.config)
        evaluation = read_evaluation(place.config, _bytes(reply.evaluation), start.size)
        self._public_rows(evaluation, start.size)
        return founding_of(place.config, place.shared or b"", shape, start, reply.policy, evaluation)

    def _public_rows(self, evaluation: Evaluation | None, parameters: int) -> Rows | None:
        """Load public evaluation rows: without them no direction can be recomputed, so no manifest is approved."""
        place = self.workplace
        with self.meter.phase("evaluate"):
            return public_rows(
                place.config, place.task, place.shared or b"", parameters, evaluation, place.evaluation_data
            )

    def _take_up(self, force: SignedManifest, shape: Shape, reply: ManifestReply) -> None:
        manifest, place = force.manifest, self.workplace
        evaluation = read_evaluation(place.config, _bytes(reply.evaluation), manifest.encoding.parameters)
        trail = None
        if evaluation is not None:
            trail = Trail(self.folder.path / "trail", place.config, self._versions)
        seat = manifest.seat_of(self.membership.org)
        with self.meter.phase("load"):
            self._member = become_member(manifest, place, shape, self.folder.path, self._admit, trail=trail)
        me = Me(manifest, seat, self.identity, self.site.limits.threads)
        assert self._vault is not None  # noqa: S101 - opened with this object; tells mypy
        origin = first_manifest(reply) or self.folder.manifests()[0].manifest.digest
        periods = Periods(place.config.training.rounds, max(1, manifest.periods))
        self._consent = Consent(
            folder=self.folder,
            org=self.membership.org,
            identity=self.identity,
            origin=origin,
            periods=periods,
        )
        self.settling = SiteSettling.of(
            self.folder, place, self.identity, self.meter, self.say, origin=origin, periods=periods
        )
        settler = None
        if evaluation is not None and trail is not None:
            public = self._public_rows(evaluation, manifest.encoding.parameters)
            earlier = tuple(one for one in self._versions() if one.version < manifest.version)
            settler = self.settling.settler(manifest, evaluation, shape, trail, public, earlier=earlier)
        self._participant = Participant(
            me, self._vault, self._member, rand=self.rand, simulation=False, settler=settler
        )
        self._force = force
        if self.folder.membership().server is None:  # pinned from now on
            self.folder.change(lambda before: before.model_copy(update={"server": manifest.server.hex()}))
        self.folder.note_status(
            waiting=None, manifest=manifest.digest.hex(), version=manifest.version, weight=_share(manifest, seat)
        )
        members = [member.name for member in manifest.members]
        self.say("manifest", version=manifest.version, digest=manifest.digest.hex(), members=members)

    def _answer(self, request: Request) -> Reply:
        if request.federation != self.membership.federation:
            raise OtherPlanError("The server speaks of another federation.")
        if request.purpose == STATISTICS:
            self._same_plan(_body(AskStatistics, request).plan)
            return answered(self.workplace.statistics())
        if request.purpose == SHAPE:
            asked = _body(AskShape, request)
            self._same_plan(asked.plan)
            if self.folder.manifests() and asked.shared != self.workplace.shared:
                raise OtherPlanError("The server wants to scale rows in another way than the manifest says.")
            shape = self.workplace.prepare(asked.shared)
            replace(self.folder.path / "shared.bin", asked.shared)
            return answered(shape)
        if request.purpose == SUMS:
            return self._take_sum(request)
        if request.purpose in {CLAIM, ENDED, *SETTLEMENT_PURPOSES}:
            return self._settle(request)
        if request.purpose not in ROUND_PURPOSES:
            raise EnvelopeError("A request has an unknown purpose.")
        return self._take_part(request)

    def _take_part(self, request: Request) -> Reply:
        """One of the five exchanges of a round."""
        if self._participant is None:
            self.look_for_manifest()
        if self._participant is None and self._before is not None and request.purpose == "certificate":
            return answered(self._before.handle(request.body))
        for again in (False, True):
            participant, force = self._participant, self._force
            if participant is None or force is None:
                raise NoManifestError("There is no manifest that this site goes along with.")
            self._check_present(request, force.manifest)
            if request.purpose == "invite" and self._consent is not None:
                self._consent.check(request.round)
            try:
                with self.meter.phase("crypto"):
                    return answered(participant.handle(request.body))
            except UnseenListError:
                raise
            except (PlanMismatchError, RefusalError) as error:
                if again or request.purpose != "invite" or error.evidence is not None:
                    raise
                self.look_for_manifest()  # a new version may be in force
                if self._force is force:
                    raise
            finally:
                forget_read()  # with the sum in it, while we train or fetch the next one
        raise AssertionError("the loop returns or raises")

    def _settle(self, request: Request) -> Reply:
        """A settlement's exchange; what it needs of the course comes with it, or is asked for."""
        if self._participant is None:
            self.look_for_manifest()
        participant, member, settling = self._participant, self._member, self.settling
        if participant is None or member is None or settling is None:
            raise NoManifestError("There is no manifest that this site goes along with.")
        if request.purpose == CLAIM:
            return answered(settling.claim(_body(AskClaim, request), member.course))
        if request.purpose == ENDED:
            return answered(settling.end(request.body))
        closing = settling.closing(request.body) if request.purpose == "close" else None
        if closing is not None and closing.plan.round > member.course.applied + 1:
            raise BehindError(member.course.standpoint, wanted=closing.plan.round + 1)
        with self.meter.phase("crypto"):
            reply = participant.handle(request.body)
        if closing is not None:
            member.catch_up(closing, self._versions())
            self._keep_model(member)
        elif request.purpose == "statement" and reply is not None:
            settling.stated(request.body, reply)
        return answered(reply)

    def _take_sum(self, request: Request) -> Reply:
        if self._member is None:
            self.look_for_manifest()
        if self._member is None or self._participant is None:
            raise NoManifestError("There is no manifest that this site goes along with.")
        with self.meter.phase("crypto"):
            self._member.catch_up(_body(Outcome, request), self._versions(), self._participant.learn)
            self._keep_model(self._member)
        return answered(b"")

    def _versions(self) -> list[Manifest]:
        """Every version of the manifest that we approved, and those from before we joined, oldest first."""
        return [signed.manifest for signed in (*self.folder.manifests(ours=False), *self.folder.manifests())]

    def _keep_model(self, member: Member) -> None:
        """After the last round, put the common model where the organisation can use it."""
        stands, config = member.course, self.workplace.config
        if stands.applied < config.training.rounds:
            return
        path = self.folder.path / "model.safetensors"
        about = {
            "task": config.federation.task,
            "federation": config.federation.id,
            "rounds": str(stands.applied),
            "preprocessing": json.dumps(self.workplace.preprocessing()),
        }
        replace_in_parts(path, file_parts(stands.state.model, about))
        self.folder.note_status(model=str(path), model_sha256=digest(stands.state.model))
        self.say("done", model=str(path), rounds=stands.applied)

    def _check_present(self, request: Request, manifest: Manifest) -> None:
        """Look at who is there before anything is said; the participant checks afterwards that it is true."""
        message: Any
        if request.purpose == "adverts":
            message = unpack(Adverts, unpack(Sealed, request.body).body)
            seats = [advert.seat for advert in message.adverts]
        elif request.purpose == "survivors":
            message = unpack(Survivors, unpack(Sealed, request.body).body)
            seats = [survivor.seat for survivor in message.survivors]
        else:
            return
        names: list[OrgId] = [manifest.members[seat].id for seat in seats if seat < len(manifest.members)]
        check_present(self.site.limits, names)

    def _admit(self, round_number: int) -> None:
        check_round(self.site.limits, round_number, self.now())

    def _same_plan(self, plan: bytes) -> None:
        if plan != self.workplace.plan:
            raise OtherPlanError("The server asks about another plan than the one approved here.")

    def _refuse(self, error: FedgapError, **about: Any) -> Reply:  # noqa: ANN401 - plain facts
        self.say("refused", code=error.code, cause=error.cause, remedy=error.remedy, **about)
        return refused(error)

    def _once(self, kind: str, error: FedgapError) -> None:
        """Say something that lasts once, not at every look."""
        if error.cause not in self._said:
            self._said.add(error.cause)
            self.folder.note_status(waiting=error.line())
            self.say(kind, code=error.code, cause=error.cause, remedy=error.remedy)


def _body(cls: type[Any], request: Request) -> Any:  # noqa: ANN401 - the class decides
    try:
        return unpack(cls, request.body)
    except BadBytesError as error:
        raise EnvelopeError(f"The body of a request '{request.purpose}' is malformed.") from error


def _bytes(text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError as error:
        raise OtherPlanError("The server's answer is not hexadecimal.") from error


def _share(manifest: Manifest, seat: int) -> float:
    total = sum(member.weight for member in manifest.members)
    return manifest.members[seat].weight / total
