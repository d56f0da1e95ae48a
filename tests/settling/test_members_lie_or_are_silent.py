"""Members that lie about an edge, alone or together, or say nothing: nobody else's value changes, liars are named."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest

from fedgap.crypto import digest
from fedgap.secagg.dispute import EdgeEvidence, verify_liar
from fedgap.secagg.errors import BadMessageError, BadServerMessageError, OutOfOrderError
from fedgap.secagg.opening import centred
from fedgap.secagg.settlement import (
    Answer,
    Challenge,
    Opening,
    Reveal,
    Statement,
    read_settlement,
    seal_settlement,
)
from fedgap.secagg.valuation import Settlement
from fedgap.secagg.wire import pack, unpack
from tests.settling.settled_run import SettledRun, counts


def lying(run: SettledRun, lies: Mapping[int, Mapping[int, int]]) -> SettledRun:
    """Shift some members' answers by so much for some of their peers."""
    run.change = lambda kind, seat, reply: (
        run.lied(reply, seat, lies[seat]) if kind == "reveal" and seat in lies else reply
    )
    return run


def values(settlement: Settlement) -> dict[int, int]:
    """The counts of members that are a bloc of their own."""
    return {seats[0]: numbers[0] for seats, numbers in counts(settlement).items() if len(seats) == 1}


def honest(run: SettledRun) -> dict[int, int]:
    """The counts that everybody should get."""
    return {seat: numbers[0] for seat, numbers in run.expected().items()}


def evidence_of(run: SettledRun, low: int, high: int) -> EdgeEvidence:
    return unpack(EdgeEvidence, run.journal.get(f"settlement-evidence-1-{low}-{high}"))


def test_a_liar_about_one_edge_is_named_with_evidence_and_gains_nothing() -> None:
    run = lying(SettledRun(n=4), {2: {0: 5_000_000}})
    settlement = run.whole()

    assert values(settlement) == honest(run)
    (judged,) = settlement.statement.judged
    assert (judged.low, judged.high, judged.liars) == (0, 2, (2,))
    proof = evidence_of(run, 0, 2)
    assert judged.evidence == proof.digest
    assert verify_liar(run.desk.tenure, run.evaluation, proof) == (judged.values, {2})
    assert ["lied" in one.flags for one in settlement.valued] == [False, False, True, False]
    assert [reaction.code for reaction in settlement.reactions] == ["", "", "settlement.other-answer", ""]


def test_a_liar_about_every_edge_is_named_for_each_and_no_honest_edge_is_opened() -> None:
    run = lying(SettledRun(n=4, openings=2), {1: {0: 1, 2: 1, 3: 2**31}})
    settlement = run.whole()

    assert values(settlement) == honest(run)
    assert [(judged.low, judged.high, judged.liars) for judged in settlement.statement.judged] == [
        (0, 1, (1,)),
        (1, 2, (1,)),
        (1, 3, (1,)),
    ]


def test_two_liars_on_one_edge_with_different_lies_are_both_named() -> None:
    run = lying(SettledRun(n=4), {1: {3: 7}, 3: {1: 8}})
    settlement = run.whole()

    assert values(settlement) == honest(run)
    assert [judged.liars for judged in settlement.statement.judged] == [(1, 3)]


def test_two_colluders_move_credit_between_themselves_only() -> None:
    shift = 9_000_000
    run = lying(SettledRun(n=5), {1: {3: shift}, 3: {1: shift}})
    settlement = run.whole()
    opened, true = values(settlement), honest(run)

    assert {seat: opened[seat] for seat in (0, 2, 4)} == {seat: true[seat] for seat in (0, 2, 4)}
    assert opened[1] + opened[3] == true[1] + true[3]
    assert opened[1] == true[1] - shift
    assert settlement.statement.judged == ()


def test_a_silent_members_value_rests_on_its_peers_word() -> None:
    run = SettledRun(n=4)
    run.run().close()
    run.change = lambda kind, seat, reply: None if (kind, seat) == ("reveal", 3) else reply
    settlement = run.settle()

    assert values(settlement) == honest(run)
    assert [one.standing for one in settlement.valued] == ["provisional"] * 4
    assert settlement.valued[3].vouched_by == ("org-00", "org-01", "org-02")
    assert settlement.valued[0].vouched_by == ("org-00",)
    assert all("vouched" in one.flags for one in settlement.valued)


def test_two_silent_members_are_one_bloc_with_an_exact_sum_split_by_weight() -> None:
    run = SettledRun(n=5, weights=[10, 10, 10, 20, 30])
    run.run().close()
    run.change = lambda kind, seat, reply: None if kind == "reveal" and seat in {3, 4} else reply
    assert run.manifest.tau == 4
    unsettled = run.settle(final=False)
    assert {one.standing for one in unsettled.valued} == {"by-weight"}

    run = SettledRun(n=7, weights=[10, 10, 10, 20, 30, 10, 10])
    run.run().close()
    run.change = lambda kind, seat, reply: None if kind == "reveal" and seat in {3, 4} else reply
    settlement = run.settle()
    true = honest(run)
    assert counts(settlement)[3, 4] == (centred(true[3] + true[4]),)
    assert {seat: values(settlement)[seat] for seat in (0, 1, 2, 5, 6)} == {
        seat: true[seat] for seat in (0, 1, 2, 5, 6)
    }
    assert [settlement.valued[seat].standing for seat in (0, 3, 4)] == ["provisional", "contracted", "contracted"]
    assert settlement.valued[3].value / settlement.valued[4].value == Fraction(2, 3)


def test_a_late_answer_is_taken_and_a_lie_about_the_silent_is_then_found() -> None:
    """While member 3 is away, 1 lies about their edge and is believed; when 3 returns, 1 is named."""
    run = lying(SettledRun(n=4), {1: {3: 4_000_000}})
    run.run().close()
    run.gone = {(0, 3): "invite"}
    early = run.settle(final=False)
    assert values(early)[1] == honest(run)[1] - 4_000_000
    assert early.valued[1].standing == "provisional"
    assert [reaction.seat for reaction in early.reactions] == [0, 1, 2]

    run.gone = {}
    late = run.settle()
    assert values(late) == honest(run)
    assert [judged.liars for judged in late.statement.judged] == [(1,)]
    assert late.statement.revision == 2


def test_fewer_than_tau_answers_leave_a_period_to_weights_and_secrets_are_erased() -> None:
    run = SettledRun(n=4, weights=[10, 20, 30, 20])
    run.run().close()
    run.change = lambda kind, seat, reply: None if kind == "reveal" and seat > 1 else reply
    settlement = run.settle()

    total = sum((one.value for one in settlement.valued), Fraction(0))
    assert {one.standing for one in settlement.valued} == {"by-weight"}
    assert [one.value for one in settlement.valued] == [total * part / 8 for part in (1, 2, 3, 2)]
    assert all(one.flags == ("unsettled",) for one in settlement.valued)
    assert [reaction.code for reaction in settlement.reactions] == [""] * 4
    for vault in run.vaults:
        assert not [name for name in vault.kept if name.endswith(("kept", "update", "sum"))]


def test_an_edge_nobody_opens_stays_contracted() -> None:
    run = lying(SettledRun(n=4), {2: {0: 5}})
    plain = run.change
    run.change = lambda kind, seat, reply: None if kind == "challenge" else plain(kind, seat, reply)
    settlement = run.whole()
    true = honest(run)

    assert counts(settlement)[0, 2] == (centred(true[0] + true[2]),)
    assert values(settlement) == {1: true[1], 3: true[3]}
    assert settlement.valued[0].standing == "contracted"


@pytest.mark.parametrize("answer", ["garbage", "other-seat", "no-peer", "openings", "unsigned", "unrecorded", "period"])
def test_an_answer_that_is_not_valid_counts_as_silence(answer: str) -> None:
    run = SettledRun(n=4)
    run.run().close()

    def change(kind: str, seat: int, reply: bytes) -> bytes:
        if kind != "reveal" or seat != 2:
            return reply
        said = unpack(Answer, reply)
        fewer = replace(said.reports[0], values=(*said.reports[0].values, 5))
        changed = {
            "other-seat": replace(said, seat=1),
            "no-peer": replace(said, reports=said.reports[1:]),
            "openings": replace(said, reports=(fewer, *said.reports[1:])),
            "unsigned": replace(said, signature=bytes(64)),
            "unrecorded": replace(said, recorded=(bytes(64),)),
            "period": replace(said, period=2),
        }
        if answer in {"no-peer", "openings"}:
            me = run.federation.identities[2]
            wrong = changed[answer]
            context = digest("settling", run.manifest.digest, 1)
            wrong = replace(wrong, signature=me.sign("answer", context, 2, wrong.said))
            return pack(wrong)
        return b"garbage" if answer == "garbage" else pack(changed[answer])

    run.change = change
    settlement = run.settle()

    assert values(settlement) == honest(run)
    assert [answered.seat for answered in settlement.statement.answers] == [0, 1, 3]


def disputed(run: SettledRun) -> tuple[Reveal, dict[int, Answer]]:
    """Have members 0 and 2 answer, the latter with a lie about their edge."""
    run.run().close()
    reveal = run.shown()
    request = seal_settlement(run.server.identity, reveal)
    replies = {seat: run.members[seat].handle(request) for seat in range(run.n)}
    answers = {seat: unpack(Answer, reply) for seat, reply in replies.items() if reply is not None}
    lie = run.lied(pack(answers[2]), 2, {0: 5})
    return reveal, {**answers, 2: unpack(Answer, lie)}


def test_an_edge_is_opened_against_a_signed_contradiction_only() -> None:
    run = SettledRun(n=4)
    _, answers = disputed(run)
    true = unpack(Answer, next(blob for name, blob in run.vaults[2].kept.items() if name.endswith("answer")))

    def ask(answer: Answer, recipient: int = 0, period: int = 1) -> bytes | None:
        message = Challenge(manifest=run.manifest.digest, period=period, recipient=recipient, answer=answer)
        return run.members[0].handle(seal_settlement(run.server.identity, message))

    for bad, error in (
        (true, BadServerMessageError),
        (replace(answers[2], signature=bytes(64)), BadServerMessageError),
        (replace(answers[2], seat=3), BadServerMessageError),
        (replace(answers[2], period=2), BadServerMessageError),
        (answers[0], OutOfOrderError),
    ):
        with pytest.raises(error):
            ask(bad)
    with pytest.raises(OutOfOrderError):
        ask(answers[2], recipient=1)
    with pytest.raises(OutOfOrderError):
        ask(answers[2], period=2)
    opened = ask(answers[2])
    assert opened is not None
    assert [secret.round for secret in unpack(Opening, opened).secrets] == [1, 2, 3]
    assert ask(answers[2]) == opened
    nothing = Statement(
        manifest=run.manifest.digest,
        period=1,
        revision=1,
        final=True,
        listed=bytes(32),
        answers=(),
        judged=(),
        bases=(),
        blocs=(),
    )
    run.members[0].handle(seal_settlement(run.server.identity, nothing))
    with pytest.raises(OutOfOrderError, match="erased"):
        ask(answers[2])


def test_a_member_whose_secrets_are_lost_opens_no_edge() -> None:
    run = SettledRun(n=4)
    _, answers = disputed(run)
    del run.vaults[0].kept["000002-01-kept"]
    message = Challenge(manifest=run.manifest.digest, period=1, recipient=0, answer=answers[2])
    with pytest.raises(OutOfOrderError, match="lost"):
        run.members[0].handle(seal_settlement(run.server.identity, message))


def test_a_member_that_lost_one_rounds_secrets_answers_absent_and_never_a_part() -> None:
    run = SettledRun(n=4)
    run.run().close()
    del run.vaults[3].kept["000002-01-kept"]
    settlement = run.settle()
    answer = next(said for said in settlement.statement.answers if said.seat == 3)

    assert [report.values for report in answer.reports] == [(), (), ()]
    assert values(settlement) == honest(run)
    assert settlement.valued[3].standing == "provisional"
    assert [reaction.code for reaction in settlement.reactions] == [""] * 4


def test_evidence_that_was_tampered_with_shows_nothing() -> None:
    run = lying(SettledRun(n=4), {2: {0: 5}})
    settlement = run.whole()
    proof = evidence_of(run, 0, 2)
    first = proof.rounds[0]
    statement = seal_settlement(run.server.identity, settlement.statement)
    reveal = read_settlement(run.manifest.server, proof.reveal)
    assert isinstance(reveal, Reveal)
    fewer = replace(reveal, rounds=reveal.rounds[:1])
    blank = replace(proof.high, reports=proof.high.reports[1:])
    context = digest("settling", run.manifest.digest, 1)
    blank = replace(blank, signature=run.federation.identities[2].sign("answer", context, 2, blank.said))
    later = replace(proof.high, period=2)
    other = digest("settling", run.manifest.digest, 2)
    later = replace(later, signature=run.federation.identities[2].sign("answer", other, 2, later.said))
    wrong = {
        "another period": replace(proof, high=later),
        "no reveal": replace(proof, reveal=statement),
        "a reveal that may not be": replace(proof, reveal=seal_settlement(run.server.identity, fewer)),
        "not the server's": replace(proof, reveal=seal_settlement(run.federation.identities[0], reveal)),
        "ends in the wrong order": replace(proof, low=proof.high, high=proof.low),
        "not signed": replace(proof, high=replace(proof.high, signature=bytes(64))),
        "another seat": replace(proof, high=replace(proof.high, seat=99)),
        "nothing said": replace(proof, high=blank),
        "a round missing": replace(proof, rounds=proof.rounds[1:]),
        "other keys": replace(proof, rounds=(replace(first, dealers=first.dealers[1:]), *proof.rounds[1:])),
        "another secret": replace(proof, rounds=(replace(first, secret=bytes(32)), *proof.rounds[1:])),
        "another row": replace(proof, rounds=(replace(first, low=first.high), *proof.rounds[1:])),
    }
    for name, changed in wrong.items():
        with pytest.raises(BadMessageError):
            raise AssertionError(name, verify_liar(run.desk.tenure, run.evaluation, changed))


def test_a_wrong_opening_is_a_fault_of_who_sent_it_and_the_other_end_is_believed() -> None:
    run = lying(SettledRun(n=4), {0: {2: 3}, 2: {0: 5}})
    plain = run.change

    def change(kind: str, seat: int, reply: bytes) -> bytes | None:
        if kind == "challenge" and seat == 0:
            opening = unpack(Opening, reply)
            return pack(replace(opening, secrets=opening.secrets[1:]))
        return plain(kind, seat, reply)

    run.change = change
    settlement = run.whole()

    assert values(settlement) == honest(run)
    assert [judged.liars for judged in settlement.statement.judged] == [(0, 2)]
    assert [(fault.seat, fault.exchange) for fault in settlement.faults] == [(0, "challenge")]


@pytest.mark.parametrize("change", ["total", "value", "bloc", "answer", "judged"])
def test_a_statement_that_is_wrong_is_objected_to(change: str) -> None:
    run = SettledRun(n=4)
    settlement = run.whole()
    said = settlement.statement
    first, second, *rest = said.bases
    up, down = (replace(base, values=((base.values[0] + by) % 2**32,)) for base, by in ((first, 5), (second, -5)))
    blocs = [replace(bloc, values=(bloc.values[0] + by,)) for bloc, by in zip(said.blocs[:2], (5, -5), strict=True)]
    fewer = said.answers[1:]
    wrong: dict[str, tuple[Statement, list[str]]] = {
        "total": (
            replace(said, bases=(up, second, *rest), blocs=(blocs[0], *said.blocs[1:])),
            ["settlement.wrong-total"] * 4,
        ),
        "value": (
            replace(said, bases=(up, down, *rest), blocs=(*blocs, *said.blocs[2:])),
            ["settlement.wrong-value"] * 2 + [""] * 2,
        ),
        "bloc": (replace(said, blocs=(*blocs, *said.blocs[2:])), ["settlement.does-not-follow"] * 4),
        "answer": (replace(said, answers=fewer[1:], blocs=()), ["settlement.does-not-follow"] * 4),
        "judged": (replace(said, listed=bytes(32)), ["settlement.other-list"] * 4),
    }
    stated, codes = wrong[change]
    run = SettledRun(n=4)
    run.run().close()
    run.change = lambda kind, _, reply: None if kind == "statement" else reply
    run.settle(final=False)
    stated = replace(stated, revision=2, final=False)
    found = []
    for member in run.members:
        reply = member.handle(seal_settlement(run.server.identity, stated))
        assert reply is not None
        found.append(unpack_code(reply))
    assert found == codes


def test_whoever_objects_to_a_final_statement_keeps_what_shows_its_upload_until_it_forgets() -> None:
    run = SettledRun(n=4)
    run.run().close()
    run.change = lambda kind, _, reply: None if kind == "statement" else reply
    said = run.settle(final=False).statement
    first, second, *rest = said.bases
    up, down = (replace(base, values=((base.values[0] + by) % 2**32,)) for base, by in ((first, 5), (second, -5)))
    blocs = [replace(bloc, values=(bloc.values[0] + by,)) for bloc, by in zip(said.blocs[:2], (5, -5), strict=True)]
    wrong = replace(said, revision=2, final=True, bases=(up, down, *rest), blocs=(*blocs, *said.blocs[2:]))
    replies = [member.handle(seal_settlement(run.server.identity, wrong)) for member in run.members]
    kept = [sorted(name for name in vault.kept if name.endswith("-kept")) for vault in run.vaults]

    assert [unpack_code(reply or b"") for reply in replies] == ["settlement.wrong-value"] * 2 + [""] * 2
    assert [len(names) for names in kept] == [3, 3, 0, 0]
    run.members[0].forget([(round_, 1) for round_ in range(1, 4)])
    assert not [name for name in run.vaults[0].kept if name.endswith(("-kept", "-update"))]


def unpack_code(reply: bytes) -> str:
    """The code of a reaction."""
    from fedgap.secagg.settlement import Reaction  # noqa: PLC0415 - used here only

    return unpack(Reaction, reply).code
