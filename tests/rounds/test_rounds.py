"""Whole rounds: the exact sum of whoever stayed, an end without a sum below the quorum, and rounds that wait."""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgap import rounds
from fedgap.crypto import digest, root_of_chunks
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.errors import ComplaintError, QuorumLostError, RoundSuspendedError, UnusableSumError
from fedgap.secagg.local import Change, LocalFederation, Network, local_federation
from fedgap.secagg.messages import Accusation, Complaint, Upload
from fedgap.secagg.plain import mean_of, plain_mean, plain_sum
from fedgap.secagg.stages import Opened
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import pack, unpack

EXCHANGES = ("invite", "adverts", "relay", "survivors", "certificate")
SIZE = 40


def _federation(n: int, size: int) -> tuple[LocalFederation, dict[OrgId, Contribution]]:
    encoding = Encoding(parameters=size, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
    orgs = [OrgId(f"org-{k:03d}") for k in range(n)]
    federation = local_federation(FederationId("test"), {org: 10 + k for k, org in enumerate(orgs)}, encoding, seed=n)
    rng = np.random.default_rng(n)
    contributions = {
        org: Contribution(
            update=rng.normal(size=size).astype(np.float32), statistics=np.zeros(0, np.float32), metrics={}
        )
        for org in orgs
    }
    return federation, contributions


class Case:
    """A federation whose network can be meddled with."""

    def __init__(self, n: int, size: int = SIZE) -> None:
        self.federation, self.contributions = _federation(n, size)
        self.manifest = self.federation.manifest
        trainers = {org: self._trainer(org) for org in self.contributions}
        self.cohort = self.federation.cohort(trainers, seed=n)
        self.journal = rounds.MemoryJournal(keep_uploads=True)
        self.plan = Plan(
            manifest=self.manifest.digest,
            round=1,
            attempt=1,
            state=digest("state"),
            clip=1.0,
            training=self.manifest.training,
        )

    def _trainer(self, org: OrgId) -> Callable[[Plan], Contribution]:
        return lambda _: self.contributions[org]

    def run(self, on_request: Change | None = None, on_reply: Change | None = None, attempts: int = 1) -> Opened:
        """Run the round over a network that may lose or change messages."""
        keep: Change = lambda _exchange, _seat, data: data  # noqa: E731 - the network's own default
        network = Network(self.cohort, on_request or keep, on_reply or keep)
        return rounds.run_round(
            self.federation.server, network, self.journal, self.plan, previous=None, attempts=attempts
        )

    def plain(self, seats: Collection[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
        """The sum over some members without any protocol."""
        chosen = [item for seat, item in enumerate(self.contributions.items()) if seat in seats]
        return plain_sum(self.manifest, chosen, clip=1.0, round_=1)[0]


def _losing(exchange: str, seats: Collection[int]) -> Change:
    return lambda current, seat, data: None if current == exchange and seat in seats else data


def _stayed(opened: Opened) -> set[int]:
    return {survivor.seat for survivor in opened.outcome.survivors}


@pytest.mark.parametrize("n", [3, 4, 7, 12])
def test_with_everybody_there_the_sum_is_that_of_the_plain_protocol(n: int) -> None:
    case = Case(n)
    opened = case.run()
    assert np.array_equal(opened.total, case.plain(range(n)))
    assert _stayed(opened) == set(range(n))
    assert opened.faults == ()


def test_masked_and_plain_protocols_give_the_same_mean_bit_for_bit() -> None:
    case = Case(5)
    masked = mean_of(case.manifest, case.run().total, seats=range(5), clip=1.0)
    plain = plain_mean(case.manifest, case.contributions, clip=1.0, round_=1)
    assert masked.update.tobytes() == plain.update.tobytes()
    assert (masked.clipped, masked.survivors) == (plain.clipped, plain.survivors)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 9), st.data())
def test_any_dropouts_that_keep_the_quorum_give_exactly_the_sum_of_who_stayed(n: int, data: st.DataObject) -> None:
    """Up to n - u_min leave before or with their upload, up to |U| - t after it, at any exchange, in any direction."""
    case = Case(n)
    order = data.draw(st.permutations(range(n)))
    early = order[: data.draw(st.integers(0, n - case.manifest.quorum.u_min))]
    staying = [seat for seat in order if seat not in early]
    late = staying[: data.draw(st.integers(0, len(staying) - case.manifest.quorum.t))]
    gone = {seat: data.draw(st.sampled_from(EXCHANGES[:3])) for seat in early}
    gone |= {seat: data.draw(st.sampled_from(EXCHANGES[3:])) for seat in late}
    answers_lost = data.draw(st.booleans())

    def lose(exchange: str, seat: int, message: bytes) -> bytes | None:
        left = seat in gone and EXCHANGES.index(exchange) >= EXCHANGES.index(gone[seat])
        return None if left else message

    opened = case.run(on_reply=lose) if answers_lost else case.run(on_request=lose)
    assert _stayed(opened) == set(staying)
    assert np.array_equal(opened.total, case.plain(staying))


@pytest.mark.parametrize(("exchange", "name"), [("invite", "advertise"), ("adverts", "share"), ("relay", "upload")])
def test_one_too_few_before_the_agreement_ends_the_attempt_and_the_next_round_works(exchange: str, name: str) -> None:
    case = Case(7)
    leaving = range(7 - case.manifest.quorum.u_min + 1)
    with pytest.raises(QuorumLostError) as caught:
        case.run(on_reply=_losing(exchange, leaving))
    assert caught.value.cause.startswith(f"In exchange '{name}' 4")
    assert not [event for event in case.journal.events if isinstance(event, rounds.AggregateReleased)]
    assert case.journal.held() is None
    case.plan = replace(case.plan, round=2)
    assert np.array_equal(case.run().total, plain_sum(case.manifest, case.contributions.items(), clip=1.0, round_=2)[0])


def test_one_signature_too_few_ends_the_attempt_and_a_new_attempt_works() -> None:
    case = Case(7)
    with pytest.raises(QuorumLostError, match="agree"):
        case.run(on_reply=_losing("survivors", range(3)))
    case.plan = replace(case.plan, attempt=2)
    assert np.array_equal(case.run().total, case.plain(range(7)))


def test_new_attempts_are_made_while_nothing_was_opened() -> None:
    case = Case(4)
    failures = iter([True, True, True, True])

    def lose_the_first_time(exchange: str, seat: int, message: bytes) -> bytes | None:
        return None if exchange == "invite" and seat < 2 and next(failures, False) else message

    opened = case.run(on_reply=lose_the_first_time, attempts=3)
    assert opened.outcome.plan.attempt == 3
    ended = [event for event in case.journal.events if isinstance(event, rounds.AttemptEnded)]
    assert [event.code for event in ended] == ["secagg.quorum-lost"] * 2


def test_one_share_too_few_reveals_nothing_and_the_round_resumes_with_the_same_bytes() -> None:
    case = Case(7)
    seen: list[bytes] = []

    def lose(exchange: str, seat: int, message: bytes) -> bytes | None:
        if exchange == "certificate":
            seen.append(message)
        return None if exchange == "certificate" and seat < 3 else message

    with pytest.raises(RoundSuspendedError) as caught:
        case.run(on_request=lose)
    assert (caught.value.present, caught.value.needed) == (4, 5)
    assert not [event for event in case.journal.events if isinstance(event, rounds.AggregateReleased)]

    with pytest.raises(RoundSuspendedError):  # nothing else runs while it waits
        case.run()
    with pytest.raises(RoundSuspendedError):  # nobody returned
        rounds.resume_round(case.federation.server, Network(case.cohort, lose), case.journal)
    opened = rounds.resume_round(case.federation.server, case.cohort, case.journal)
    assert np.array_equal(opened.total, case.plain(range(7)))
    assert len(set(seen)) == 1
    assert case.journal.held() is None


def test_without_a_waiting_round_there_is_nothing_to_resume() -> None:
    case = Case(3)
    with pytest.raises(ValueError, match="no round waits"):
        rounds.resume_round(case.federation.server, case.cohort, case.journal)


def test_a_round_needs_an_attempt() -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        Case(3).run(attempts=0)


def test_three_need_all_three_and_a_manifest_may_forgive_one_silence_at_the_end() -> None:
    strict = Case(3)
    with pytest.raises(RoundSuspendedError):
        strict.run(on_reply=_losing("certificate", [1]))
    case = Case(3)
    weaker = replace(case.manifest, tau=2)
    case.federation = replace(case.federation, manifest=weaker, server=replace(case.federation.server, manifest=weaker))
    case.cohort = case.federation.cohort({org: case._trainer(org) for org in case.contributions}, seed=3)
    case.manifest, case.plan = weaker, replace(case.plan, manifest=weaker.digest)
    assert np.array_equal(case.run(on_reply=_losing("certificate", [1])).total, case.plain(range(3)))


def test_the_events_tell_the_story_of_a_round() -> None:
    case = Case(4)
    case.run(on_reply=_losing("adverts", [2]))
    story = [(type(event).__name__, getattr(event, "seats", None)) for event in case.journal.events]
    assert story == [
        ("RoundOpened", None),
        ("RosterAgreed", (0, 1, 3)),
        ("SurvivorsAgreed", (0, 1, 3)),
        ("AggregateReleased", (0, 1, 3)),
    ]


def test_uploads_are_spooled_and_the_sum_is_kept() -> None:
    case = Case(3)
    opened = case.run()
    assert set(case.journal.uploads) == {((1, 1), seat) for seat in range(3)}
    assert case.journal.outcome == pack(opened.outcome)
    forgetful = rounds.MemoryJournal()
    forgetful.spool(case.plan, 0, b"upload")
    assert forgetful.uploads == {}


def test_a_finished_round_asks_nothing_more() -> None:
    case = Case(3)
    opened = case.run()
    after = rounds.step(case.federation.server, opened, [])
    assert (after.state, dict(after.requests)) == (opened, {})


def test_whom_enough_members_name_is_left_out_of_the_next_attempt() -> None:
    case = Case(7)

    def accuse(exchange: str, seat: int, reply: bytes) -> bytes:
        """All but member 2 say in the first attempt that its letters do not open."""
        ended = any(isinstance(event, rounds.AttemptEnded) for event in case.journal.events)
        return reply if exchange != "relay" or seat == 2 or ended else _complaint(case, seat, accused=2)

    opened = case.run(on_reply=accuse, attempts=2)
    assert _stayed(opened) == {0, 1, 3, 4, 5, 6}
    assert np.array_equal(opened.total, case.plain(_stayed(opened)))


def _complaint(case: Case, seat: int, *, accused: int) -> bytes:
    identity = case.federation.identities[seat]
    signature = identity.sign("complaint", case.plan.sid, seat, [(accused, "letter")])
    return pack(Complaint(seat=seat, accusations=(Accusation(seat=accused, reason="letter"),), signature=signature))


def test_one_false_complaint_ends_the_attempt_but_removes_nobody() -> None:
    case = Case(7)

    def accuse(exchange: str, seat: int, reply: bytes) -> bytes:
        ended = any(isinstance(event, rounds.AttemptEnded) for event in case.journal.events)
        return reply if exchange != "relay" or seat != 0 or ended else _complaint(case, seat, accused=2)

    opened = case.run(on_reply=accuse, attempts=2)
    assert _stayed(opened) == set(range(7))
    with pytest.raises(ComplaintError, match="member 2 by 0"):
        Case(7).run(on_reply=lambda e, s, r: _complaint(case, s, accused=2) if e == "relay" and s == 0 else r)


def test_a_sum_that_does_not_count_its_members_stops_the_run() -> None:
    """A member that masks with other keys makes noise of the sum; the canaries show it and nothing is released."""
    case = Case(4)
    with pytest.raises(UnusableSumError):
        case.run(on_reply=lambda e, s, r: _remasked(case, s, r) if e == "relay" and s == 1 else r)
    assert case.journal.held() is not None
    assert not [event for event in case.journal.events if isinstance(event, rounds.AggregateReleased)]


def _remasked(case: Case, seat: int, reply: bytes) -> bytes:
    """Another upload of the same member, validly signed: its masks fit nobody's."""
    upload = unpack(Upload, reply)
    body = bytes(byte ^ 0x55 for byte in upload.body)
    plan_t2 = next(event.t2 for event in case.journal.events if isinstance(event, rounds.RosterAgreed))
    words = case.manifest.encoding.words
    signature = case.federation.identities[seat].sign("upload", plan_t2, seat, words, root_of_chunks("upload", body))
    return pack(replace(upload, body=body, signature=signature))


@pytest.mark.slow
def test_a_hundred_survive_dropouts_at_every_exchange_down_to_the_quorum() -> None:
    """N = 100, d = 1e5: 33 leave in exchanges 1 to 3, and with another cohort 33 in exchanges 4 and 5."""
    early = {seat: EXCHANGES[seat % 3] for seat in range(33)}
    late = {seat: EXCHANGES[3 + seat % 2] for seat in range(33)}
    for gone, staying in ((early, range(33, 100)), (late, range(100))):
        case = Case(100, 10**5)

        def lose(exchange: str, seat: int, message: bytes, gone: dict[int, str] = gone) -> bytes | None:
            left = seat in gone and EXCHANGES.index(exchange) >= EXCHANGES.index(gone[seat])
            return None if left else message

        opened = case.run(on_reply=lose)
        assert _stayed(opened) == set(staying)
        assert np.array_equal(opened.total, case.plain(staying))


@pytest.mark.slow
@pytest.mark.parametrize("exchange", EXCHANGES[:4])
def test_one_below_the_quorum_of_a_hundred_ends_the_attempt_and_the_next_round_works(exchange: str) -> None:
    case = Case(100, 10**5)
    with pytest.raises(QuorumLostError):
        case.run(on_reply=_losing(exchange, range(34)))
    assert not [event for event in case.journal.events if isinstance(event, rounds.AggregateReleased)]
    case.plan = replace(case.plan, round=2)
    expected, _ = plain_sum(case.manifest, case.contributions.items(), clip=1.0, round_=2)
    assert np.array_equal(case.run().total, expected)


@pytest.mark.slow
def test_one_share_too_few_of_a_hundred_waits_until_a_member_returns() -> None:
    case = Case(100, 10**5)
    with pytest.raises(RoundSuspendedError):
        case.run(on_request=_losing("certificate", range(34)))
    opened = rounds.resume_round(
        case.federation.server, Network(case.cohort, _losing("certificate", range(1, 34))), case.journal
    )
    assert np.array_equal(opened.total, case.plain(range(100)))
