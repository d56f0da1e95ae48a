"""Manifests at the server: which one is in force, which one waits for signatures, which one the book calls for.

A version comes into force between two rounds, once those have signed it who must (`fedgap.secagg.manifest`); until then
the one before it stays in force, so whoever has not signed is absent and blocks nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fedgap.config import FederationConfig
from fedgap.crypto import system
from fedgap.flower.book import Book, Enrolled
from fedgap.flower.charter import Founding, Line, found, members_of, write_manifest
from fedgap.flower.measuring import ChangedRowsError
from fedgap.flower.preparation import Shape, rows_of
from fedgap.ids import OrgId
from fedgap.learning.task import Task
from fedgap.secagg.errors import BadManifestError
from fedgap.secagg.manifest import Approval, Manifest, SignedManifest, check_amendment, check_founding
from fedgap.secagg.quorum import MIN_MEMBERS
from fedgap.secagg.wire import pack, unpack
from fedgap.simulation.shards import Shards

SHARED, SHAPE, PROPOSED, EVALUATION, SECRET = "shared", "shape", "proposed", "evaluation", "evaluation-secret"


@dataclass(frozen=True, slots=True)
class Roster:
    """Manifests in the book."""

    book: Book
    server: bytes

    def versions(self) -> list[SignedManifest]:
        """Give every version that was in force, oldest first; the last one is in force."""
        found_, number = [], 1
        while (content := self.book.kept(_name(number))) is not None:
            found_.append(unpack(SignedManifest, content))
            number += 1
        return found_

    def in_force(self) -> SignedManifest | None:
        """Give the manifest in force."""
        versions = self.versions()
        return versions[-1] if versions else None

    def proposed(self) -> SignedManifest | None:
        """Give the manifest that waits for signatures, with those it has."""
        content = self.book.kept(PROPOSED)
        return None if content is None else self._signed(unpack(Manifest, content))

    def founding(
        self, config: FederationConfig, task: Task, policy: str | None
    ) -> tuple[Founding, Shards | None] | None:
        """Give what all versions have in common, once it is known, with the rows that contributions are measured on.

        Raises:
            ChangedRowsError: these are other rows than before.
        """
        shared, shape = self.book.kept(SHARED), self.book.kept(SHAPE)
        if shared is None or shape is None:
            return None
        secret = self.book.kept(SECRET) or system(32)
        self.book.keep(SECRET, secret)
        founding, shards = found(config, task, shared, unpack(Shape, shape), policy, secret=secret)
        evaluation = b"" if founding.evaluation is None else pack(founding.evaluation)
        if self.versions() and (self.book.kept(EVALUATION) or b"") != evaluation:
            raise ChangedRowsError("The evaluation rows are others than when the federation was founded.")
        self.book.keep(EVALUATION, evaluation)
        return founding, shards

    def update(
        self,
        founding: Founding,
        config: FederationConfig,
        members: Sequence[Enrolled],
        *,
        between_keys: Collection[OrgId] = (),
    ) -> SignedManifest | None:
        """Propose what the book calls for, and put into force what is signed.

        Args:
            founding: what all versions have in common.
            config: the federation's file as it is now, with the names of all members.
            members: the organisations that are to take part, approved and prepared.
            between_keys: organisations that showed new keys and are not ready with them; their lines stay as they are.

        Returns:
            the manifest in force.
        """
        current = self.in_force()
        before = () if current is None else current.manifest.members
        kept = [Line(org=m.id, name=m.name, public=m.public, rows=m.weight) for m in before if m.id in between_keys]
        lines = [line_of(config, member) for member in members] + kept
        version = 1 if current is None else current.manifest.version + 1
        if len(lines) < MIN_MEMBERS or (current is not None and members_of(config, lines) == current.manifest.members):
            self.book.drop(PROPOSED)
            return current
        proposed = self.proposed()
        if proposed is None or proposed.manifest.members != members_of(config, lines):
            self.book.keep(PROPOSED, pack(write_manifest(founding, lines, self.server, version=version)))
        return self._put_into_force(current)

    def unsigned(self) -> tuple[OrgId, ...]:
        """Name the members of the proposed manifest that have not signed it."""
        proposed = self.proposed()
        if proposed is None:
            return ()
        signed = proposed.approved_by(member.public for member in proposed.manifest.members)
        return tuple(member.id for member in proposed.manifest.members if member.public not in signed)

    def _put_into_force(self, current: SignedManifest | None) -> SignedManifest | None:
        proposed = self.proposed()
        if proposed is None:
            return current
        try:
            if current is None:
                check_founding(proposed)
            else:
                check_amendment(current.manifest, proposed)
        except BadManifestError:
            return current
        self.book.keep(_name(proposed.manifest.version), pack(proposed))
        self.book.drop(PROPOSED)
        return proposed

    def _signed(self, manifest: Manifest) -> SignedManifest:
        signatures = self.book.signatures(manifest.digest)
        approvals = tuple(Approval(public=public, signature=signature) for public, signature in signatures)
        return SignedManifest(manifest=manifest, approvals=approvals)


def line_of(config: FederationConfig, member: Enrolled) -> Line:
    """Make an organisation's line from the book and the federation's file."""
    organisation = config.organisation(member.org)
    if member.public is None or member.statistics is None:
        raise ValueError("an organisation in a roster has enrolled and told its rows")
    rows = organisation.weight or rows_of(member.statistics)
    return Line(org=member.org, name=organisation.name, public=member.public, rows=rows)


def _name(version: int) -> str:
    return f"manifest-{version}"
