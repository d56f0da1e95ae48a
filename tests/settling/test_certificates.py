"""Who certifies a direction, and what else is signed beside a round; what a settlement leaves for the ledger."""

from dataclasses import replace

import pytest

from fedgap import settling
from fedgap.crypto import Identity
from fedgap.records import is_record_signed, read_record, write_record
from fedgap.secagg.certificates import Certified, Offer
from fedgap.secagg.desk import Certifying, Votes, blob
from fedgap.secagg.errors import BadMessageError, BadServerMessageError
from fedgap.secagg.evidence import Contradiction, ServerEvidence, contradicts
from fedgap.secagg.faults import settlement_fault
from fedgap.secagg.settlement import (
    NO_CERTIFICATE,
    Close,
    Reaction,
    Statement,
    is_settlement,
    read_settlement,
    seal_settlement,
)
from fedgap.secagg.valuation import direction_records, member_records, server_records
from fedgap.secagg.wire import pack, unpack
from tests.settling.settled_run import SettledRun, counts


def test_a_checkpoint_is_cosigned_with_an_invitation_and_at_the_close() -> None:
    run = SettledRun(n=3, rounds=2)
    run.settler = replace(run.settler, cosign=lambda checkpoint: b"seen " + checkpoint)
    run.members = [run.member(seat) for seat in range(3)]
    heads = iter([b"head-1", b"head-2", b"head-3"])
    run.desk.checkpoint = lambda: next(heads)
    seen = []
    for _ in range(2):
        run.run(until=run.now + 1)
        seen.append(dict(run.desk.cosignatures))
    run.close()
    seen.append(dict(run.desk.cosignatures))

    assert seen == [dict.fromkeys(range(3), b"seen head-%d" % k) for k in (1, 2, 3)]


def test_only_valid_signatures_certify_a_direction() -> None:
    run = SettledRun(n=4, rounds=2)

    def change(kind: str, seat: int, reply: bytes) -> bytes:
        if kind != "invite" or seat != 1 or run.now != 2:
            return reply
        said = unpack(Certified, reply)
        return pack(replace(said, directions=(bytes(64),)))

    run.change = change
    run.run()

    assert [voice.seat for voice in run.desk.proposals(1)[0].voices] == [0, 2, 3]
    assert len(run.outcomes[1].survivors) == 4


def test_a_server_restarted_at_the_close_counts_the_signatures_all_the_same() -> None:
    run = SettledRun(n=4, rounds=2)
    run.run()
    run.gone = {(0, seat): "invite" for seat in range(4)}
    assert run.close() == frozenset()
    run.desk, run.gone = run.new_desk(), {(0, 3): "invite"}
    assert run.close() == {0, 1, 2}
    assert [voice.seat for voice in run.desk.proposals(2)[0].voices] == [0, 1, 2]
    run.gone = {}
    assert run.settle().left_out == ()
    assert [voice.seat for voice in run.new_desk().proposals(2)[0].voices] == [0, 1, 2, 3]


def test_a_member_without_a_cosigner_signs_no_checkpoint_and_garbage_at_the_close_is_ignored() -> None:
    run = SettledRun(n=3, rounds=1)
    run.desk.checkpoint = lambda: b"head"
    run.run()
    run.change = lambda kind, seat, reply: b"garbage" if (kind, seat) == ("close", 2) else reply
    run.close()

    assert run.desk.cosignatures == {}
    assert [voice.seat for voice in run.desk.proposals(1)[0].voices] == [0, 1]
    assert run.close() == {0, 1, 2}
    assert [voice.seat for voice in run.desk.proposals(1)[0].voices] == [0, 1]


def test_only_what_is_not_certified_is_offered_again() -> None:
    """Two members lose their second signature on the way: the first slot is certified, the second is offered again."""
    run = SettledRun(n=4, rounds=3, openings=2)

    def change(kind: str, seat: int, reply: bytes) -> bytes:
        if kind != "invite" or run.now != 2 or seat > 1:
            return reply
        said = unpack(Certified, reply)
        return pack(replace(said, directions=said.directions[:1]))

    run.change = change
    run.run(until=2)
    first, second = run.desk.proposals(1)
    assert ([voice.seat for voice in first.voices], [voice.seat for voice in second.voices]) == ([0, 1, 2, 3], [2, 3])
    assert len(run.desk.offers(run.outcomes[-1])) == 3
    run.run()
    run.close()
    assert run.settle().left_out == ()


def test_a_direction_a_member_signed_twice_is_counted_once() -> None:
    run = SettledRun(n=4, rounds=1)
    run.run().close()
    before = run.desk.proposals(1)
    run.close()

    assert run.desk.proposals(1) == before


def test_directions_of_a_witness_and_of_the_servers_choice_are_opened_if_the_manifest_says_so() -> None:
    witness = Identity(b"w" * 32)
    seen = SettledRun(n=3, source="witness", witness=witness.public)
    seen.run().close()
    settlement = settling.settle(
        seen.desk, seen, 1, witness=lambda name, said: witness.sign("witnessed", name, -1, said)
    )
    chosen = SettledRun(n=3, source="server_chooses_directions")

    assert seen.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert [one.flags for one in settlement.valued] == [()] * 3
    assert [one.flags for one in chosen.whole().valued] == [("server-chooses-directions",)] * 3


def test_a_member_that_never_received_a_sum_confirms_its_own_number_only() -> None:
    """It missed the invitation that carried the first round's sum."""
    run = SettledRun(n=4, gone={(2, 1): "invite"})
    settlement = run.whole()

    assert [(reaction.code, reaction.complete) for reaction in settlement.reactions] == [
        ("", True),
        ("", False),
        ("", True),
        ("", True),
    ]


def test_an_edge_is_opened_for_the_rounds_that_name_both_ends_only() -> None:
    run = SettledRun(n=4, gone={(2, 1): "invite"})
    run.change = lambda kind, seat, reply: run.lied(reply, seat, {1: 4}) if (kind, seat) == ("reveal", 0) else reply
    settlement = run.whole()

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert [judged.liars for judged in settlement.statement.judged] == [(0,)]


def test_two_different_answers_of_one_member_prove_it_and_the_first_counts() -> None:
    run = SettledRun(n=4)
    run.run().close()

    class Twice:
        """Member 1 answers twice."""

        def exchange(self, requests: dict[int, bytes]) -> list[tuple[int, bytes]]:
            found = []
            for seat, reply in run.exchange(requests):
                found.append((seat, reply))
                if seat == 1 and b"fedgap/1/answer" in reply[:40]:
                    found.append((seat, run.lied(reply, 1, {0: 1})))
            return found

    settlement = settling.settle(run.desk, Twice(), 1, rows=run.shown().rows)  # type: ignore[arg-type]  # a list will do
    (fault,) = settlement.faults

    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
    assert fault.seat == 1
    assert fault.evidence is not None
    assert contradicts(unpack(Contradiction, fault.evidence))


@pytest.mark.parametrize("wrong", ["garbage", "seat", "unsigned", "unrecorded", "statement"])
def test_a_reaction_that_is_not_valid_is_ignored(wrong: str) -> None:
    run = SettledRun(n=3, rounds=1)

    def change(kind: str, seat: int, reply: bytes) -> bytes:
        if kind != "statement" or seat != 1:
            return reply
        said = unpack(Reaction, reply)
        changed = {
            "seat": replace(said, seat=99),
            "unsigned": replace(said, signature=bytes(64)),
            "unrecorded": replace(said, recorded=bytes(64)),
            "statement": replace(said, statement=bytes(32)),
        }
        return b"garbage" if wrong == "garbage" else pack(changed[wrong])

    run.change = change

    assert [reaction.seat for reaction in run.whole().reactions] == [0, 2]


def test_records_of_a_settlement_are_signed_by_whom_they_name() -> None:
    run = SettledRun(n=4, openings=2)
    run.change = lambda kind, seat, reply: run.lied(reply, seat, {0: 9}) if (kind, seat) == ("reveal", 2) else reply
    settlement = run.whole()
    intervals = {settlement.valued[0].organisation: (settlement.valued[0].value - 1, settlement.valued[0].value + 1)}
    ours = server_records(settlement, intervals)
    theirs = member_records(run.manifest, settlement)
    proposals = [proposal for round_ in range(1, 4) for proposal in run.desk.proposals(round_)]
    committed = direction_records(run.manifest, proposals)

    assert [type(record).__name__ for record in ours] == ["ContributionEstimated"] * 4 + ["Verdict"]
    assert [type(record).__name__ for record, _ in theirs] == ["OpeningAnswered"] * 8 + [
        "CreditConfirmed",
        "CreditConfirmed",
        "CreditObjected",
        "CreditConfirmed",
    ]
    assert len(committed) == 6
    for record in [*ours, *committed, *(record for record, _ in theirs)]:
        assert read_record(write_record(record)) == record
    keys = {member.id: member.public for member in run.manifest.members}
    for signed, signature in theirs:
        data = write_record(signed)
        assert is_record_signed(keys[signed.organisation], signature, data, origin=run.manifest.digest)


def test_what_a_server_states_beside_its_reveal_proves_a_wrong_value() -> None:
    run = SettledRun(n=3)
    settlement = run.whole()
    reveal = run.journal.get("settlement-reveal-1")
    bloc = settlement.statement.blocs[0]
    false = replace(bloc, values=(bloc.values[0] + 1,))
    wrong = replace(settlement.statement, blocs=(false, *settlement.statement.blocs[1:]))
    unsigned = replace(settlement.statement, answers=(replace(settlement.statement.answers[0], signature=bytes(64)),))

    def fault(*messages: bytes) -> str | None:
        return settlement_fault(run.desk.tenure, run.evaluation, ServerEvidence(messages=messages))

    def sealed(statement: Statement) -> bytes:
        return seal_settlement(run.server.identity, statement)

    assert fault(reveal, sealed(settlement.statement)) is None
    assert fault(reveal, sealed(wrong)) == "It stated values that do not follow from the answers."
    assert fault(reveal, sealed(unsigned)) == "It stated answers that are not the members', or are over another list."
    assert fault(run.journal.get("settlement-close")) is None
    with pytest.raises(BadMessageError):
        fault(sealed(wrong))
    with pytest.raises(BadMessageError):
        fault(reveal, sealed(replace(wrong, period=2)))
    with pytest.raises(BadMessageError, match="another roster"):
        fault(reveal, sealed(replace(wrong, manifest=bytes(32))))


def test_what_is_not_certified_when_its_period_is_settled_is_offered_no_more() -> None:
    run = SettledRun(n=3, d=100, rounds=21, periods=3, source="public").run(until=14)
    nobody = Certifying(slots=(Votes(voices=()),))
    for round_ in (3, 13):
        run.journal.put(blob("votes", round_), pack(nobody))
    run.desk = run.new_desk()

    def offered() -> list[int]:
        offers = [unpack(Offer, data) for data in run.desk.offers(None)]
        return [offer.listing.plan.round for offer in offers if offer.listing is not None]

    assert offered() == [3, 13, 14]
    settlement = run.settle(1)
    assert [(gone.round, gone.reason) for gone in settlement.left_out] == [(3, NO_CERTIFICATE)]
    assert offered() == [13, 14]


def test_what_is_no_settlement_message_is_not_read_as_one() -> None:
    run = SettledRun(n=3, rounds=1).run()
    close = Close(manifest=bytes(32), outcome=run.outcomes[0], offers=(), checkpoint=b"")
    assert is_settlement(seal_settlement(run.server.identity, close))
    assert not is_settlement(b"")
    assert not is_settlement(pack(run.outcomes[0]))
    with pytest.raises(BadMessageError):
        read_settlement(run.manifest.server, run.members[0]._vault.get("000001-01-invite-request"))
    with pytest.raises(BadServerMessageError):
        run.members[0].handle(seal_settlement(run.federation.identities[0], close))
