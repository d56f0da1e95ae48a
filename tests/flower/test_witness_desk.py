"""The server waits for its witness: rounds go on meanwhile, nothing is settled without it, nothing is lost."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from fedgap import settling
from fedgap.crypto import Identity
from fedgap.crypto.codec import pack
from fedgap.flower.accounts import Accounts
from fedgap.flower.settling_run import SettlingRun
from fedgap.flower.witness_case import Attested
from fedgap.flower.witness_desk import MissingWitnessError, WitnessDesk
from fedgap.secagg.certificates import slot_name
from fedgap.secagg.messages import EVERYBODY
from tests.settling.rosters import new_keys
from tests.settling.settled_run import SettledRun, counts

KEY = Identity(b"w" * 32)


def attested(run: SettledRun, key: Identity = KEY, *, period: int = 1, rounds: int = 3) -> bytes:
    """Signatures over what a run's server proposed."""
    proposals = [run.desk.proposals(round_)[0] for round_ in range(1, rounds + 1)]
    signed = [key.sign("witnessed", slot_name(one.agreed, one.slot), EVERYBODY, one.said) for one in proposals]
    return pack(Attested(period=period, signatures=tuple(signed)))


def test_only_the_witnesss_signatures_over_all_directions_of_the_period_are_taken(tmp_path: Path) -> None:
    run = SettledRun(n=3, rounds=3, source="witness", witness=KEY.public)
    run.run().close()
    desk = WitnessDesk(folder=tmp_path, founding=cast("Any", None), sums=cast("Any", None))

    assert desk.signatures(run.desk, 1) is None
    right = attested(run)
    for wrong in (
        b"",
        right[:-1],
        attested(run, Identity(b"x" * 32)),
        attested(run, period=2),
        attested(run, rounds=2),
    ):
        desk.answer(1).write_bytes(wrong)
        assert desk.signatures(run.desk, 1) is None
    desk.answer(1).write_bytes(right)
    witness = desk.signatures(run.desk, 1)
    assert witness is not None

    settled = settling.settle(run.desk, run, 1, witness=witness)
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settled).items()}
    desk.clear(1)
    assert not desk.answer(1).exists()
    desk.clear(1)


def test_the_witness_signs_the_rounds_before_and_after_new_keys(tmp_path: Path) -> None:
    run = SettledRun(n=3, rounds=3, source="witness", witness=KEY.public).run(until=2)
    new_keys(run, 0)
    run.run().close()
    desk = WitnessDesk(folder=tmp_path, founding=cast("Any", None), sums=cast("Any", None))
    desk.answer(1).write_bytes(attested(run))
    witness = desk.signatures(run.desk, 1)

    settled = settling.settle(run.desk, run, 1, witness=witness)
    assert settled.left_out == ()
    assert run.expected() == {seats[0]: list(values) for seats, values in counts(settled).items()}


@dataclass
class Waiting:
    """Accounts of a run of two periods whose first case is signed after some looks."""

    looks: int
    settled: list[int] = field(default_factory=list)

    @property
    def config(self) -> Any:  # noqa: ANN401 - only the number of rounds is looked at
        """Twenty rounds."""
        return type("Config", (), {"training": type("Training", (), {"rounds": 20})})

    def due(self, rounds: int) -> list[int]:
        """The first period, until it is settled."""
        del rounds
        return [period for period in (1,) if period not in self.settled]

    def waits_for_witness(self, period: int) -> Path | None:
        """Look."""
        self.looks -= 1
        return Path(f"period-{period}.case") if self.looks >= 0 else None


@dataclass
class Settles(SettlingRun):
    """Settlements without messages."""

    def _settle(self, period: int, applied: int, patience_s: float) -> None:
        del applied, patience_s
        cast("Waiting", self.accounts).settled.append(period)

    def _prepare(self, applied: int, patience_s: float) -> None:
        del applied, patience_s


def settles(accounts: Waiting, said: list[str], *, close_s: float = 60.0) -> Settles:
    """A run that has nothing but these accounts."""
    accounts.close = lambda: None  # type: ignore[attr-defined]  # the closing exchange
    nothing = cast("Any", None)
    return Settles(
        accounts=cast("Accounts", accounts), journal=nothing, manifest=nothing, cohort=nothing, connected=nothing,
        check_stopped=lambda: None, close_s=close_s, reply_s=1.0, bound=lambda _: None, say=said.append,
    )  # fmt: skip


def test_between_rounds_a_period_is_left_for_later_and_settled_once_it_is_signed() -> None:
    accounts, said = Waiting(looks=2), list[str]()
    run = settles(accounts, said)
    for applied in (14, 15, 16, 17):
        run.between_rounds(applied)

    assert accounts.settled == [1]
    assert said == ["period 1 waits for the witness to sign period-1.case"] * 2


def test_after_the_last_round_the_server_waits_and_then_ends_so_that_it_can_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fedgap.flower.settling_run.LOOK_S", 0.01)
    accounts = Waiting(looks=3)
    settles(accounts, []).finish()
    assert accounts.settled == [1]

    accounts = Waiting(looks=10**9)
    with pytest.raises(MissingWitnessError, match="is not signed") as caught:
        settles(accounts, [], close_s=0.05).finish()
    assert (accounts.settled, caught.value.exit_status) == ([], 3)
