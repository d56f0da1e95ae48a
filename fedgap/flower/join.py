"""Joining a federation: keys are born at the site, shown to the server once, and a person approves what was told.

    begin_joining     invitation -> CA checked, keys made, enrolled; gives everything a person should see
    end_joining       the person said yes: it is written down, and `site.toml` if there is none

Until then nothing runs. Doing it again with the same keys is harmless; a person who said no only has keys on disk.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from fedgap.config import FederationConfig
from fedgap.config.protocol import least_quorum, most_colluders
from fedgap.config.section import printable
from fedgap.config.site import Limits, SiteConfig, SitePlace, load_site, site_text
from fedgap.config.summary import summary
from fedgap.errors import FedgapError, UsageError
from fedgap.flower.course import plan_digest
from fedgap.flower.desk import Desk, OddAnswerError, fetch_ca
from fedgap.flower.egress import EgressLog
from fedgap.flower.enrolment import EnrolReply, Invite, read_invite, sign_enrolment, spoken
from fedgap.flower.limits import check_task
from fedgap.flower.membership import Membership, NotJoinedError, SiteFolder, now_text
from fedgap.flower.workplace import told
from fedgap.storage import replace

LEAVES = (
    "the public halves of this site's keys, and signatures made with them",
    (
        "before the first round, the sums of your training rows that prepare the common scale (for a table: counts, "
        "means, squared deviations, names of levels and classes); the server sees yours, everybody sees the merged ones"
    ),
    "the shape of a prepared row, and how many rows train",
    "in every round, your masked update and key shares; the server learns the sum over all who stayed",
    (
        "when contributions are measured, once a period one number for each other member; from all of them follows one "
        "number for each organisation, for everybody to read in the ledger"
    ),
    (
        "when a period is settled, what this site claims to have spent, whether it confirms its number, and that it "
        "saw the ledger; everybody can read that too"
    ),
)
"""What leaves the building, said before a person approves."""


class OtherMembershipError(FedgapError):
    """This folder belongs to another federation or organisation already."""

    code = "client.other-membership"
    remedy = "Join with another site.toml in another folder; one folder belongs to one membership."
    exit_status = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """What a person should see before approving.

    Attributes:
        fingerprint: of this site's keys, to read to the operator over the phone.
        status: waiting or approved, by the operator.
        sentences: the plan in plain words.
        config: the same for programs.
    """

    invite: Invite
    ca: str | None
    fingerprint: str
    status: str
    sentences: tuple[str, ...]
    config: FederationConfig
    reply: EnrolReply
    policy: str | None


def begin_joining(text: str, site: Path, *, data: str | None, passphrase: str | None, now_s: float) -> Joining:
    """Enrol with an invitation.

    Args:
        text: the invitation, one line.
        site: where site.toml is, or will be.
        data: our file, for a new site.toml; only whether it is there is looked at.
        passphrase: seals the keys; None leaves them readable to this account.
        now_s: seconds since 1970.

    Raises:
        BadInviteError, InviteExpiredError, InviteUsedError, WrongFingerprintError: it cannot be used.
        OtherMembershipError: the folder belongs to another membership.
        UsageError: there is no site.toml and no file was named, or the file is not there.
    """
    invite = read_invite(text, now_s=now_s)
    _look_for_data(data, site)
    folder = SiteFolder(_folder(site, invite))
    with folder.alone():
        _refuse_other(folder, invite)
        ca = fetch_ca(invite)
        identity, node = folder.make_keys(passphrase)
        with EgressLog(folder.egress, to=invite.address) as egress:
            desk = Desk(invite.address, ca=ca, egress=egress)
            reply = desk.enrol(sign_enrolment(identity, invite, node.public))
    config = told(reply.federation, site.parent)
    if plan_digest(reply.federation).hex() != reply.plan or config.federation.id != invite.federation:
        raise OddAnswerError("The plan that the server tells is not the one it names.")
    if invite.organisation not in {organisation.id for organisation in config.organisations}:
        raise OddAnswerError("The plan that the server tells does not name this organisation.")
    return Joining(
        invite=invite,
        ca=ca,
        fingerprint=spoken(invite.organisation, identity.public, node.public),
        status=reply.status,
        sentences=plan_in_words(config),
        config=config,
        reply=reply,
        policy=reply.policy,
    )


def rotate_keys(text: str, site: Path, *, passphrase: str | None, now_s: float) -> str:
    """Change this site's keys, with a new invitation for the same organisation.

    The new keys take part once the other members have signed a manifest with them; until then this site is absent. The
    keys before stay in their folder, because they vouch for the new ones.

    Returns:
        the fingerprint of the new keys, to read to the operator.

    Raises:
        NotJoinedError: there is nothing to change.
        OtherMembershipError: the invitation is for another membership.
        InUseError: the client runs; stop it first.
    """
    invite = read_invite(text, now_s=now_s)
    folder = SiteFolder(load_site(site).folder)
    with folder.alone():
        membership = folder.membership()
        _refuse_other(folder, invite)
        present, _ = folder.keys(passphrase)
        earlier = folder.earlier_identity(passphrase)
        in_force = {member.public for one in folder.manifests()[-1:] for member in one.manifest.members}
        identity, node = folder.make_keys(passphrase, which="keys-next")
        with EgressLog(folder.egress, to=invite.address) as egress:
            desk = Desk(membership.address, ca=membership.ca, egress=egress)
            desk.enrol(sign_enrolment(identity, invite, node.public))
        pending = earlier is not None and earlier.public in in_force and present.public not in in_force
        folder.take_next_keys(keep_before=pending)
        folder.node.unlink(missing_ok=True)
    return spoken(invite.organisation, identity.public, node.public)


def end_joining(joining: Joining, site: Path, *, data: str | None, evaluation: str | None = None) -> SiteConfig:
    """Write down that a person approved the plan.

    Args:
        joining: what was seen.
        site: where site.toml is; it is written if there is none.
        data: our file, for a new site.toml.
        evaluation: our copy of public evaluation rows, for a new site.toml.

    Raises:
        TaskNotAllowedError: site.toml does not allow the task.
    """
    invite = joining.invite
    if not site.exists() and data is not None:
        replace(site, site_text(_place(joining, site, data, evaluation), _limits(joining.config)).encode())
    found = load_site(site)
    if (found.site.organisation, found.site.server) != (invite.organisation, invite.address):
        raise OtherMembershipError(f"{site} is of another organisation or for another server.")
    check_task(found.limits, joining.config)
    membership = Membership(
        address=invite.address,
        ca=joining.ca,
        federation=invite.federation,
        organisation=invite.organisation,
        document=joining.reply.federation,
        plan=joining.reply.plan,
        policy=joining.policy,
        organisations=[organisation.id for organisation in joining.config.organisations],
        joined=now_text(),
    )
    folder = SiteFolder(found.folder)
    folder.keep(membership)
    folder.begin()
    return found


def plan_in_words(config: FederationConfig) -> tuple[str, ...]:
    """Say the plan without what concerns a simulation only, and nothing that hides a line from who reads it."""
    return tuple(printable(sentence) for sentence in summary(config) if not sentence.startswith("Compared with"))


def policy_in_words(policy: str) -> str:
    """Give the funding policy as it may be shown: nothing in it moves the cursor or hides a line."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in policy.splitlines())


def _look_for_data(data: str | None, site: Path) -> None:
    """Say what is missing before a key is made or anything is sent."""
    if data is None and not site.exists():
        raise UsageError("There is no site.toml yet.", remedy="Name your own file with --data FILE.")
    if data is not None and not Path(data).exists():
        raise UsageError(f"There is no {data}.", remedy="Correct the path after --data; nothing was sent.")


def _folder(site: Path, invite: Invite) -> Path:
    """Where keys go: as an existing site.toml says, else beside it.

    Raises:
        OtherMembershipError: site.toml is of another organisation or for another server.
    """
    if not site.exists():
        return site.parent / str(SitePlace.model_fields["folder"].default)
    found = load_site(site)
    if (found.site.organisation, found.site.server) != (invite.organisation, invite.address):
        raise OtherMembershipError(f"{site} is of another organisation or for another server.")
    return found.folder


def _refuse_other(folder: SiteFolder, invite: Invite) -> None:
    try:
        membership = folder.membership()
    except NotJoinedError:
        if any(signed.manifest.federation != invite.federation for signed in folder.manifests()):
            raise OtherMembershipError(f"{folder.path} holds the journal of another federation.") from None
        return
    ours = membership.federation, membership.organisation, membership.address
    if ours != (invite.federation, invite.organisation, invite.address):
        raise OtherMembershipError(f"{folder.path} belongs to {membership.organisation} in {membership.federation}.")


def _place(joining: Joining, site: Path, data: str, evaluation: str | None) -> SitePlace:
    place = {"organisation": joining.invite.organisation, "server": joining.invite.address}
    place["data"] = _from(site, data)
    if evaluation is not None:
        place["evaluation_data"] = _from(site, evaluation)
    return SitePlace.model_validate(place)


def _from(site: Path, path: str) -> str:
    """Name a file from the folder of site.toml."""
    return path if Path(path).is_absolute() else os.path.relpath(Path(path).resolve(), site.parent.resolve())


def _limits(config: FederationConfig) -> Limits:
    """Limits that this federation keeps, as tight as it allows."""
    members = len(config.organisations)
    colluders = most_colluders(members) if config.secagg is None or config.secagg.f is None else config.secagg.f
    cohort = max(3, colluders + 2, least_quorum(members, colluders))
    return Limits(tasks=(config.federation.task,), rounds=config.training.rounds, minimum_cohort=cohort)
