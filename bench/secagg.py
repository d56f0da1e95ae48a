"""Secure aggregation against Flower's own SecAgg+ functions and against the limit of the machine, in one process.

    python bench/secagg.py [--json] [--quick]

All numbers are CPU seconds of this process, on the same data. What is compared is measured in turns: ours, Flower, the
limit, ours again, and so on, each equally often and the least of each turn. Ratios are medians over the turns, and
`ratio_range` their least and largest. What only we have is the least of a few repetitions. The limit is the AES stream
of every mask plus one addition for each word, both in cache. Flower's functions are those of the installed flwr
package, called in the order of its client modifier and its workflow, without its network. They sign nothing, commit to
nothing and check no membership: checking signed key shares (`checks`) and hashing the upload (`upload_root`) are steps
that only we have; they are reported and left out of `client_step`. A round that is opened is checked against the plain
sum.
"""

import argparse
import datetime as dt
import json
import os
import platform
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.contestants.flower_secagg import Flower
from bench.contestants.timing import Work, cpu_s, in_turns, times
from fedgap import rounds
from fedgap.crypto import Keystream, digest, is_signed_statement, root_of_chunks
from fedgap.crypto.keystream import BUFFER_BYTES, STRIPE_BYTES, STRIPE_WORDS, fastest, place
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.checks import check_relay
from fedgap.secagg.client import hide
from fedgap.secagg.dealing import deal, receive
from fedgap.secagg.encoding import Contribution, Encoding, encode
from fedgap.secagg.evidence import read_sealed
from fedgap.secagg.keyring import Keyring, keyring
from fedgap.secagg.local import LocalFederation, Network, local_federation
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.masking import Ring
from fedgap.secagg.me import Me
from fedgap.secagg.messages import Relay, Unmask, Upload
from fedgap.secagg.plain import plain_sum
from fedgap.secagg.stages import Uploading
from fedgap.secagg.states import EdgeSecret, Peer, Ready, Shared
from fedgap.secagg.transcript import Plan
from fedgap.secagg.unmasking import Unmasking, open_secrets, open_sum
from fedgap.secagg.wire import pack, unpack


class Limit:
    """What no implementation in this process can undercut: the streams and the additions, each on its own, in cache.

    As many stripes are worked on as the masks have, so that it takes about as long as what it is compared with, and is
    disturbed as often.
    """

    def __init__(self, masks: int, d: int) -> None:
        room = np.zeros(2 * BUFFER_BYTES + 128, np.uint8)
        aligned = room[-room.ctypes.data % 64 :]
        self._words, self._total = (aligned[at:][:STRIPE_BYTES].view("<u4") for at in (0, STRIPE_BYTES + 64))
        stripes = masks * d / STRIPE_WORDS
        self._stream = Keystream(bytes(32))
        self._places = [place(k, aligned[:BUFFER_BYTES].data) for k in range(max(1, round(stripes)))]
        self.scale = stripes / len(self._places)

    def __call__(self) -> None:
        """Expand every stripe, then add as many."""
        for at in self._places:
            self._stream.fill(*at)
        for _ in self._places:
            np.add(self._total, self._words, self._total)


# --- ours ---


class _Remembering(rounds.MemoryJournal):
    """A journal that keeps the state before the sum was opened."""

    first: bytes = b""

    def hold(self, state: bytes) -> None:
        """Keep it a second time."""
        self.first = state
        super().hold(state)


class Ours:
    """A federation of n in this process, and one member's steps taken out of it."""

    def __init__(self, n: int, d: int, *, threads: int) -> None:
        self.n, self.d, self.threads = n, d, threads
        self.orgs = [OrgId(f"org-{k:04d}") for k in range(n)]
        encoding = Encoding(parameters=d, clip_low=0.01, clip_start=1.0, clip_high=100.0, seed=1)
        self.federation: LocalFederation = local_federation(
            FederationId("bench"), dict.fromkeys(self.orgs, 1), encoding, seed=1, threads=threads
        )
        self.manifest = self.federation.manifest
        self.plan = Plan(
            manifest=self.manifest.digest,
            round=1,
            attempt=1,
            state=digest("state"),
            clip=1.0,
            training=self.manifest.training,
        )
        update = np.random.default_rng(0).normal(scale=d**-0.5, size=d).astype(np.float32)
        self.contribution = Contribution(update=update, statistics=np.zeros(0, np.float32), metrics={})
        edges = tuple(EdgeSecret(seat=seat, secret=bytes([seat % 256]) * 32) for seat in range(1, n))
        self.ready = Ready(sid=bytes(32), t2=bytes(32), b=bytes(32), held=(), edges=edges)
        self.me = Me(self.manifest, 0, self.federation.identities[0], threads)
        self.peers = [self._peer(seat) for seat in range(n)]

    def _peer(self, seat: int) -> Peer:
        keys = Keyring(bytes([seat % 256]) * 32, self.plan.sid, seat)
        return Peer(seat=seat, mask_public=keys.mask_key.public, letter_public=keys.letter_key.public)

    def prepare(self) -> object:
        """Exchanges 1 and 2: keys, shares, commitments, letters, Merkle root, signature."""
        seed = os.urandom(32)
        first = keyring(seed, self.plan.sid, 0)
        public = first.mask_key.public, first.letter_key.public
        second = keyring(seed, self.plan.sid, 0)
        keyring.cache_clear()
        return public, deal(self.me, second, self.peers, t1=bytes(32))

    def encoded(self) -> Ring:
        """Exchange 3: clip, scale, round."""
        return encode(
            self.manifest.encoding,
            self.contribution,
            clip=1.0,
            share=1.0,
            round_=1,
            org=self.orgs[0],
            members=self.n,
        )

    def mask(self, vector: Ring) -> Ring:
        """Exchange 3: own mask and one for each peer, in place."""
        return hide(self.ready, vector, seat=0, threads=self.threads)

    def step(self, relay: Relay, state: Shared) -> bytes:
        """Exchange 3 as Flower knows it: open the letters, encode, mask, turn into bytes; plus what is committed to."""
        receive(self.me, state, relay.entries)
        return self.mask(self.encoded()).tobytes()

    def relay(self) -> tuple[Relay, Shared]:
        """What the member gets in exchange 3, and where it stands then."""
        cohort = self.federation.cohort(dict.fromkeys(self.orgs, _never), seed=2)
        now = rounds.begin(self.federation.server, self.plan, previous=None, cohort=range(self.n))
        for _ in range(2):
            now = rounds.step(self.federation.server, now.state, list(cohort.exchange(now.requests)))
        message, state = read_sealed(self.manifest, now.requests[0]), cohort.members[0]._state()  # noqa: SLF001
        assert isinstance(message, Relay)  # noqa: S101 - the third exchange
        assert isinstance(state, Shared)  # noqa: S101 - the third exchange
        return message, state

    def round(self, dropped: int) -> tuple[Unmasking, dict[str, int], bool]:
        """Play a round; return the state before the sum is opened, the bytes of one member, and whether it is exact.

        The bytes are those of a round that follows another one; the last sum in its invitation is not counted.
        """
        cohort = self.federation.cohort({org: lambda _: self.contribution for org in self.orgs}, seed=1)
        sent = {"up": 0, "down": 0}

        def count(direction: str) -> Callable[[str, int, bytes], bytes | None]:
            def seen(exchange: str, seat: int, data: bytes) -> bytes | None:
                if seat == 0:
                    sent[direction] += len(data)
                lost = direction == "up" and exchange == "relay" and seat >= self.n - dropped
                return None if lost else data

            return seen

        journal = _Remembering()
        network = Network(cohort, count("down"), count("up"))
        opened = rounds.run_round(self.federation.server, network, journal, self.plan, previous=None, attempts=1)
        server, following = self.federation.server, replace(self.plan, round=2)
        first = rounds.begin(server, self.plan, previous=None, cohort=[0]).requests[0]
        second = rounds.begin(server, following, previous=opened.outcome, cohort=[0], knowing=opened.answered).requests[
            0
        ]
        sent["down"] += len(second) - len(first) - len(opened.outcome.total)
        staying = [(org, self.contribution) for org in self.orgs[: self.n - dropped]]
        expected, _ = plain_sum(self.manifest, staying, clip=1.0, round_=1)
        state = unpack(Unmasking, journal.first)
        answered = replace(state, answers=tuple(_answers(cohort.members)[: self.n - dropped]))
        return answered, sent, bool(np.array_equal(opened.total, expected))


def _answers(members: Mapping[int, Any]) -> list[Any]:
    """Every member's answer to exchange 5, from its memory."""
    found = [member._vault.kept.get("000001-01-certificate-reply") for member in members.values()]  # noqa: SLF001
    return [unpack(Unmask, reply) for reply in found if reply]


def compare(n: int, d: int, *, dropped: int, threads: int, flower: bool) -> dict[str, Any]:
    """Measure one cell: both contestants and the limit."""
    ours = Ours(n, d, threads=threads)
    vector = ours.encoded()
    state, sent, exact = ours.round(dropped)
    secrets, _ = open_secrets(ours.manifest, state)
    assert secrets is not None  # noqa: S101 - every survivor answered
    cell: dict[str, Any] = {"n": n, "d": d, "dropped": dropped, "threads": threads, "exact": exact}
    cell["bytes_up_besides_vector"] = sent["up"] - 4 * ours.manifest.encoding.words
    cell["bytes_down"] = sent["down"]
    relay, standing = ours.relay()
    body = vector.tobytes()
    cell["ours_s"] = {
        "encode": cpu_s(ours.encoded),
        "checks": cpu_s(lambda: _check_afresh(ours.manifest, relay), repeats=3),
        "upload_root": cpu_s(lambda: root_of_chunks("upload", body), repeats=3),
        "server_shares": cpu_s(lambda: open_secrets(ours.manifest, state), repeats=3),
        "server_unmask": cpu_s(lambda: open_sum(ours.manifest, state, secrets, threads=threads), repeats=3),
    }
    works: dict[str, dict[str, Work]] = {
        "prepare": {"ours": ours.prepare},
        "mask": {"ours": lambda: ours.mask(vector)},
        "encode_and_mask": {"ours": lambda: ours.mask(ours.encoded())},
        "client_step": {"ours": lambda: ours.step(relay, standing)},
        "server_add": {"ours": lambda: np.add(vector, vector, out=np.empty_like(vector))},
    }
    if flower:
        theirs = Flower(n, ours.manifest.quorum.t, ours.contribution.update)
        quantised, mail = theirs.quantised(), theirs.mail()
        works["prepare"]["flower"] = theirs.prepare
        works["mask"]["flower"] = lambda: theirs.mask(list(quantised))
        works["encode_and_mask"]["flower"] = lambda: theirs.mask(theirs.quantised())
        works["client_step"]["flower"] = lambda: theirs.step(mail)
        works["server_add"]["flower"] = lambda: theirs.add(quantised)
        cell["flower_s"] = {"server_shares": theirs.shares_s(dropped), "server_unmask": theirs.unmask_s(dropped)}
        cell["ratio"] = {step: s / cell["ours_s"][step] for step, s in cell["flower_s"].items()}
    limit = Limit(n, d)
    for step in ("mask", "encode_and_mask"):
        works[step]["limit"] = limit
    _compare_in_turns(cell, works, turns=5 if n * d <= 10**7 else 3, scale=limit.scale)
    return cell


def _compare_in_turns(
    cell: dict[str, Any], works: Mapping[str, Mapping[str, Work]], *, turns: int, scale: float
) -> None:
    """Measure each step of both contestants, and the limit beside those it bounds; write medians into the cell."""
    cell |= {"limit_s": {}, "times_the_limit": {}, "ratio_range": {}}
    for step, contestants in works.items():
        measured = in_turns(contestants, turns=turns)
        ours = measured["ours"]
        cell["ours_s"][step] = median(ours)
        if "flower" in measured:
            cell["flower_s"][step] = median(measured["flower"])
            cell["ratio"][step] = times(ours, measured["flower"])
            each = [times([one], [other]) for one, other in zip(ours, measured["flower"], strict=True)]
            cell["ratio_range"][step] = min(each), max(each)
        if "limit" in measured:
            limit = [scale * seconds for seconds in measured["limit"]]
            cell["limit_s"][step] = median(limit)
            cell["times_the_limit"][step] = times(limit, ours)


def _check_afresh(manifest: Manifest, relay: Relay) -> None:
    """Check what was dealt with nothing remembered from before."""
    is_signed_statement.cache_clear()
    check_relay(manifest, relay)


def memory(n: int, d: int) -> dict[str, float]:
    """Peak memory of a client's step and of the server adding n uploads as they come, in bytes for each parameter."""
    ours = Ours(n, d, threads=1)
    client = _peak(lambda: ours.mask(ours.encoded()))
    server, cohort = ours.federation.server, ours.federation.cohort(dict.fromkeys(ours.orgs, _never), seed=1)
    now = rounds.begin(server, ours.plan, previous=None, cohort=range(n))
    now = rounds.step(server, now.state, list(cohort.exchange(now.requests)))
    now = rounds.step(server, now.state, list(cohort.exchange(now.requests)))
    state = now.state
    assert isinstance(state, Uploading)  # noqa: S101 - two exchanges were played

    def uploads() -> Iterator[tuple[int, bytes]]:
        for seat, identity in enumerate(ours.federation.identities):
            body = bytes(4 * ours.manifest.encoding.words)
            root = root_of_chunks("upload", body)
            signature = identity.sign("upload", state.t2, seat, ours.manifest.encoding.words, root)
            yield seat, pack(Upload(seat=seat, signature=signature, body=body))

    adding = _peak(lambda: rounds.step(server, state, uploads()))
    return {"n": n, "d": d, "client_bytes_a_parameter": client / d, "server_bytes_a_parameter": adding / d}


def _peak(work: Work) -> int:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _never(plan: Plan) -> Contribution:
    raise AssertionError(plan)


def bar(name: str, value: float, bound: float, better: str) -> dict[str, Any]:
    """One row of `bars`."""
    holds = value >= bound if better == "higher" else value <= bound
    return {"name": name, "value": value, "bound": bound, "better": better, "holds": holds}


def bars(cells: list[dict[str, Any]], memories: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Compare what was measured with the bars of the protocol's design, section 7."""
    wanted = {(10, 10**6): {"client_step": 7, "prepare": 12}, (100, 10**5): {"client_step": 20, "prepare": 40}}
    rows = []
    for cell in cells:
        where = f"n={cell['n']} d={cell['d']:.0e} dropped={cell['dropped']} threads={cell['threads']}"
        plain = cell["threads"] == 1
        for step, bound in wanted.get((cell["n"], cell["d"]), {}).items() if plain and "ratio" in cell else ():
            rows.append(bar(f"{step}: times faster than Flower, {where}", cell["ratio"][step], bound, "higher"))
        if plain and cell["n"] == 100 and cell["d"] == 10**5:  # noqa: PLR2004 - the design's cell
            rows.append(
                bar(f"server_shares: times faster than Flower, {where}", cell["ratio"]["server_shares"], 1000, "higher")
            )
        if plain and cell["d"] >= 10**6:
            for step, most in (("mask", 1.25), ("encode_and_mask", 2.0)):
                rows.append(bar(f"{step}: times the limit, {where}", cell["times_the_limit"][step], most, "lower"))
        if plain:
            rows.append(
                bar(
                    f"bytes up besides the vector / n, {where}",
                    cell["bytes_up_besides_vector"] / cell["n"],
                    400,
                    "lower",
                )
            )
            rows.append(bar(f"bytes down / n, {where}", cell["bytes_down"] / cell["n"], 600, "lower"))
        rows.append(bar(f"the opened sum is exact, {where}", float(cell["exact"]), 1, "higher"))
    if memories:
        few, many = memories
        value = many["server_bytes_a_parameter"] / few["server_bytes_a_parameter"]
        rows.append(bar("server memory: twice the organisations / half of them", value, 1.05, "lower"))
    return rows


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure everything; `quick` leaves out the largest cells."""
    sizes = [(10, 10**5), (10, 10**6), (50, 10**5), (100, 10**5)] + ([] if quick else [(50, 10**6), (100, 10**6)])
    cells = [
        compare(n, d, dropped=dropped, threads=threads, flower=True)
        for n, d in sizes
        for dropped, threads in ((0, 1), (n // 10, 1), (0, 2))
    ]
    memories = []
    if not quick:
        cells.append(compare(10, 10**7, dropped=0, threads=1, flower=False))
        memories = [memory(5, 10**7), memory(10, 10**7)]
    return {
        "benchmark": "secagg",
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "contestants": ["fedgap", f"flwr {version('flwr')} SecAgg+", f"the limit (AES-256 by {fastest()} + addition)"],
        "cells": cells,
        "memory": memories,
        "bars": bars(cells, memories),
        "not_measured": [
            "settlement: see `fedgap bench settlement`",
            "flower server_shares and server_unmask: one secret and one mask are timed and multiplied",
            *(["n=50 and n=100 at d=1e6, n=10 at d=1e7, peak memory: left out by --quick"] if quick else []),
        ],
    }


def main() -> None:
    """Print a table, or the JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--quick", action="store_true", help="leave out the largest cells")
    chosen = parser.parse_args()
    result = run(quick=chosen.quick)
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        for row in result["bars"]:
            sign = ">=" if row["better"] == "higher" else "<="
            print(
                f"{'holds' if row['holds'] else 'FAILS'}  {row['value']:10.4g} {sign} {row['bound']:<8g} {row['name']}"
            )
    sys.exit(not all(row["holds"] for row in result["bars"]))


if __name__ == "__main__":
    main()
