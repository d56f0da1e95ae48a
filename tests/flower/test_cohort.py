"""The cohort over a mailbox that loses, delays, forges and breaks: the round is never stalled and never crashes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict

from fedgap import rounds
from fedgap.crypto import digest
from fedgap.errors import InterruptedRunError
from fedgap.flower import cohort as cohorts
from fedgap.flower import contract
from fedgap.flower.cohort import UNSEEN, FlowerCohort, purpose_of
from fedgap.flower.contract import BEHIND, CLAIM, SUMS, Reply, Request
from fedgap.flower.course import Standpoint
from fedgap.flower.superlink import Arrived
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.local import LocalCohort, local_federation
from fedgap.secagg.messages import Invite, Sealed
from fedgap.secagg.plain import plain_sum
from fedgap.secagg.recall import Invitations
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import pack, unpack

N = 4
ORGS = [OrgId(f"org-{seat}") for seat in range(N)]
LOCAL = local_federation(
    FederationId("test"),
    dict.fromkeys(ORGS, 1),
    Encoding(parameters=6, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1),
    seed=1,
)
PLAN = Plan(
    manifest=LOCAL.manifest.digest,
    round=1,
    attempt=1,
    state=digest("state"),
    clip=1.0,
    training=LOCAL.manifest.training,
)
UPDATE = Contribution(update=np.linspace(0, 1, 6, dtype=np.float32), statistics=np.zeros(0, np.float32), metrics={})

Site = Callable[[Request], RecordDict | None]
"""What a node does with a request: its answer, or None for silence."""


@dataclass(slots=True)
class Clock:
    """Time that passes only while the server waits: what it does takes none, however busy the machine is."""

    now: float = 1000.0


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohorts, "time", SimpleNamespace(monotonic=lambda: CLOCK.now))


@dataclass(slots=True)
class Mail:
    """A mailbox in memory; every node answers when the server looks."""

    sites: Mapping[int, Site]
    sent: dict[str, tuple[int, RecordDict]] = field(default_factory=dict)
    asked: list[tuple[int, Request]] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    count: int = 0
    calls: int = 0
    last_s: float = 0.0

    def send(self, node: int, content: RecordDict, *, ttl_s: float, group: str, most_bytes: int) -> str | None:
        """Keep a message."""
        assert ttl_s > 0
        assert most_bytes > 0
        assert group
        if node not in self.sites:
            return None
        self.count += 1
        self.sent[str(self.count)] = node, content
        return str(self.count)

    def receive(self, messages: Iterable[str], *, most_bytes: int) -> Iterator[Arrived]:
        """Let every node that was asked answer; first a stray answer of another comes."""
        assert most_bytes > 0
        if not self.asked:
            yield Arrived(message="never sent", content=contract.write_reply(contract.answered(b"stray")))
        for name in list(messages):
            if name not in self.sent:
                continue
            node, content = self.sent[name]
            request = contract.read_request(content)
            self.asked.append((node, request))
            answer = self.sites[node](request)
            if answer is not None:
                del self.sent[name]
                yield Arrived(message=name, content=answer)

    def wait(self, seconds: float) -> None:
        """Every node that answers has done so."""
        CLOCK.now += seconds

    def arrived_bytes(self, message: str) -> int:
        """Half of every answer is here."""
        return 16 << 20 if message in self.sent else 0

    def withdraw(self, messages: Iterable[str]) -> None:
        """Note what nobody waits for."""
        self.withdrawn += list(messages)


def cohort_of(sites: Mapping[int, Site], *, stage_s: float = 0.3, **more: object) -> tuple[FlowerCohort, Mail]:
    """A cohort whose seat k is at node 100 + k."""
    mail = Mail({100 + seat: site for seat, site in sites.items()})
    cohort = FlowerCohort(
        mailbox=mail,
        federation=FederationId("test"),
        nodes={seat: 100 + seat for seat in range(N)},
        stage_s=stage_s,
        upload_bytes=100,
        sum_of=lambda round_: b"sum %d" % round_,
        look_s=0.01,
        **more,  # type: ignore[arg-type]  # of several types
    )
    return cohort, mail


def honest(members: LocalCohort, seat: int) -> Site:
    """A site that does what the protocol says."""

    def answer(request: Request) -> RecordDict:
        reply = next((body for _, body in members.exchange({seat: request.body})), None)
        return contract.write_reply(contract.answered(reply))

    return answer


def silent(request: Request) -> None:
    """A site that is gone."""
    del request


def saying(content: RecordDict) -> Site:
    """A site that always says the same."""
    return lambda request: content  # noqa: ARG005 - whatever is asked


FAULTY: dict[str, Site] = {
    "silent": silent,
    "garbage": saying(RecordDict()),
    "other-version": saying(RecordDict({"head": ConfigRecord({"version": "fedgap/9"})})),
    "lying": saying(contract.write_reply(Reply(status="ok", body=b"no message of the protocol"))),
    "empty": saying(contract.write_reply(Reply(status="ok", body=b""))),
    "refusing": saying(contract.write_reply(Reply(status="refused", code="secagg.out-of-order"))),
    "always-behind": saying(
        contract.write_reply(
            Reply(status="refused", code=BEHIND, body=pack(Standpoint(applied=2**39, state=bytes(32))))
        )
    ),
    "behind-nonsense": saying(contract.write_reply(Reply(status="refused", code=BEHIND, body=b"?"))),
}


def members() -> LocalCohort:
    """Fresh members in this process."""
    return LOCAL.cohort(dict.fromkeys(ORGS, lambda _: UPDATE), seed=3)


@pytest.mark.parametrize("fault", FAULTY)
def test_one_faulty_participant_neither_stalls_nor_crashes_the_round(fault: str) -> None:
    local = members()
    sites = {seat: honest(local, seat) for seat in range(N)} | {2: FAULTY[fault]}
    cohort, mail = cohort_of(sites)
    cohort.number = PLAN.number
    began = CLOCK.now

    opened = rounds.run_round(LOCAL.server, cohort, rounds.MemoryJournal(), PLAN, previous=None, attempts=1)

    expected, seats = plain_sum(LOCAL.manifest, [(ORGS[seat], UPDATE) for seat in (0, 1, 3)], clip=1.0, round_=1)
    assert seats == (0, 1, 3)
    assert np.array_equal(opened.total, expected)
    assert CLOCK.now - began < 5 * (cohort.stage_s + cohort.look_s)
    assert not set(mail.sent) - set(mail.withdrawn)


def test_a_whole_round_gives_the_plain_sum_and_counts_its_bytes() -> None:
    local = members()
    took: list[str] = []
    cohort, mail = cohort_of({seat: honest(local, seat) for seat in range(N)}, took=lambda what, _: took.append(what))
    opened = rounds.run_round(LOCAL.server, cohort, rounds.MemoryJournal(), PLAN, previous=None, attempts=1)

    expected, _ = plain_sum(LOCAL.manifest, [(org, UPDATE) for org in ORGS], clip=1.0, round_=1)
    assert np.array_equal(opened.total, expected)
    assert took == ["invite", "adverts", "relay", "survivors", "certificate"]
    assert cohort.down == sum(len(request.body) for _, request in mail.asked)
    assert cohort.up > 0


def test_a_member_that_is_behind_gets_the_sums_it_lacks_one_by_one_and_the_invitation_again() -> None:
    asked: list[tuple[str, bytes]] = []

    def late(request: Request) -> RecordDict:
        asked.append((request.purpose, request.body))
        if len(asked) == 1:
            standpoint = Standpoint(applied=2, state=bytes(32))
            return contract.write_reply(Reply(status="refused", code=BEHIND, body=pack(standpoint)))
        return contract.write_reply(contract.answered(b"yes"))

    cohort, _ = cohort_of({0: late})
    cohort.number = (6, 1)
    request = rounds.begin(LOCAL.server, PLAN, previous=None, cohort=[0]).requests[0]

    assert list(cohort.exchange({0: request})) == [(0, b"yes")]
    assert asked == [("invite", request), (SUMS, b"sum 3"), (SUMS, b"sum 4"), ("invite", request)]


def test_a_member_that_is_asked_for_its_costs_too_early_gets_the_sums_first() -> None:
    asked: list[str] = []
    behind = Reply(status="refused", code=BEHIND, body=pack(Standpoint(applied=1, state=bytes(32))))

    def late(request: Request) -> RecordDict:
        asked.append(request.purpose)
        return contract.write_reply(behind if len(asked) == 1 else contract.answered(b"yes"))

    cohort, _ = cohort_of({0: late})
    cohort.number = (5, 0)

    assert list(cohort.ask(CLAIM, {0: b""})) == [(0, b"yes")]
    assert asked == [CLAIM, SUMS, SUMS, CLAIM]


def test_whoever_lacks_the_last_list_is_sent_the_whole_invitation_once_and_then_the_sums() -> None:
    asked: dict[int, list[tuple[str, bytes]]] = {0: [], 1: []}
    unseen = contract.write_reply(Reply(status="refused", code=UNSEEN))
    standpoint = Standpoint(applied=3, state=bytes(32))
    behind = contract.write_reply(Reply(status="refused", code=BEHIND, body=pack(standpoint)))
    answers = {0: [unseen, behind, contract.write_reply(contract.answered(b"")), unseen], 1: [unseen, unseen]}

    def site(seat: int) -> Site:
        def answer(request: Request) -> RecordDict:
            asked[seat].append((request.purpose, request.body))
            return answers[seat].pop(0) if answers[seat] else contract.write_reply(contract.answered(b"yes"))

        return answer

    made: list[bytes] = []

    def make() -> bytes:
        made.append(whole)
        return whole

    short, whole = _short(), b"the whole one"
    cohort, _ = cohort_of({0: site(0), 1: site(1)})
    cohort.number = (6, 1)
    requests = Invitations({0: short, 1: short}, make)

    assert list(cohort.exchange(requests)) == []
    assert asked[0] == [("invite", short), ("invite", whole), (SUMS, b"sum 4"), ("invite", whole)]
    assert asked[1] == [("invite", short), ("invite", whole)]
    assert made == [whole]
    assert list(cohort.exchange(requests)) == [(0, b"yes"), (1, b"yes")]


def _short() -> bytes:
    """A short invitation to round 2."""
    first = rounds.run_round(LOCAL.server, members(), rounds.MemoryJournal(), PLAN, previous=None, attempts=1)
    plan = replace(PLAN, round=2, state=digest("next"))
    begun = rounds.begin(LOCAL.server, plan, previous=first.outcome, cohort=[0], knowing=first.answered)
    assert isinstance(begun.requests, Invitations)
    assert unpack(Invite, unpack(Sealed, begun.requests.whole()).body).previous == first.outcome
    return begun.requests[0]


def test_who_is_not_connected_is_not_waited_for() -> None:
    heard: list[tuple[int, str]] = []
    cohort, _ = cohort_of({}, stage_s=60, heard=lambda seat, _, what: heard.append((seat, what)))
    cohort.nodes = {0: 100}
    began = CLOCK.now

    assert list(cohort.ask("statistics", {0: b"", 1: b""})) == []
    assert began == CLOCK.now
    assert heard == [(0, "not-connected"), (1, "not-connected")]


def test_a_server_that_is_told_to_stop_does_not_wait_for_the_end_of_the_exchange() -> None:
    cohort, mail = cohort_of({0: silent}, stage_s=60, stopped=lambda: True)

    with pytest.raises(InterruptedRunError):
        list(cohort.ask("statistics", {0: b""}))
    assert mail.withdrawn == ["1"]


def test_members_are_invited_only_once_a_quorum_is_ready() -> None:
    local = members()
    cohort, _ = cohort_of({0: honest(local, 0)}, ready=lambda: {0: 100})
    cohort.nodes = {}
    request = rounds.begin(LOCAL.server, PLAN, previous=None, cohort=[0]).requests

    assert [seat for seat, _ in cohort.exchange(request)] == [0]


def test_the_purpose_of_a_sealed_request_is_read_without_unpacking_it() -> None:
    now = rounds.begin(LOCAL.server, PLAN, previous=None, cohort=range(N))
    local = members()
    found = []
    while now.requests:
        found.append(purpose_of(next(iter(now.requests.values()))))
        now = rounds.step(LOCAL.server, now.state, list(local.exchange(now.requests)))

    assert tuple(found) == contract.ROUND_PURPOSES


def test_it_is_said_how_far_a_large_upload_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of uploads only, and only of large ones: statistics are through in a moment."""
    monkeypatch.setattr(cohorts, "TOLD_EVERY_S", 0.0)
    told: list[tuple[int, str, int, int]] = []
    cohort, _ = cohort_of({1: silent}, stage_s=0.1, through=lambda *what: told.append(what))

    for upload_bytes, purpose in ((100, "relay"), (32 << 20, "statistics"), (32 << 20, "relay")):
        assert not told
        cohort.upload_bytes = upload_bytes
        assert list(cohort.ask(purpose, {1: b""})) == []

    assert set(told) == {(1, "relay", 16 << 20, 32 << 20)}


@pytest.mark.parametrize("early", [True, False])
def test_what_can_be_done_while_members_train_is_done_once_they_are_asked_and_counted_as_far_as_they_wait(
    *, early: bool
) -> None:
    done, late = list[Mail](), list[float]()
    sites = {seat: saying(contract.write_reply(contract.answered(b"here"))) for seat in range(N)}
    cohort, mail = cohort_of(sites, delayed=late.append)

    def beside() -> None:
        assert len(mail.sent) == N
        done.append(mail)

    cohort.beside = beside
    mail.last_s = CLOCK.now + (-5 if early else 5)

    for purpose in ("invite", "adverts", "relay", "survivors"):
        assert len(list(cohort.ask(purpose, dict.fromkeys(range(N), b"")))) == N

    assert done == [mail]
    assert late == [5.0 if early else 0.0]


def test_whoever_is_still_at_work_when_that_is_done_has_not_waited() -> None:
    late = list[float]()
    cohort, _ = cohort_of({0: silent, 1: saying(contract.write_reply(contract.answered(b"here")))}, delayed=late.append)

    assert [seat for seat, _ in cohort.ask("relay", {0: b"", 1: b""})] == [1]

    assert late == []
