"""`fedgap ledger`: what an auditor types, what it prints, and what it does not need."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedgap.ledger.verify import SERVER
from tests.cli.command import Run
from tests.ledger.tale import Tale

ROOT = Path(__file__).parents[2]
MOST_CPU_SECONDS = 0.5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tale, Path]:
    """A ledger with two rounds and a settlement."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    return Tale().write(path), path


Written = tuple[Tale, Path]


def test_verify_says_what_is_whole_and_what_is_still_to_be_compared(run: Run, written: Written) -> None:
    tale, path = written
    ended = run("ledger", "verify", path)

    assert ended.status == 0
    assert "The ledger is whole: 30 entries" in ended.out
    assert tale.origin.hex() in ended.out
    assert "Still to be compared" in ended.out
    compared = run("ledger", "verify", path, "--manifest", tale.origin.hex())
    assert compared.status == 0
    assert "Still to be compared" not in compared.out


def test_verify_compares_with_known_keys(run: Run, written: Written, tmp_path: Path) -> None:
    tale, path = written
    lines = [f"{SERVER} {tale.server.public.hex()}  # the operator"]
    lines += [f"{org} {key.public.hex()}" for org, key in tale.keys.items()]
    keys = tmp_path / "keys.txt"
    keys.write_text("\n".join(["# keys read out by telephone", "", *lines]))
    assert json.loads(run("ledger", "verify", path, "--keys", keys, "--json").out)["compared"] is True

    keys.write_text("\n".join(lines[:-1]))
    ended = run("ledger", "verify", path, "--keys", keys)
    assert ended.status == 1
    assert "untrusted-keys" in ended.out
    for text in ("org-0", "org-0 00", f"{lines[0]}\n{lines[0]}", "org-0 " + "zz" * 32):
        keys.write_text(text)
        assert run("ledger", "verify", path, "--keys", keys).status == 2


def test_verify_names_the_first_bad_entry_and_fails(run: Run, written: Written, tmp_path: Path) -> None:
    path = Path(shutil.copy(written[1], tmp_path))
    content = bytearray(path.read_bytes())
    at = content.index(written[0].manifest.digest, content.index(b"record/round-opened"))
    content[at] ^= 1
    path.write_bytes(content)
    ended = run("ledger", "verify", path)
    document = json.loads(run("ledger", "verify", path, "--json").out)

    assert ended.status == 1
    assert "is the first bad one" in ended.out
    assert document["ok"] is False
    assert document["fault"]["entry"] is not None


def test_a_kept_checkpoint_shows_a_rewritten_history(run: Run, written: Written, tmp_path: Path) -> None:
    path, kept = written[1], tmp_path / "kept.json"
    assert run("ledger", "export", path, "--checkpoint", "--out", kept).status == 0
    assert run("ledger", "verify", path, "--checkpoint", kept).status == 0
    assert json.loads(run("ledger", "prove", path, "--since", kept).out)["path"] == []
    document = json.loads(kept.read_text())
    kept.write_text(json.dumps(document | {"size": document["size"] + 1}))
    assert run("ledger", "verify", path, "--checkpoint", kept).status == 1
    kept.write_text("[]")
    assert run("ledger", "verify", path, "--checkpoint", kept).status == 1
    kept.write_text("{")
    assert run("ledger", "verify", path, "--checkpoint", kept).status == 2


def test_show_lists_what_is_asked_for(run: Run, written: Written) -> None:
    path = written[1]
    assert "FundingSettled" in run("ledger", "show", path).out
    entries = json.loads(run("ledger", "show", path, "--kind", "CostClaimed", "--json").out)["entries"]
    assert [entry["record"]["organisation"] for entry in entries] == ["org-0", "org-1", "org-2"]
    entries = json.loads(run("ledger", "show", path, "--organisation", "org-1", "--first", 13, "--json").out)["entries"]
    assert {entry["kind"] for entry in entries} >= {"OpeningAnswered", "CreditConfirmed"}
    entries = json.loads(run("ledger", "show", path, "--first", 28, "--count", 1, "--json").out)["entries"]
    assert [entry["entry"] for entry in entries] == [28]
    assert "--first 3" in run("ledger", "show", path, "--count", 3).out
    assert "--first" not in run("ledger", "show", path).out


def test_a_proof_is_one_json_document(run: Run, written: Written) -> None:
    proof = json.loads(run("ledger", "prove", written[1], 7).out)

    assert proof["position"] == 7
    assert proof["checkpoint"]["size"] == 30
    assert run("ledger", "prove", written[1], 30).status == 1
    assert run("ledger", "prove", written[1]).status == 2


def test_an_export_has_the_checkpoint_and_a_line_an_entry(run: Run, written: Written, tmp_path: Path) -> None:
    out = tmp_path / "entries.jsonl"
    assert json.loads(run("ledger", "export", written[1], "--out", out, "--json").out)["lines"] == 31
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[0]["checkpoint"]["size"] == 30
    assert lines[1]["record"]["manifest"]["federation"] == "tale"
    assert run("ledger", "export", written[1]).out == out.read_text()
    assert run("ledger", "export", written[1], "--json").status == 2
    ended = run("ledger", "export", written[1], "--out", tmp_path / "no" / "file")
    assert (ended.status, ended.err.partition(":")[0]) == (1, "storage.write-failed")
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("command", ["verify", "show", "prove", "export"])
def test_what_is_no_ledger_is_one_line_of_error(run: Run, tmp_path: Path, command: str) -> None:
    more = [0] if command == "prove" else []
    (tmp_path / "text.sqlite").write_text("no database")
    for name in ("text.sqlite", "missing.sqlite"):
        ended = run("ledger", command, tmp_path / name, *more)
        assert ended.status == 1
        assert len(ended.err.strip().splitlines()) == 1
        assert ended.err.startswith("ledger.")


@pytest.mark.parametrize("wrong", ["00", "zz" * 32, ""])
def test_a_digest_is_64_digits(run: Run, written: Written, wrong: str) -> None:
    assert run("ledger", "verify", written[1], "--manifest", wrong).status == 2


def test_an_auditor_needs_neither_torch_nor_flower_nor_patience(written: Written) -> None:
    """CPU time of the whole command, the best of three."""
    script = (
        "import sys, time, fedgap.cli\n"
        "try:\n    fedgap.cli.main()\n"
        "except SystemExit as ended:\n    assert ended.code == 0, ended.code\n"
        "assert not {'torch', 'flwr', 'sklearn', 'numpy'} & set(sys.modules), 'something heavy was loaded'\n"
        "print(time.process_time(), file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", script, "ledger", "verify", str(written[1])]
    spent = [
        float(subprocess.run(arguments, check=True, capture_output=True, text=True, cwd=ROOT).stderr.split()[-1])
        for _ in range(3)
    ]

    assert min(spent) < MOST_CPU_SECONDS
