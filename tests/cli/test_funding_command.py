"""`fedgap funding`: a period is settled, written into the ledger, and computed again by anybody."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedgap.config.policy import load_policy
from fedgap.crypto import seeded
from fedgap.funding import Policy
from fedgap.ledger.store import Ledger
from fedgap.storage import write_key
from tests.cli.command import Run
from tests.funding.cases import policy
from tests.ledger.tale import Tale

ROOT = Path(__file__).parents[2]
MOST_CPU_SECONDS = 0.5
Written = tuple[Tale, Path]


@pytest.fixture(scope="module")
def unsettled(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A ledger with two rounds, values and costs, and no settlement yet."""
    path = tmp_path_factory.mktemp("funding") / "ledger.sqlite"
    return Tale(n=4, policy=policy(budgets=(10_000_000,)).data).write(path), path


@pytest.fixture
def ledger(unsettled: Written, tmp_path: Path) -> Written:
    """A copy, with the server's key beside it."""
    write_key(tmp_path / "server.key", unsettled[0].server, passphrase=None, rand=seeded("key"))
    return unsettled[0], Path(shutil.copy(unsettled[1], tmp_path))


def test_a_period_is_settled_written_and_shown_again(run: Run, ledger: Written, tmp_path: Path) -> None:
    _, path = ledger
    before = path.read_bytes()
    preview = json.loads(run("funding", "settle", "--ledger", path, "--json").out)
    assert preview["written"] is False
    assert path.read_bytes() == before
    assert run("funding", "statement", "--ledger", path).status == 1

    ended = run("funding", "settle", "--ledger", path, "--key", tmp_path / "server.key")
    assert ended.status == 0, ended.err
    assert "It stands in the ledger now" in ended.out
    assert run("ledger", "verify", path).status == 0
    shown = json.loads(run("funding", "statement", "--ledger", path, "--json").out)["statements"]
    assert shown == [preview["statement"]]
    given = sum(line["reimbursed"] + line["base"] + line["pool"] for line in shown[0]["lines"])
    assert given + shown[0]["carried"] + shown[0]["returned"] == 10_000_000
    again = run("funding", "settle", "--ledger", path)
    assert (again.status, again.err.partition(":")[0]) == (1, "funding.incomplete")


def test_a_statement_is_three_files_that_are_the_same_every_time(run: Run, ledger: Written, tmp_path: Path) -> None:
    _, path = ledger
    run("funding", "settle", "--ledger", path, "--key", tmp_path / "server.key")
    for out in ("a", "b"):
        assert run("funding", "statement", "--ledger", path, "--out", tmp_path / out).status == 0
    names = ["statement-1.csv", "statement-1.json", "statement.html"]
    assert names == sorted(file.name for file in (tmp_path / "a").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_line_is_explained_in_words(run: Run, ledger: Written, tmp_path: Path) -> None:
    _, path = ledger
    run("funding", "settle", "--ledger", path, "--key", tmp_path / "server.key")
    ended = run("funding", "explain", "org-2", "--ledger", path)
    assert ended.status == 0
    assert "Paid now:" in ended.out
    assert "(entry" in ended.out
    words = json.loads(run("funding", "explain", "org-2", "--ledger", path, "--json").out)["explained"][0]["words"]
    assert all(sentence in ended.out for sentence in words)
    assert run("funding", "explain", "nobody", "--ledger", path).status == 2
    assert run("funding", "explain", "org-2", "--ledger", path, "--period", 2).status == 1


def test_no_money_is_computed_from_a_ledger_that_fails(run: Run, ledger: Written) -> None:
    _, path = ledger
    content = bytearray(path.read_bytes())
    content[content.index(b"record/cost-claimed") + 60] ^= 1
    path.write_bytes(content)
    ended = run("funding", "settle", "--ledger", path)

    assert (ended.status, ended.err.partition(":")[0]) == (1, "funding.ledger-fails")


def test_without_a_policy_the_commands_say_so(run: Run, tmp_path: Path) -> None:
    tale = Tale()
    with Ledger(tmp_path / "l.sqlite", tale.server, founding=tale.signed(tale.manifest)):
        pass
    for command in (["settle"], ["statement"], ["explain", "org-0"]):
        ended = run("funding", *command, "--ledger", tmp_path / "l.sqlite")
        assert (ended.status, ended.err.partition(":")[0]) == (2, "funding.no-policy")


def test_only_the_servers_key_writes(run: Run, ledger: Written, tmp_path: Path) -> None:
    tale, path = ledger
    write_key(tmp_path / "other.key", tale.keys[tale.orgs[0]], passphrase=None, rand=seeded("key"))
    assert run("funding", "settle", "--ledger", path, "--key", tmp_path / "other.key").status == 1
    assert run("funding", "settle", "--ledger", path, "--key", tmp_path / "missing.key").status == 2
    assert run("funding", "statement", "--ledger", path).status == 1


def test_a_policy_file_is_checked_and_named(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[policy]\ncurrency = "EUR"\n[[period]]\nbudget = "50000.00"\n')
    assert "Period 1: 50,000.00 EUR" in run("funding", "check", file).out
    assert len(json.loads(run("funding", "check", file, "--json").out)["digest"]) == 64
    file.write_text("[policy]\n")
    assert run("funding", "check", file).status == 2


def test_a_later_policy_is_compared_with_the_one_in_force(run: Run, tmp_path: Path) -> None:
    """From the first period that nothing was written about; what cannot follow is said before anybody is asked."""
    first = '[policy]\ncurrency = "EUR"\n[[period]]\nbudget = "1000.00"\n[[period]]\nbudget = "1000.00"\n'
    new, old = tmp_path / "new.toml", tmp_path / "old.toml"
    old.write_text(first)
    new.write_text(first.replace('"EUR"', '"EUR"\npaid_now = "1"'))
    tale = Tale(policy=Policy.of_config(load_policy(old)).data, periods=2)
    path = tmp_path / "l.sqlite"
    with Ledger(path, tale.server, founding=tale.signed(tale.manifest)) as ledger:
        ledger.append(*tale.story())
        tale.rounds = 0
    ended = run("funding", "check", new, "--ledger", path)
    assert (ended.status, ended.err.partition(":")[0]) == (2, "funding.late-policy")

    with Ledger(path.with_name("m.sqlite"), tale.server, founding=tale.signed(tale.manifest)) as ledger:
        ledger.append(*tale.story())
    ended = run("funding", "check", new, "--ledger", path.with_name("m.sqlite"))
    assert ended.status == 0, ended.err
    assert "Changed: paid at once: 7/10, now 1." in ended.out
    assert "As version 2 it can apply from period 2 on." in ended.out
    assert run("funding", "check", old, "--ledger", path.with_name("m.sqlite")).status == 2


def test_money_needs_neither_torch_nor_flower_nor_patience(unsettled: Written) -> None:
    script = (
        "import sys, time, fedgap.cli\n"
        "try:\n    fedgap.cli.main()\n"
        "except SystemExit as ended:\n    assert ended.code == 0, ended.code\n"
        "assert not {'torch', 'flwr', 'sklearn'} & set(sys.modules), 'something heavy was loaded'\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", script, "funding", "settle", "--ledger", str(unsettled[1])]
    spent = [
        float(subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT).stderr.split()[-1])
        for _ in range(3)
    ]

    assert min(spent) < MOST_CPU_SECONDS
