"""Which versions of the manifest settle together: a tenure is versions in a row that differ in keys and names only.

A new key leaves a period open: the rounds before and after it are opened together, under the name of the tenure's first
version. Another organisation, weight or quorum ends the tenure. The rounds of a period under one tenure are a *part* of
it: opened by that tenure's organisations, with the keys they have by then, when the period is due.

    signed in a round (who stayed)     the key of the version that the round ran under
    signed later about a round (D_Q)   any key its organisation has had since
    signed in a settlement             the newest key
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from fedgap.ids import OrgId
from fedgap.secagg.manifest import Manifest, Member
from fedgap.secagg.me import Me

_MAY_CHANGE = ("version", "members", "amended_by")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tenure:
    """One roster, for as long as it stays.

    Attributes:
        versions: its manifests by digest, oldest first.
        manifest: the last of them, with the newest keys of its organisations; who left keeps its last one.
        later: every manifest after them, oldest first.
        name: digest of its first version: settlements are bound to it, so new keys cannot begin a second one.
    """

    versions: dict[bytes, Manifest]
    manifest: Manifest
    later: tuple[Manifest, ...]
    name: bytes

    @classmethod
    def of(cls, manifest: Manifest) -> "Tenure":
        """The tenure of a federation that has only this version."""
        return tenures([manifest])[0]

    @property
    def first(self) -> int:
        """Number of its first version."""
        return next(iter(self.versions.values())).version

    def keys(self, seat: int, *, since: bytes) -> frozenset[bytes]:
        """Every key that the organisation at a seat has had since a version of this tenure."""
        org, at = self.manifest.members[seat].id, list(self.versions).index(since)
        own = [one.members[seat].public for one in list(self.versions.values())[at:]]
        return frozenset([*own, *(member.public for one in self.later for member in one.members if member.id == org)])

    def seat_of(self, org: OrgId) -> int | None:
        """An organisation's seat; None if it has none."""
        return next((seat for seat, member in enumerate(self.manifest.members) if member.id == org), None)

    def as_one_of(self, me: Me) -> Me | None:
        """Who we are in this tenure, with our present key; None if we were not in it."""
        seat = self.seat_of(me.manifest.members[me.seat].id)
        if seat is None or self.manifest.members[seat].public != me.identity.public:
            return None
        return Me(self.manifest, seat, me.identity, me.threads)


def tenures(manifests: Sequence[Manifest]) -> tuple[Tenure, ...]:
    """Cut all versions so far, oldest first, into tenures."""
    runs: list[list[Manifest]] = []
    for manifest in manifests:
        if runs and _terms(runs[-1][0]) == _terms(manifest):
            runs[-1].append(manifest)
        else:
            runs.append([manifest])
    found = []
    for place, run in enumerate(runs):
        later = tuple(manifest for following in runs[place + 1 :] for manifest in following)
        versions = {manifest.digest: manifest for manifest in run}
        newest = _with_newest_keys(run[-1], later)
        found.append(Tenure(versions=versions, manifest=newest, later=later, name=next(iter(versions))))
    return tuple(found)


def tenure_of(known: Sequence[Tenure], version: bytes) -> Tenure | None:
    """The tenure that a version belongs to, by its digest."""
    return next((tenure for tenure in known if version in tenure.versions), None)


def _terms(manifest: Manifest) -> list[Any]:
    """What ends a tenure when it changes."""
    fixed = [getattr(manifest, one.name) for one in fields(manifest) if one.name not in _MAY_CHANGE]
    return [*fixed, [(member.id, member.weight) for member in manifest.members]]


def _with_newest_keys(last: Manifest, later: Sequence[Manifest]) -> Manifest:
    """Put in the keys of later versions, unless somebody took over another one's; a manifest has each key once."""
    newest = {member.id: member.public for manifest in later for member in manifest.members}
    members: tuple[Member, ...] = tuple(replace(m, public=newest.get(m.id, m.public)) for m in last.members)
    keys = {last.server, *(member.public for member in members)}
    return replace(last, members=members) if later and len(keys) > len(members) else last
