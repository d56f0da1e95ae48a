"""A federation of seven in which one member lies, for the tests beside."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedgap import rounds
from fedgap.crypto import Identity, digest, leaf_paths, seal_letter
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.dealing import hashes
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.evidence import ShareEvidence, read_sealed, shows_fault
from fedgap.secagg.inbox import Fault
from fedgap.secagg.keyring import Keyring, letter_key
from fedgap.secagg.local import local_federation
from fedgap.secagg.messages import Adverts, Shares, Unmask, slip
from fedgap.secagg.participant import Participant
from fedgap.secagg.plain import plain_sum
from fedgap.secagg.stages import Opened
from fedgap.secagg.states import Advertised, Shared
from fedgap.secagg.transcript import Advert, Plan
from fedgap.secagg.wire import kind_of, pack, unpack

N, LIAR = 7, 2


CONTRIBUTION = Contribution(
    update=np.linspace(-1, 1, 8, dtype=np.float32), statistics=np.zeros(0, np.float32), metrics={}
)


class Case:
    """Seven members, one of which answers what a test wants."""

    def __init__(self) -> None:
        encoding = Encoding(parameters=8, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
        self.orgs = [OrgId(f"org-{k}") for k in range(N)]
        self.federation = local_federation(FederationId("test"), dict.fromkeys(self.orgs, 10), encoding, seed=1)
        self.manifest, self.server = self.federation.manifest, self.federation.server
        cohort = self.federation.cohort({org: lambda _: CONTRIBUTION for org in self.orgs}, seed=1)
        self.members: Mapping[int, Participant] = cohort.members
        self.plan = Plan(
            manifest=self.manifest.digest,
            round=1,
            attempt=1,
            state=digest("state"),
            clip=1.0,
            training=self.manifest.training,
        )
        self.journal = rounds.MemoryJournal()
        self.lies: dict[type, Callable[..., object]] = {}
        self.deliver: Callable[[int, bytes], list[tuple[int, bytes]]] = lambda seat, reply: [(seat, reply)]

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask all; the liar's answers are changed on their way, by itself."""
        for seat, request in requests.items():
            reply = self.members[seat].handle(request) or b""
            if seat == LIAR:
                for cls, lie in self.lies.items():
                    if kind_of(reply) == f"fedgap/1/{cls.KIND}":  # type: ignore[attr-defined]  # a message class
                        reply = pack(lie(unpack(cls, reply)))
            yield from self.deliver(seat, reply)

    def run(self) -> Opened:
        """One round, one attempt."""
        return rounds.run_round(self.server, self, self.journal, self.plan, previous=None, attempts=1)

    @property
    def liar(self) -> Identity:
        """The liar's signing key."""
        return self.federation.identities[LIAR]

    def check_sum_without_liar(self, reason: str) -> Fault:
        """The round opens the exact sum of the others; the liar is noted for this reason."""
        opened = self.run()
        honest = [(org, CONTRIBUTION) for seat, org in enumerate(self.orgs) if seat != LIAR]
        expected, seats = plain_sum(self.manifest, honest, clip=1.0, round_=1)
        assert np.array_equal(opened.total, expected)
        assert tuple(survivor.seat for survivor in opened.outcome.survivors) == seats
        (fault,) = opened.faults
        assert (fault.seat, fault.reason) == (LIAR, reason)
        return fault

    def check_full_sum(self) -> tuple[Fault, ...]:
        """The round opens the exact sum of all."""
        opened = self.run()
        expected, _ = plain_sum(self.manifest, [(org, CONTRIBUTION) for org in self.orgs], clip=1.0, round_=1)
        assert np.array_equal(opened.total, expected)
        return opened.faults


SIGNATURE = "its signature is not valid"


def answer_with(case: Case, answer: Unmask, shares: bytes) -> Unmask:
    agreed = next(event.agreed for event in case.journal.events if isinstance(event, rounds.SurvivorsAgreed))
    signature = case.liar.sign("unmask", agreed, LIAR, digest("unmask-shares", shares))
    return replace(answer, shares=shares, signature=signature)


def answer_of(case: Case, seat: int) -> Unmask:
    """What this member unmasked."""
    return unpack(Unmask, case.members[seat]._vault.get("000001-01-certificate-reply"))


def dealt_in(case: Case) -> list[Shares]:
    """What every member dealt, in order of seats."""
    return [unpack(Shares, member._vault.get("000001-01-adverts-reply")) for _, member in sorted(case.members.items())]


def with_answers(case: Case, proof: ShareEvidence, answers: Sequence[Unmask]) -> ShareEvidence:
    """The proof with other answers and the paths that belong to them."""
    dealt = dealt_in(case)
    paths = [leaf_paths([shares.slips[answer.seat] for shares in dealt])[proof.dealer.seat] for answer in answers]
    return replace(proof, answers=tuple(answers), paths=tuple(paths))


def check_that_changed_proofs_fail(case: Case, proof: ShareEvidence) -> None:
    """Nobody is framed: every part of the proof is tied to what the accused signed."""
    others = [
        replace(proof, accused=(proof.accused + 1) % N),
        replace(proof, of_dealing=not proof.of_dealing),
        replace(proof, sid=digest("another")),
        replace(proof, survivors=proof.survivors[1:]),
        replace(proof, dealers=proof.dealers[1:]),
        replace(proof, dealers=tuple(seat for seat in proof.dealers if seat != proof.dealer.seat)),
        replace(proof, columns=proof.columns[1:]),
        replace(proof, columns=(*proof.columns, bytes(32))),
        replace(proof, columns=proof.columns[::-1]),
        replace(proof, paths=()),
        replace(proof, paths=tuple(path[::-1] for path in proof.paths)),
        replace(proof, paths=tuple(path[1:] for path in proof.paths)),
        replace(proof, adverts=proof.adverts[1:]),
        replace(proof, adverts=tuple(advert for advert in proof.adverts if advert.seat != proof.dealer.seat)),
        replace(proof, answers=()),
        replace(proof, answers=tuple(replace(answer, shares=answer.shares[:-1]) for answer in proof.answers)),
        replace(proof, answers=tuple(replace(answer, seat=900) for answer in proof.answers)),
        replace(proof, dealer=replace(proof.dealer, rows=proof.dealer.rows[::-1])),
        replace(proof, dealer=replace(proof.dealer, signatures=bytes(len(proof.dealer.signatures)))),
    ]
    for other in others:
        assert not shows_fault(case.manifest, other)


@dataclass
class Dealer:
    """The liar deals by itself, with its own seed, and can bend any part before it signs."""

    case: Case
    bend_letter: Callable[[int, bytes], bytes] = lambda holder, share: share  # noqa: ARG005 - nothing bent
    bend_hash: Callable[[int, bytes], bytes] = lambda holder, share: share  # noqa: ARG005 - nothing bent
    bend_commitment: Callable[[int, bytes], bytes] = lambda holder, commitment: commitment  # noqa: ARG005
    turn: Callable[[int], int] = lambda holder: int(holder < LIAR)
    seed: bytes = b""

    def note_seed(self, advert: Advert) -> Advert:
        """Remember the seed of the attempt while it is in the state."""
        state = self.case.members[LIAR]._state()
        assert isinstance(state, Advertised)
        self.seed = state.seed
        return advert

    def take_part(self) -> None:
        """Change what the liar sends from here on."""
        self.case.lies |= {Advert: self.note_seed, Shares: self}

    def __call__(self, shares: Shares) -> Shares:
        """Deal again."""
        state = self.case.members[LIAR]._state()
        assert isinstance(state, Shared)
        seats = [agreed.seat for agreed in state.agreements]
        dealt = Keyring(self.seed, state.sid, LIAR).shares(seats, t=self.case.manifest.quorum.t)
        member = self.case.members[LIAR]
        adverts = read_sealed(self.case.manifest, member._vault.get("000001-01-adverts-request"))
        assert isinstance(adverts, Adverts)
        keys = Keyring(self.seed, state.sid, LIAR)
        rows = []
        for peer, row, share in zip(adverts.adverts, shares.rows, dealt, strict=True):
            mine = peer.seat == LIAR
            key = keys.own_letter if mine else letter_key(keys.letter_key, peer.letter_public, t1=state.t1)
            content = self.bend_letter(peer.seat, share)
            letter = seal_letter(key, content, "letter", turn=self.turn(peer.seat))
            named = hashes(self.bend_hash(peer.seat, share))
            rows.append(self.bend_commitment(peer.seat, row[:32]) + named + letter)
        signatures = b"".join(
            self.case.liar.sign("row", state.t1, (LIAR, peer.seat), slip(row))
            for peer, row in zip(adverts.adverts, rows, strict=True)
        )
        return replace(shares, rows=tuple(rows), signatures=signatures)


def other_share(holder: int, share: bytes) -> bytes:
    return share if holder == LIAR else bytes([share[0] ^ 1]) + share[1:]
