"""What is remembered: repeated requests get the same bytes, a crash at any point costs nothing, secrets end."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fedgap import settling
from fedgap.flower.vault import FolderVault
from fedgap.secagg.account import sum_name
from fedgap.secagg.desk import Desk
from fedgap.secagg.directions import Unrounded
from fedgap.secagg.errors import (
    BadMessageError,
    OutOfOrderError,
    RefusalError,
)
from fedgap.secagg.messages import Upload
from fedgap.secagg.participant import Participant
from fedgap.secagg.settlement import Statement, read_settlement, seal_settlement
from fedgap.secagg.wire import pack, unpack
from fedgap.settling import NothingToSettleError
from fedgap.storage import FolderJournal
from tests.settling.settled_run import ROWS, SettledRun, counts


class CrashError(Exception):
    """The process ends here."""


class CrashingVault:
    """A vault that ends the process before its k-th write, or just after it."""

    def __init__(self, run: SettledRun, seat: int, k: int, *, after: bool) -> None:
        self.vault, self.left, self.after = run.vaults[seat], k, after

    def load(self) -> bytes | None:
        """Give the record."""
        return self.vault.load()

    def get(self, name: str) -> bytes:
        """Give what was kept."""
        return self.vault.get(name)

    def commit(self, record: bytes) -> None:
        """Replace the record."""
        self._count(lambda: self.vault.commit(record))

    def put(self, name: str, content: bytes) -> None:
        """Keep something."""
        self._count(lambda: self.vault.put(name, content))

    def erase(self, names: object) -> None:
        """Remove something."""
        self._count(lambda: self.vault.erase(names))  # type: ignore[arg-type]  # names

    def _count(self, act: object) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise CrashError
        act()  # type: ignore[operator]  # a write
        if self.left == 0:
            raise CrashError


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("k", range(1, 7))
def test_a_member_that_crashes_at_any_write_says_the_same_afterwards(k: int, *, after: bool) -> None:
    """Close, reveal, statement, each asked again after a restart: one answer, one openings count, the same values."""
    run, calm = SettledRun(n=3, rounds=1), SettledRun(n=3, rounds=1)
    expected = calm.whole()
    run.run()
    vault = CrashingVault(run, 0, k, after=after)
    member = run.member(0)
    member._vault = vault

    class Restarting:
        """A cohort whose member 0 is restarted when it crashes."""

        def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
            for seat, request in requests.items():
                try:
                    reply = (member if seat == 0 else run.members[seat]).handle(request)
                except CrashError:
                    reply = run.member(0).handle(request)
                    member._vault, member._record = run.vaults[0], run.member(0)._record
                assert reply is not None
                yield seat, reply

    settling.close(run.desk, Restarting(), run.outcomes[-1])
    settlement = settling.settle(run.desk, Restarting(), 1, rows=ROWS)

    assert pack(settlement.statement) == pack(expected.statement)
    assert settlement.reactions == expected.reactions
    assert run.member(0)._record.account.openings == 1
    assert not [name for name in run.vaults[0].kept if name.endswith(("kept", "update", "sum"))]


def test_a_settlement_that_is_called_again_sends_the_same_bytes_and_gives_the_same_values() -> None:
    run = SettledRun(n=4)
    first = run.whole()
    sent: list[bytes] = []

    def remember(requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        sent.extend(requests.values())
        for seat, request in requests.items():
            reply = run.member(seat).handle(request)
            assert reply is not None
            yield seat, reply

    class Same:
        exchange = staticmethod(remember)

    run.desk = run.new_desk()
    again = settling.settle(run.desk, Same(), 1, rows=ROWS)

    assert again == first
    assert {type(read_settlement(run.manifest.server, request)) for request in sent} == {Statement}


def test_a_server_that_is_killed_while_it_waits_goes_on_with_what_it_has() -> None:
    run = SettledRun(n=4)
    run.run().close()
    run.gone = {(0, 2): "invite"}

    class KilledError(Exception):
        """The server ends here."""

    def change(kind: str, seat: int, reply: bytes) -> bytes:
        if kind == "statement":
            raise KilledError
        assert seat != 2
        return reply

    run.change = change
    with pytest.raises(KilledError):
        run.settle(final=False)
    run.desk, run.gone = run.new_desk(), {}
    run.change = lambda kind, _, reply: reply if kind != "reveal" or _ == 2 else None
    settlement = run.settle()

    assert [one.standing for one in settlement.valued] == ["verified"] * 4
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}


def test_a_whole_run_on_disk_settles_and_leaves_no_secret(tmp_path: Path) -> None:
    """Journal and vaults in folders, every process started anew before the settlement."""
    run = SettledRun(n=3, rounds=2)
    vaults = [FolderVault(tmp_path / f"member-{seat}") for seat in range(3)]
    run.vaults = vaults  # type: ignore[assignment]  # other vaults
    run.members = [run.member(seat) for seat in range(3)]
    with FolderJournal(tmp_path / "server") as journal:
        run.journal = journal  # type: ignore[assignment]  # another journal
        run.desk = run.new_desk()
        run.run().close()
        run.desk = run.new_desk()
        run.members = [run.member(seat) for seat in range(3)]
        settlement = run.settle()
        assert run.expected() == {seats[0]: list(values) for seats, values in counts(settlement).items()}
        settling.discard(run.desk, 1)
        assert not list((tmp_path / "server").glob("upload-*"))
        assert not list((tmp_path / "server").glob("settlement-directed-*"))
    for seat, vault in enumerate(vaults):
        vault.close()
        left = [path.name for path in (tmp_path / f"member-{seat}").iterdir()]
        assert not [name for name in left if name.endswith(("kept.bin", "update.bin", "sum.bin"))]


def test_a_final_statement_erases_the_periods_secrets_and_no_others() -> None:
    run = SettledRun(n=3, d=100, rounds=21, periods=3, source="public").run(until=14)
    run.settle(1)

    kept = sorted(name[:6] for name in run.vaults[0].kept if name.endswith("kept"))
    assert kept == [f"{round_:06d}" for round_ in range(8, 15)]
    assert [held.round for held in run.members[0]._record.account.rounds] == list(range(8, 15))
    assert run.members[0]._record.account.openings == 1


def test_after_the_final_statement_nothing_more_is_said_about_the_period() -> None:
    run = SettledRun(n=3)
    settlement = run.whole()
    settling.discard(run.desk, 1)
    assert not run.journal.uploads
    later = replace(settlement.statement, revision=2)
    with pytest.raises(OutOfOrderError):
        run.members[0].handle(seal_settlement(run.server.identity, later))
    other = SettledRun(n=3, rounds=1)
    other.run().close()
    unsettled = replace(settlement.statement, manifest=other.manifest.digest, answers=(), judged=(), bases=(), blocs=())
    reply = other.members[0].handle(seal_settlement(other.server.identity, unsettled))
    assert reply is not None
    with pytest.raises(OutOfOrderError):
        other.members[0].handle(seal_settlement(other.server.identity, other.shown()))


def test_a_member_that_never_answered_says_so_when_a_final_statement_comes() -> None:
    run = SettledRun(n=4)
    run.run().close()
    run.gone = {(0, 3): "invite"}
    settlement = run.settle()
    run.gone = {}
    again = run.settle()

    assert len(settlement.reactions) == 3
    assert [reaction.code for reaction in again.reactions] == ["", "", "", "settlement.not-answered"]


def test_who_was_away_hears_the_final_statement_later_once_and_erases_what_the_period_needed() -> None:
    run = SettledRun(n=4)
    run.run().close()
    run.gone = {(0, 3): "agenda"}
    assert settling.tell(run.desk, run, 1) == []  # nothing is stated yet
    run.settle()
    assert settling.tell(run.desk, run, 1) == []  # still away
    assert [name for name in run.vaults[3].kept if name.endswith("kept")]

    run.gone = {}
    (late,) = settling.tell(run.new_desk(), run, 1)
    assert (late.seat, late.code) == (3, "settlement.not-answered")
    assert not [name for name in run.vaults[3].kept if name.endswith(("kept", "update", "sum"))]
    run.exchange = lambda requests: pytest.fail(str(requests)) if requests else iter(())  # type: ignore[method-assign]
    assert settling.tell(run.new_desk(), run, 1) == []


def test_a_statement_that_is_not_final_is_not_told_again() -> None:
    run = SettledRun(n=4)
    run.run().close()
    run.settle(final=False)

    assert settling.tell(run.desk, run, 1) == []


def test_a_member_that_was_in_no_round_checks_and_confirms_all_the_same() -> None:
    run = SettledRun(n=4, rounds=2, gone={(1, 3): "invite", (2, 3): "invite"})
    settlement = run.whole()

    assert [reaction.code for reaction in settlement.reactions] == [""] * 4
    assert [reaction.complete for reaction in settlement.reactions] == [True, True, True, False]
    assert [one.standing for one in settlement.valued] == ["verified"] * 3 + ["by-weight"]
    assert settlement.valued[3].value == 0


def test_a_member_that_was_sent_the_sums_it_missed_checks_the_total_too() -> None:
    """What comes outside of an invitation counts like what comes in one; of a period that is over nothing is kept."""
    run = SettledRun(n=4, rounds=2, gone={(1, 3): "invite", (2, 3): "invite"})
    run.run()
    run.members[3].learn(run.outcomes[0])
    run.close()
    settlement = run.settle()
    assert [reaction.complete for reaction in settlement.reactions] == [True] * 4

    run.members[3].learn(run.outcomes[0])
    with pytest.raises(KeyError):
        run.vaults[3].get(sum_name(1, run.manifest.digest))


def test_a_period_is_not_stated_without_end() -> None:
    run = SettledRun(n=3)
    settlement = run.whole()
    endless = replace(settlement.statement, revision=101)
    with pytest.raises(OutOfOrderError):
        SettledRun(n=3).members[0].handle(seal_settlement(run.server.identity, endless))


def test_an_account_whose_openings_are_used_up_opens_nothing() -> None:
    run = SettledRun(n=3)
    run.run().close()
    member = run.members[1]
    member._record = replace(member._record, account=replace(member._record.account, openings=1))
    with pytest.raises(OutOfOrderError, match="used"):
        member.handle(seal_settlement(run.server.identity, run.shown()))


def test_a_member_without_a_settler_signs_no_direction_and_opens_nothing() -> None:
    run = SettledRun(n=4, rounds=2)
    run.members[3] = Participant(
        run.members[3]._me, run.vaults[3], run.members[3]._application, rand=run.members[3]._rand, simulation=True
    )
    run.run()
    assert [voice.seat for voice in run.desk.proposals(1)[0].voices] == [0, 1, 2]
    run.close()
    settlement = run.settle()

    assert {seat for seat, _ in run.refusals} == {3}
    assert [one.standing for one in settlement.valued] == ["provisional"] * 4


def test_the_first_directions_proposed_for_a_round_are_kept() -> None:
    run = SettledRun(n=3, rounds=1).run()
    first = run.desk.proposals(1)
    other: list[Unrounded] = [-run.known(1)[0]]

    assert run.desk.propose(1, other) == first == run.new_desk().proposals(1)


def test_a_period_without_a_direction_is_nothing_to_settle() -> None:
    run = SettledRun(n=3, rounds=1, directions=lambda _: [0 * run_direction])
    run.run().close()
    with pytest.raises(NothingToSettleError):
        run.settle()


run_direction = SettledRun(n=3, rounds=1).known(1)[0]


def test_a_desk_refuses_a_manifest_that_does_not_fit_and_a_spool_that_was_changed() -> None:
    run = SettledRun(n=3, rounds=1).run()
    run.close()
    run.journal.uploads[(1, 1), 0] = run.journal.uploads[(1, 1), 1]
    with pytest.raises(BadMessageError, match="upload of member 0"):
        run.settle()
    short = unpack(Upload, run.journal.uploads[(1, 1), 1])
    run.journal.uploads[(1, 1), 0] = pack(replace(short, body=short.body[:-4]))
    with pytest.raises(BadMessageError, match="another length"):
        run.settle()
    whole = SettledRun(n=3, rounds=1).run()
    whole.close()
    dossier = whole.desk.dossier(1)
    whole.desk.file(replace(dossier, total=dossier.total[4:] + dossier.total[:4]))
    with pytest.raises(BadMessageError, match="sum or the secrets"):
        whole.settle()
    with pytest.raises(RefusalError, match="malformed"):
        run.members[0].handle(run.journal.get("settlement-close")[:-70] + bytes(70))
    assert Desk is type(run.desk)
