"""Whatever the server and the members sign, in whatever order: an entry is added or refused with its reason."""

import dataclasses
import random

import pytest

from fedgap.crypto import digest
from fedgap.ids import OrgId
from fedgap.ledger import BadEntryError, Chain, Signed
from fedgap.ledger.entry import server_entry
from fedgap.records import BadRecordError, Record, write_record
from tests.ledger.tale import Tale

TALE = Tale(n=4, rounds=2)
STORY = tuple(TALE.story())
Fact = Record | Signed


def body(fact: Fact, chain: Chain) -> bytes:
    """Stored bytes of the next entry, by the server or as it was signed."""
    if isinstance(fact, Signed):
        return fact.entry().body
    return server_entry(write_record(fact), chain.place_of(fact), TALE.server).body


def another(rng: random.Random, fact: Fact) -> Fact:
    """Another value in one field, signed by anybody."""
    record = fact.record if isinstance(fact, Signed) else fact
    field = rng.choice(dataclasses.fields(record)).name
    value = getattr(record, field)
    others: list[object] = [value]
    match value:
        case int():
            others = [value + 1, max(0, value - 1), 1, 2]
        case tuple():
            others = [(), value[1:], value[:-1], value[::-1], value + value]
        case bytes():
            others = [bytes(32), digest("other")]
        case str():
            others = [*TALE.orgs, OrgId("stranger")]
    record = dataclasses.replace(record, **{field: rng.choice(others)})  # type: ignore[arg-type]  # of the right type
    if not isinstance(fact, Signed):
        return record
    try:
        return Signed.by(rng.choice(list(TALE.keys.values())), record, origin=TALE.origin)
    except BadRecordError:
        return fact


def some_roster(rng: random.Random) -> Fact:
    """The next manifest, which all approve, without some members."""
    tale = Tale(n=4, rounds=2)
    tale.orgs = sorted(rng.sample(tale.orgs, rng.choice([3, 4])))
    return TALE.signed(tale.version(2, f=0, tau=3))


def shuffled(rng: random.Random) -> list[Fact]:
    """The story with a few things changed, left out, said again, or a roster in the middle."""
    facts = list(STORY)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(facts))
        match rng.randrange(5):
            case 0 | 1:
                facts[at] = another(rng, facts[at])
            case 2:
                del facts[at]
            case 3:
                facts.insert(at, rng.choice(facts))
            case _:
                facts.insert(at, some_roster(rng))
    return facts


@pytest.mark.parametrize("start", range(0, 400, 100))
def test_an_entry_is_added_or_refused_whatever_came_before(start: int) -> None:
    """Signatures are taken for valid, so that the rules between records meet everything."""
    refused = set()
    for seed in range(start, start + 100):
        chain, rng = Chain(lambda *_: True), random.Random(seed)  # noqa: S311 - repeatable on purpose
        chain.add(body(TALE.signed(TALE.manifest), chain))
        for fact in shuffled(rng):
            size, root = chain.size, chain.root
            try:
                chain.add(body(fact, chain))
            except (BadEntryError, BadRecordError) as error:
                refused.add(getattr(error, "fault", error.code))
                assert (size, root) == (chain.size, chain.root)
    assert len(refused) > 8
