"""Write the vectors of secure aggregation: every message, mask and digest of whole rounds, and cheats that are refused.

    python tests/vectors/secagg/make.py [--check]

Each case is a folder. `case.json` says what it is, with every value in hexadecimal; `NN-<kind>-<from>-<to>.bin` are the
messages in the order they are sent. A folder that ends in `_fail` holds messages that must be refused, and the code of
the refusal. With `--check` nothing is written and the exit status is 1 if a file would change.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedgap import rounds
from fedgap.crypto import Keystream, digest
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding, Metric, encode
from fedgap.secagg.evidence import read_sealed
from fedgap.secagg.keyring import Keyring, edge_commitment, mask_key, pair_mask, self_mask
from fedgap.secagg.local import LocalFederation, MemoryVault, Trainer, local_federation
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Adverts, Certificate, Relay, Sealed, ServerMessage, Survivors, seal
from fedgap.secagg.participant import Participant
from fedgap.secagg.states import Kept
from fedgap.secagg.transcript import Plan
from fedgap.secagg.wire import kind_of, pack, unpack

HERE = Path(__file__).parent
SIZE = 5
EXCHANGES = ("invite", "adverts", "relay", "survivors", "certificate")


def _federation(n: int) -> LocalFederation:
    encoding = Encoding(
        parameters=SIZE,
        statistics=2,
        statistics_bound=4.0,
        clip_low=0.5,
        clip_start=1.0,
        clip_high=2.0,
        metrics=(Metric(name="loss", bound=10.0),),
        seed=7,
    )
    weights = {OrgId(f"org-{k}"): 10 + k for k in range(n)}
    return local_federation(FederationId("vectors"), weights, encoding, seed=11)


def _contribution(seat: int) -> Contribution:
    """Numbers that every machine computes exactly."""
    return Contribution(
        update=np.asarray([(seat + 1) * (k - 2) / 64 for k in range(SIZE)], np.float32),
        statistics=np.asarray([seat / 4, -1.0], np.float32),
        metrics={"loss": 0.5 + seat},
    )


def _seed(seat: int) -> bytes:
    return digest("vector-seed", seat)


@dataclass
class Play:
    """A round that is written down while it is played; `gone` says who falls silent at which exchange."""

    n: int
    gone: Mapping[int, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.federation = _federation(self.n)
        manifest = self.federation.manifest
        self.plan = Plan(
            manifest=manifest.digest,
            round=1,
            attempt=1,
            state=digest("vector-state"),
            clip=1.0,
            training=manifest.training,
        )
        self.vaults = [MemoryVault() for _ in range(self.n)]
        self.members = [self.member(seat) for seat in range(self.n)]
        self.requests: dict[tuple[str, int], bytes] = {}

    def member(self, seat: int) -> Participant:
        """Start a member with the seed that is written into the vector."""
        me = Me(self.federation.manifest, seat, self.federation.identities[seat])
        trainer = Trainer(lambda _: _contribution(seat))
        return Participant(me, self.vaults[seat], trainer, rand=lambda _: _seed(seat), simulation=True)

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Write down what is sent and what comes back."""
        for seat, request in sorted(requests.items()):
            kind = kind_of(unpack(Sealed, request).body).split("/")[2]
            step = EXCHANGES.index(kind)
            self.requests[kind, seat] = request
            to = seat if kind in {"relay", "survivors"} else "all"
            self.files[f"{step + 1:02d}a-{kind}-server-{to}.bin"] = request
            if step < EXCHANGES.index(self.gone.get(seat, "certificate")) or seat not in self.gone:
                reply = self.members[seat].handle(request) or b""
                said = kind_of(reply).split("/")[2]
                self.files[f"{step + 1:02d}b-{said}-{seat}-server.bin"] = reply
                yield seat, reply

    def run(self) -> dict[str, bytes]:
        """Play the round; give all files of the case."""
        journal = rounds.MemoryJournal()
        opened = rounds.run_round(self.federation.server, self, journal, self.plan, previous=None, attempts=1)
        manifest, sid = self.federation.manifest, self.plan.sid
        events = {type(event).__name__: event for event in journal.events}
        told: dict[str, Any] = {
            "what": f"{self.n} members; silent from: {dict(self.gone)}",
            "manifest_digest": manifest.digest.hex(),
            "encoding_digest": manifest.encoding.digest.hex(),
            "sid": sid.hex(),
            "t2": events["RosterAgreed"].t2.hex(),  # type: ignore[union-attr]  # that event has it
            "agreement": events["SurvivorsAgreed"].agreed.hex(),  # type: ignore[union-attr]  # that event has it
            "sum": opened.total.tolist(),
            "members": [self._told(seat, sid) for seat in range(self.n)],
        }
        following = replace(self.plan, round=2, state=digest("vector-state", 2))
        known = opened.answered
        after = rounds.begin(
            self.federation.server, following, previous=opened.outcome, cohort=known, knowing=known[1:]
        )
        self.files["06a-invite-server-whole.bin"], self.files["06a-recalled-server-short.bin"] = (
            after.requests[seat] for seat in known[:2]
        )
        self.files["manifest.bin"] = pack(manifest)
        self.files["outcome.bin"] = pack(opened.outcome)
        self.files["case.json"] = (json.dumps(told, indent=1) + "\n").encode()
        return self.files

    def _told(self, seat: int, sid: bytes) -> dict[str, Any]:
        """A member's secrets, its encoded update, its edges and their masks, as far as it got."""
        manifest = self.federation.manifest
        keys = Keyring(_seed(seat), sid, seat)
        vector = encode(
            manifest.encoding,
            _contribution(seat),
            clip=1.0,
            share=manifest.share(seat),
            round_=1,
            org=manifest.members[seat].id,
            members=self.n,
        )
        kept = self.vaults[seat].kept.get("000001-01-kept")
        edges = unpack(Kept, kept).edges if kept else ()
        return {
            "seat": seat,
            "identity_secret": self.federation.identities[seat].secret.hex(),
            "seed": keys.seed.hex(),
            "sigma": keys.sigma.hex(),
            "b": keys.b.hex(),
            "mask_secret": mask_key(keys.sigma, sid, seat).secret.hex(),
            "encoded": vector.tolist(),
            "self_mask": Keystream(self_mask(keys.b, sid, seat)).read(0, 4 * len(vector)).hex(),
            "edges": [
                {
                    "peer": peer.seat,
                    "secret": peer.secret.hex(),
                    "commitment": edge_commitment(peer.secret).hex(),
                    "mask": Keystream(pair_mask(peer.secret)).read(0, 4 * len(vector)).hex(),
                }
                for peer in edges
            ],
        }


def _cheat(kind: str, change: Callable[[Any], ServerMessage], code: str) -> dict[str, bytes]:
    """Play honestly up to member 1's request of this kind; give it changed, with what member 1 got before."""
    play = Play(4)
    play.run()
    message = read_sealed(play.federation.manifest, play.requests[kind, 1])
    cheat = seal(play.federation.server.identity, change(message))
    before = [play.requests[earlier, 1] for earlier in EXCHANGES[: EXCHANGES.index(kind)]]
    files = {f"{k + 1:02d}-before.bin": request for k, request in enumerate(before)}
    told = {"refused_with": code, "member": 1, "seed": _seed(1).hex()}
    return {
        **files,
        "manifest.bin": pack(play.federation.manifest),
        "refused.bin": cheat,
        "case.json": (json.dumps(told, indent=1) + "\n").encode(),
    }


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _other_key(message: Adverts) -> Adverts:
    first = replace(message.adverts[0], mask_public=bytes(31) + b"\7")
    return replace(message, adverts=(first, *message.adverts[1:]))


def _other_letter(message: Relay) -> Relay:
    first = replace(message.entries[0], slip=_flipped(message.entries[0].slip))
    return replace(message, entries=(first, *message.entries[1:]))


def _other_root(message: Survivors) -> Survivors:
    first = replace(message.survivors[0], root=bytes(32))
    return replace(message, survivors=(first, *message.survivors[1:]))


def _too_few(message: Certificate) -> Certificate:
    return replace(message, voices=message.voices[:2])


def cases() -> dict[str, dict[str, bytes]]:
    """Every case by name, every file by name."""
    return {
        "three-all-stay": Play(3).run(),
        "five-one-drops-before-its-upload": Play(5, {3: "relay"}).run(),
        "five-one-drops-before-it-unmasks": Play(5, {0: "certificate"}).run(),
        "replaced-key_fail": _cheat("adverts", _other_key, "secagg.bad-server-message"),
        "changed-letter_fail": _cheat("relay", _other_letter, "secagg.bad-server-message"),
        "other-view_fail": _cheat("relay", lambda m: replace(m, t1=bytes(32)), "secagg.equivocation"),
        "replaced-upload_fail": _cheat("survivors", _other_root, "secagg.bad-server-message"),
        "too-few-signatures_fail": _cheat("certificate", _too_few, "secagg.bad-server-message"),
        "other-list_fail": _cheat("certificate", lambda m: replace(m, agreement=bytes(32)), "secagg.equivocation"),
    }


def main() -> None:
    """Write all cases, or compare them with what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file would change")
    check: bool = parser.parse_args().check
    wanted = {HERE / case / name: content for case, files in cases().items() for name, content in files.items()}
    present = {path for path in HERE.glob("*/*") if path.is_file()}
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
