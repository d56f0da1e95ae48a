"""How an organisation joins: the invitation it is sent, and what it says and hears over HTTPS before its first round.

    operator  fedgap server invite ORG   ->  one line of text: address, CA fingerprint, one-time code, expiry
    site      GET  /fedgap/v1/ca             the CA, checked against the fingerprint
              POST /fedgap/v1/enrol          its public keys, signed, with the code; a code works once
              GET  /fedgap/v1/manifest       who takes part under which conditions, again and again
              POST /fedgap/v1/approve        its signature under the manifest it has read

Bodies are JSON; bytes in it are lower-case hexadecimal. An answer other than 200 is `{"error": CODE}`.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from fedgap.crypto import BadBytesError, Identity, digest, is_signed
from fedgap.crypto.codec import Count, Exactly, pack, unpack
from fedgap.errors import FedgapError
from fedgap.ids import FederationId, OrgId, is_id

CA, ENROL, MANIFEST, APPROVE = (f"/fedgap/v1/{name}" for name in ("ca", "enrol", "manifest", "approve"))
HEALTH, STATUS = "/health", "/"
MOST_BODY_BYTES = 1 << 20

CODE_BYTES = 16
_PREFIX = "fedgap1."
_CHECK_BYTES = 4
_GROUPS = 8


class BadInviteError(FedgapError):
    """A text is no invitation, or not a whole one."""

    code = "enrol.bad-invite"
    remedy = "Copy the whole line again, from `fedgap1.` to its end; if that fails ask the operator for a new one."
    exit_status = 2


class InviteExpiredError(FedgapError):
    """An invitation is too old."""

    code = "enrol.expired"
    remedy = "Ask the operator for a new one: `fedgap server invite ORGANISATION`."


class InviteUsedError(FedgapError):
    """A one-time code is unknown, or was used by somebody else already."""

    code = "enrol.refused"
    remedy = "Ask the operator for a new invitation, and whether somebody else has used this one."


class WrongFingerprintError(FedgapError):
    """The server shows another CA than the invitation names."""

    code = "enrol.wrong-fingerprint"
    remedy = "Do not join: something stands between you and the server, or the invitation is for another server."


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """What the operator sends, once, to one organisation.

    Attributes:
        address: `https://host:port`, without a path.
        ca: SHA-256 of the CA's DER bytes; empty if the server's certificate is one that every machine trusts.
        federation, organisation: for whom this is.
        code: good for one enrolment.
        expires_s: seconds since 1970.
    """

    KIND: ClassVar[str] = "invite-text/1"

    address: str
    ca: bytes
    federation: FederationId
    organisation: OrgId
    code: Annotated[bytes, Exactly(CODE_BYTES)] = field(repr=False)
    expires_s: Count


def write_invite(invite: Invite) -> str:
    """Write an invitation as one line of text."""
    content = pack(invite)
    check = digest("invite-check", content)[:_CHECK_BYTES]
    return _PREFIX + base64.urlsafe_b64encode(content + check).decode().rstrip("=")


def read_invite(text: str, *, now_s: float) -> Invite:
    """Read an invitation.

    Args:
        text: as it was sent; white space around and inside it is ignored, as mail programs add it.
        now_s: seconds since 1970.

    Raises:
        BadInviteError: a character is missing or wrong.
        InviteExpiredError: it is too old.
    """
    line = "".join(text.split())
    if not line.startswith(_PREFIX):
        raise BadInviteError("This is no invitation: it does not begin with `fedgap1.`.")
    encoded = line.removeprefix(_PREFIX)
    try:
        whole = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        content, check = whole[:-_CHECK_BYTES], whole[-_CHECK_BYTES:]
        if check != digest("invite-check", content)[:_CHECK_BYTES]:
            raise BadInviteError("The invitation is damaged: its check digits do not fit.")
        invite = unpack(Invite, content)
    except (binascii.Error, ValueError, BadBytesError) as error:
        raise BadInviteError("The invitation is damaged.") from error
    named = is_id(invite.organisation) and is_id(invite.federation)
    if not named or not invite.address.startswith("https://") or len(invite.ca) not in {0, 32}:
        raise BadInviteError("The invitation names no organisation or no https address.")
    if now_s >= invite.expires_s:
        raise InviteExpiredError("The invitation is no longer valid.")
    return invite


def check_ca(invite: Invite, der: bytes) -> None:
    """Accept the CA that the server shows if it is the one the invitation names.

    Raises:
        WrongFingerprintError: it is not.
    """
    if hashlib.sha256(der).digest() != invite.ca:
        raise WrongFingerprintError("The server's CA is not the one that the invitation names.")


def spoken(organisation: OrgId, public: bytes, node_public: str) -> str:
    """Give the fingerprint of an organisation's keys as eight groups of five digits, to compare over the phone."""
    name = digest("spoken", organisation, public, node_public)
    groups = [int.from_bytes(name[at : at + 4], "big") % 100_000 for at in range(0, 4 * _GROUPS, 4)]
    return " ".join(f"{group:05d}" for group in groups)


Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class EnrolRequest(_Body):
    """An organisation shows its public keys.

    Attributes:
        code: from the invitation, hexadecimal.
        public: Ed25519 key it signs with, hexadecimal.
        node_public: Flower's node key: EC, one line in OpenSSH's format, without a comment.
        signature: see `sign_enrolment`.
    """

    code: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", repr=False)]
    organisation: Id
    public: Hex32
    node_public: Annotated[str, Field(pattern=r"^ecdsa-sha2-nistp(256|384|521) [A-Za-z0-9+/=]{80,400}$")]
    signature: Hex64


class EnrolReply(_Body):
    """What an organisation that enrolled is told; enrolling again with the same keys gives the same again.

    Attributes:
        status: `approved`, or `waiting` for the operator to compare fingerprints.
        federation: `FederationConfig.document()`; organisations have no data in it.
        plan: hexadecimal digest of the federation's settings (`course.plan_digest`).
        policy: text of the funding policy, if there is one.
        manifest: packed `SignedManifest` in hexadecimal, or null while there is none.
    """

    status: Literal["waiting", "approved"]
    federation: dict[str, Any]
    plan: Hex32
    policy: str | None
    manifest: str | None


class PolicyNotice(_Body):
    """A version of the funding policy after the first.

    Attributes:
        version: from 2.
        policy: canonical bytes in hexadecimal (`fedgap.funding.Policy`).
        from_period: from when it applies.
        in_force: whether it is in the ledger; else it waits for approvals.
        approved: keys of the members that have approved it, in hexadecimal.
    """

    version: Annotated[int, Field(ge=2, le=2**40)]
    policy: Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$", max_length=1 << 18)]
    from_period: Annotated[int, Field(ge=1, le=2**40)]
    in_force: bool
    approved: tuple[Hex32, ...]


class ManifestReply(_Body):
    """The manifest in force and the one that may follow; both packed `SignedManifest` in hexadecimal, or null.

    Attributes:
        current: in force: the next round runs under it.
        proposed: waits for signatures of the members that stand in it.
        earlier: every manifest that was in force before, oldest first, so that amendments can be checked one by one.
        shape: packed `preparation.Shape` in hexadecimal, or null while there is none.
        federation: `FederationConfig.document()` that the newest of these manifests is made from.
        policy: text of the funding policy, if there is one; the manifest holds its digest.
        policies: later versions of it, in order.
        evaluation: packed `Evaluation` in hexadecimal: what contributions are measured on; null if they are not.
    """

    current: str | None
    proposed: str | None
    earlier: tuple[str, ...] = ()
    shape: str | None
    federation: dict[str, Any]
    policy: str | None
    policies: tuple[PolicyNotice, ...] = ()
    evaluation: str | None = None


class ApproveRequest(_Body):
    """A member signs a manifest: `fedgap.secagg.manifest.approve(manifest, identity).signature`.

    Or a version of the funding policy: `manifest` is its name (`fedgap.funding.amendment.version_name`), `signature`
    that of a `PolicyApproved`.
    """

    organisation: Id
    manifest: Hex32
    signature: Hex64


def sign_enrolment(identity: Identity, invite: Invite, node_public: str) -> EnrolRequest:
    """Make the request with which an organisation joins: whoever signs has the key, and means this federation."""
    signature = identity.sign(
        "enrol", invite.federation, invite.organisation, invite.code, identity.public, node_public
    )
    return EnrolRequest(
        code=invite.code.hex(),
        organisation=invite.organisation,
        public=identity.public.hex(),
        node_public=node_public,
        signature=signature.hex(),
    )


def is_enrolment(request: EnrolRequest, federation: FederationId) -> bool:
    """Tell whether the request is signed by the key it shows."""
    public, code = bytes.fromhex(request.public), bytes.fromhex(request.code)
    signature = bytes.fromhex(request.signature)
    said = (federation, request.organisation, code, public, request.node_public)
    return is_signed(public, signature, "enrol", *said)
