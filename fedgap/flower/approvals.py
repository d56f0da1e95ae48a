"""Which manifest this site goes along with: checked against what it approved, within its limits, or left to a person.

A site is absent from a federation whose manifest it has not approved; it blocks nobody. The first version may hold only
organisations that a person saw when joining; each later one follows the one before it as the protocol says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fedgap.config.site import Limits
from fedgap.crypto import BadBytesError, Identity
from fedgap.crypto.codec import unpack
from fedgap.errors import FedgapError
from fedgap.flower.charter import Founding, Line, check_manifest
from fedgap.flower.desk import Desk
from fedgap.flower.enrolment import ApproveRequest, ManifestReply
from fedgap.flower.limits import check_roster, check_task
from fedgap.flower.membership import Membership, SiteFolder
from fedgap.ids import OrgId
from fedgap.secagg.errors import BadManifestError
from fedgap.secagg.manifest import Approval, Manifest, SignedManifest, approve, check_amendment, check_founding


class NeedsApprovalError(FedgapError):
    """A manifest waits for a person at this site."""

    code = "client.needs-approval"

    def __init__(self, cause: str, *, digest: str) -> None:
        super().__init__(cause, remedy=f"If that is right: fedgap client approve {digest}")
        self.digest = digest


class NewKeyError(FedgapError):
    """The key of this site is newer than the manifest, or its organisation is no longer in it."""

    code = "client.key-not-in-force"
    remedy = "The client waits until the other members have signed a manifest with this key; ask the operator."


class OtherServerError(FedgapError):
    """A manifest names another server than the ones before it."""

    code = "client.other-server"
    remedy = "Do not approve it before you spoke with the operator."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where this site stands after it looked at the server's manifests.

    Attributes:
        force: the manifest rounds run under, if this site goes along with it.
        waiting: what a person has to decide or should know, in words.
    """

    force: SignedManifest | None
    waiting: tuple[FedgapError, ...] = ()


@dataclass(slots=True, kw_only=True)
class Approvals:
    """Looks at manifests for one site.

    Attributes:
        make_founding: computes what follows from the federation's file, the statistics and the policy.
        earlier: our key before the present one; it vouches for the present one while it is in force itself.
    """

    folder: SiteFolder
    membership: Membership
    limits: Limits
    identity: Identity
    make_founding: Callable[[], Founding]
    earlier: Identity | None = None
    _founding: Founding | None = field(default=None, init=False, repr=False)

    @property
    def founding(self) -> Founding:
        """What every manifest is checked against; for a large model it takes a while, so only when there is one."""
        if self._founding is None:
            self._founding = self.make_founding()
        return self._founding

    def look(self, reply: ManifestReply, desk: Desk) -> Standing:
        """Take up the manifest in force, and sign what this site goes along with.

        Raises:
            BadManifestError: one is malformed, or does not follow the one before it.
        """
        waiting: list[FedgapError] = []
        approved, earlier = self.folder.manifests(), self.folder.manifests(ours=False)
        force = approved[-1] if approved else None
        last = force if force is not None or not earlier else earlier[-1]
        for signed in self._new(reply, last):
            held = _key_of(signed.manifest, self.membership.org)
            ours = force is not None or held in {identity.public for identity in self._identities()}
            try:
                _check_signatures(last, signed)
                if ours:
                    self.judge(signed.manifest, before=None if force is None else force.manifest, key=held)
                else:  # from before this site joined: not ours to judge, but the sums of its rounds are signed by it
                    check_manifest(signed.manifest, self.founding, None)
            except FedgapError as error:
                waiting.append(error)
                break
            self.folder.keep_manifest(signed, ours=ours)
            last, force = signed, signed if ours else None
        if reply.proposed is not None and not waiting:
            waiting += self._sign(_read(reply.proposed), force, desk)
        newest = None if last is None else _key_of(last.manifest, self.membership.org)
        if newest != self.identity.public and (newest is not None or force is not None):
            waiting.append(NewKeyError("This site's key is not in the manifest in force."))
            force = None
        return Standing(force=force, waiting=tuple(waiting))

    def judge(self, manifest: Manifest, *, before: Manifest | None, key: bytes | None = None) -> None:
        """Decide whether this site goes along with a manifest.

        Args:
            manifest: what the server shows.
            before: the version that this site goes along with so far.
            key: the key of our line, if it may be the one from before ours was changed.

        Raises:
            LimitError, CharterError, OtherServerError: it does not.
            NeedsApprovalError: a person has to decide.
        """
        name = self.founding.config.organisation(self.membership.org).name
        ours = key if key in {identity.public for identity in self._identities()} else None
        own = Line(org=self.membership.org, name=name, public=ours or self.identity.public, rows=0)
        check_manifest(manifest, self.founding, own)
        check_task(self.limits, self.founding.config)
        check_roster(self.limits, manifest)
        if self.membership.server not in {None, manifest.server.hex()}:
            raise OtherServerError("The manifest names another server key than the one approved here.")
        digest = manifest.digest.hex()
        if digest in self.membership.manifests:
            return
        strangers = [m.id for m in manifest.members if m.id not in self.membership.organisations]
        own_key = f"key of {self.membership.org}"  # ours: checked above, and a person here has changed it
        others = [] if before is None else [one for one in _changed(before, manifest) if one != own_key]
        others = [*others, "the funding policy"] if self.founding.policy != self.membership.policy else others
        is_new_money = self.founding.policy != self.membership.policy
        if not (strangers or others) or (self.limits.roster_changes == "within-limits" and not is_new_money):
            return
        what = [f"new: {', '.join(strangers)}"] if strangers else []
        what += [f"changed: {', '.join(others)}"] if others else []
        cause = f"Version {manifest.version} of the roster waits for your approval ({'; '.join(what)})."
        raise NeedsApprovalError(cause, digest=digest)

    def _identities(self) -> list[Identity]:
        """Our key, and the one before it."""
        return [self.identity, *([] if self.earlier is None else [self.earlier])]

    def _new(self, reply: ManifestReply, force: SignedManifest | None) -> list[SignedManifest]:
        known = 0 if force is None else force.manifest.version
        texts = [*reply.earlier, *([] if reply.current is None else [reply.current])]
        found = sorted(map(_read, texts), key=lambda signed: signed.manifest.version)
        return [signed for signed in found if signed.manifest.version > known]

    def _sign(self, signed: SignedManifest, force: SignedManifest | None, desk: Desk) -> list[FedgapError]:
        manifest = signed.manifest
        old = set() if force is None else {member.public for member in force.manifest.members}
        signers = [self.identity, *([self.earlier] if self.earlier and self.earlier.public in old else [])]
        missing = [one for one in signers if not signed.approved_by([one.public])]
        if not missing:
            return []
        try:
            expected = 1 if force is None else force.manifest.version + 1
            if manifest.version != expected and force is not None:
                raise BadManifestError(f"Version {manifest.version} does not follow version {force.manifest.version}.")
            self.judge(manifest, before=None if force is None else force.manifest)
        except FedgapError as error:
            return [error]
        for signer in missing:
            desk.approve(approval_of(manifest, signer, self.membership))
        return []


def approval_of(manifest: Manifest, identity: Identity, membership: Membership) -> ApproveRequest:
    """Sign a manifest."""
    signed: Approval = approve(manifest, identity)
    return ApproveRequest(
        organisation=membership.organisation, manifest=manifest.digest.hex(), signature=signed.signature.hex()
    )


def _changed(before: Manifest, now: Manifest) -> Sequence[str]:
    """Name what is different between two versions beside newcomers: keys, names, weights, and who left."""
    old = {member.id: member for member in before.members}
    new = {member.id: member for member in now.members}
    found = [f"{org} left" for org in old if org not in new]
    found += [f"key of {org}" for org in old if org in new and old[org].public != new[org].public]
    return found + [f"weight of {org}" for org in old if org in new and old[org].weight != new[org].weight]


def _key_of(manifest: Manifest, org: OrgId) -> bytes | None:
    return next((member.public for member in manifest.members if member.id == org), None)


def _check_signatures(before: SignedManifest | None, signed: SignedManifest) -> None:
    if before is None:
        if signed.manifest.version == 1:
            check_founding(signed)
            return
        # A site that joins later sees its first manifest without the one it amends; its own line is what it vouches for
        # and a quorum of those who are there must have signed.
        keys = [member.public for member in signed.manifest.members]
        if len(signed.approved_by(keys)) < signed.manifest.tau:
            raise BadManifestError("Fewer members than a quorum signed the manifest.")
        return
    check_amendment(before.manifest, signed)


def _read(text: str) -> SignedManifest:
    try:
        return unpack(SignedManifest, bytes.fromhex(text))
    except (ValueError, BadBytesError) as error:
        raise BadManifestError("What the server shows is no manifest.") from error
