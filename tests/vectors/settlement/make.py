"""Write the vectors of settlement: every message of whole settlements, what follows from them, and cheats.

    python tests/vectors/settlement/make.py [--check]

Each case is a folder. `case.json` says what it is, with bytes in hexadecimal; `NN<a|b>-<kind>-<from>-<to>.bin` are the
messages in the order they are sent. A folder that ends in `_fail` holds a message that every member must refuse, and
the code of the refusal. With `--check` nothing is written and the exit status is 1 if a file would change.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedgap.secagg.certificates import direction_digest, hide, slot_name
from fedgap.secagg.messages import Sealed, Voice
from fedgap.secagg.settlement import Reveal, RevealedDirection, seal_settlement
from fedgap.secagg.states import Kept
from fedgap.secagg.wire import kind_of, pack, unpack
from tests.settling.settled_run import SettledRun

HERE = Path(__file__).parent
SIZE = 24
KINDS = ("close", "agenda", "reveal", "challenge", "statement")


def direction(round_: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Numbers that every machine computes exactly."""
    return ((np.arange(SIZE) * 7 + 3 * round_) % 11 - 5) / 8.0


def update(round_: int, seat: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The same for what a member trained."""
    return (((np.arange(SIZE) * 5 + round_ + 2 * seat) % 7 - 3) / 64.0).astype(np.float32)


@dataclass
class Play(SettledRun):
    """A run whose settlement is written down while it is played."""

    d: int = SIZE
    files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directions, self.updates = lambda round_: [direction(round_)], update
        super().__post_init__()

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Write down what is sent and what comes back."""
        kinds = {seat: kind_of(unpack(Sealed, request).body).split("/")[2] for seat, request in requests.items()}
        for seat, kind in kinds.items():
            if kind in KINDS and not self._is_gone(seat, kind):
                to = seat if kind == "challenge" else "all"
                self.files[f"{KINDS.index(kind) + 1:02d}a-{kind}-server-{to}.bin"] = requests[seat]
        for seat, reply in super().exchange(requests):
            if kinds[seat] in KINDS:
                said = kind_of(reply).split("/")[2]
                self.files[f"{KINDS.index(kinds[seat]) + 1:02d}b-{said}-{seat}-server.bin"] = reply
            yield seat, reply

    def told(self, what: str) -> dict[str, bytes]:
        """Play it to the end; give all files of the case."""
        self.run()
        edges = self._edges()
        self.close()
        settlement = self.settle()
        said = settlement.statement
        told: dict[str, Any] = {
            "what": what,
            "manifest_digest": self.manifest.digest.hex(),
            "evaluation_digest": self.evaluation.digest.hex(),
            "listed": said.listed.hex(),
            "seed": self.manifest.encoding.seed,
            "amplitude": self.manifest.encoding.amplitude,
            "rounds": [self._round(opened) for opened in self.reveal().rounds],
            "members": [self._member(seat, edges[seat]) for seat in range(self.n)],
            "blocs": [[list(bloc.seats), list(bloc.values)] for bloc in said.blocs],
            "judged": [[judged.low, judged.high, list(judged.values), list(judged.liars)] for judged in said.judged],
            "values": [[str(value) for value in one.values] for one in settlement.valued],
            "standing": [one.standing for one in settlement.valued],
        }
        self.files["manifest.bin"] = pack(self.manifest)
        self.files["evaluation.bin"] = pack(self.evaluation)
        for name, evidence in self.journal.blobs.items():
            if "-evidence-" in name:
                self.files[f"{name.removeprefix('settlement-')}.bin"] = evidence
        self.files["case.json"] = (json.dumps(told, indent=1) + "\n").encode()
        return self.files

    def _edges(self) -> dict[int, dict[int, dict[int, str]]]:
        """Every edge's secret, by seat, round and peer, before they are erased."""
        found: dict[int, dict[int, dict[int, str]]] = {}
        for seat, vault in enumerate(self.vaults):
            kept = {name: unpack(Kept, content) for name, content in vault.kept.items() if name.endswith("-kept")}
            found[seat] = {
                int(name[:6]): {edge.seat: edge.secret.hex() for edge in one.edges} for name, one in kept.items()
            }
        return found

    def _round(self, opened: Any) -> dict[str, Any]:  # noqa: ANN401 - a revealed round
        listing, (shown,) = opened.listing, opened.directions
        agreed, plan = listing.agreed, listing.plan
        hidden = hide(shown.entries, shown.salt)
        return {
            "round": plan.round,
            "agreed": agreed.hex(),
            "seats": sorted(listing.seats),
            "clip": plan.clip,
            "unrounded": direction(plan.round).tolist(),
            "scale": shown.scale,
            "salt": shown.salt.hex(),
            "direction": np.frombuffer(shown.entries, "<i2").tolist(),
            "hidden": hidden.hex(),
            "slot": slot_name(agreed, 1).hex(),
            "said": direction_digest(agreed, 1, scale=shown.scale, hidden=hidden).hex(),
        }

    def _member(self, seat: int, edges: Mapping[int, Mapping[int, str]]) -> dict[str, Any]:
        return {
            "seat": seat,
            "weight": self.manifest.members[seat].weight,
            "identity_secret": self.federation.identities[seat].secret.hex(),
            "encoded": {round_: self.vector(round_, seat).tolist() for round_ in edges},
            "edges": edges,
        }


def _liar(run: Play, liar: int, shifts: Mapping[int, int]) -> Play:
    run.change = lambda kind, seat, reply: run.lied(reply, seat, shifts) if (kind, seat) == ("reveal", liar) else reply
    return run


def closed() -> Play:
    """A run that is over; what every cheat is shown to."""
    run = Play(n=4)
    run.run().close()
    return run


def _cheat(change: Callable[[Play, Reveal], Reveal], code: str, *, early: bool = False) -> dict[str, bytes]:
    run = Play(n=4).run() if early else closed()
    assert isinstance(run, Play)
    wrong = seal_settlement(run.server.identity, run.endorsed(change(run, run.shown())))
    told = {"refused_with": code, "closed": not early}
    return {
        "manifest.bin": pack(run.manifest),
        "evaluation.bin": pack(run.evaluation),
        "refused.bin": wrong,
        "case.json": (json.dumps(told, indent=1) + "\n").encode(),
    }


def _first(reveal: Reveal, change: Callable[[RevealedDirection], RevealedDirection]) -> Reveal:
    first, *rest = reveal.rounds
    return replace(reveal, rounds=(replace(first, directions=(change(first.directions[0]),)), *rest))


def _certified(run: Play, reveal: Reveal, entries: bytes) -> Reveal:
    """Another direction, though every member certified it."""
    agreed = reveal.rounds[0].listing.agreed
    name = slot_name(agreed, 1)

    def change(one: RevealedDirection) -> RevealedDirection:
        said = direction_digest(agreed, 1, scale=one.scale, hidden=hide(entries, one.salt))
        keys = enumerate(run.federation.identities)
        voices = tuple(Voice(seat=seat, signature=key.sign("direction", name, seat, said)) for seat, key in keys)
        return replace(one, entries=entries, voices=voices)

    return _first(reveal, change)


UNIT = (np.eye(1, SIZE, dtype=np.int64)[0] * 9000).astype("<i2").tobytes()
TAIL = bytes(range(2, 2 + 2 * SIZE)) + bytes(10)


def cases() -> dict[str, dict[str, bytes]]:
    """Every case by name, every file by name."""
    bad = "secagg.bad-server-message"
    return {
        "three-all-answer": Play(n=3).told("3 members, 3 rounds; everybody answers and confirms"),
        "six-two-missed-a-round": Play(n=6, gone={(1, 0): "invite", (2, 3): "relay"}).told(
            "6 members; one missed round 1, one dropped before its upload in round 2"
        ),
        "four-one-lies": _liar(Play(n=4), 2, {0: 5}).told("member 2 lies about its edge to member 0 and is named"),
        "four-one-silent": Play(n=4, gone={(0, 3): "invite"}).told("member 3 never answers; its peers vouch for it"),
        "changed-direction_fail": _cheat(
            lambda _, reveal: _first(reveal, lambda one: replace(one, entries=one.entries[::-1])), bad
        ),
        "unit-vector_fail": _cheat(lambda run, reveal: _certified(run, reveal, UNIT), "secagg.unproven-direction"),
        "tail-words_fail": _cheat(lambda run, reveal: _certified(run, reveal, TAIL), bad),
        "too-few-certified_fail": _cheat(
            lambda _, reveal: _first(reveal, lambda one: replace(one, voices=one.voices[:2])), bad
        ),
        "other-rows_fail": _cheat(lambda _, reveal: replace(reveal, rows=reveal.rows[::-1]), bad),
        "before-the-close_fail": _cheat(lambda _, reveal: reveal, "secagg.out-of-order", early=True),
    }


def main() -> None:
    """Write all cases, or compare them with what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file would change")
    check: bool = parser.parse_args().check
    wanted = {HERE / case / name: content for case, files in cases().items() for name, content in files.items()}
    present = {path for path in HERE.glob("*/*") if path.is_file() and path.suffix in {".bin", ".json"}}
    differing = [path for path in wanted.keys() | present if _content(path) != wanted.get(path)]
    if check:
        sys.exit(bool(differing))
    for path in differing:
        if path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(wanted[path])
        else:
            path.unlink()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


if __name__ == "__main__":
    main()
