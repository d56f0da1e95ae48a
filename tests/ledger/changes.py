"""A roster and a policy that change between the same two periods."""

from collections.abc import Iterator

from fedgap.crypto import digest
from fedgap.ledger import Signed
from fedgap.records import MemberChanged, PolicyApproved, PolicySigned, Record
from tests.ledger.tale import Tale

NEW = b"another rule"


def changed_at_once(tale: Tale, *, leaves_first: bool = True) -> Iterator[Record | Signed]:
    """Five organisations, two periods; after the first all approve another policy, and the last organisation leaves.

    Args:
        tale: of five.
        leaves_first: before the policy is signed, or after it.
    """
    yield PolicySigned(version=1, policy=tale.policy, from_period=1)
    yield from tale.round(1)
    yield from tale.settlement(1)
    for org in tale.orgs:
        yield tale.by(PolicyApproved(version=2, policy=digest("policy", NEW), from_period=2, organisation=org))
    signed = PolicySigned(version=2, policy=NEW, from_period=2)
    if not leaves_first:
        yield signed
    gone = tale.orgs[-1]
    everybody, tale.orgs = list(tale.keys.values()), tale.orgs[:-1]
    tale.manifest = tale.version(2, f=1, tau=3)
    yield tale.signed(tale.manifest, *everybody)
    yield MemberChanged(organisation=gone, version=2, change="left", manifest=tale.manifest.digest)
    if leaves_first:
        yield signed
    yield from tale.round(2)
    tale.policy = NEW
    yield from tale.settlement(2)
