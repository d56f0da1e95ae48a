"""A server and one member that do anything, in any order: the two promises everything rests on still hold.

Four members, one of which sides with the server. The machine invites, leaves out, repeats, reorders, corrupts, restarts
members from their vaults, and makes any message it can from what it got. Whatever it does, no honest member signs two
statements at one stage, and nobody ever has enough shares to open both secrets of one honest member.
"""

from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fedgap.crypto import digest, root_of_chunks
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.dealt import columns, dealt_root, relays
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.errors import RefusalError
from fedgap.secagg.evidence import read_sealed, share_fits
from fedgap.secagg.local import MemoryVault, Trainer, local_federation
from fedgap.secagg.me import Me
from fedgap.secagg.messages import (
    Adverts,
    Agree,
    Certificate,
    Invite,
    Sealed,
    ServerMessage,
    Shares,
    Survivors,
    Unmask,
    Upload,
    Voice,
    seal,
)
from fedgap.secagg.participant import Participant
from fedgap.secagg.transcript import Advert, Plan, Survivor, agreement, first_transcript, second_transcript
from fedgap.secagg.wire import kind_of, pack, unpack

N, COLLUDER = 4, 3
FEDERATION = local_federation(
    FederationId("test"),
    {OrgId(f"org-{k}"): 1 for k in range(N)},
    Encoding(parameters=2, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1),
    seed=1,
)
MANIFEST, SERVER = FEDERATION.manifest, FEDERATION.server.identity
UPDATE = Contribution(update=np.ones(2, np.float32), statistics=np.zeros(0, np.float32), metrics={})
everybody = st.just(frozenset(range(N)))
some = st.frozensets(st.integers(0, N - 1), min_size=3)
seats = everybody | some
attempts = st.sampled_from([1, 1, 1, 2])


class AnySchedule(RuleBasedStateMachine):
    """The server's hand is free; the members are real."""

    @initialize(played=st.integers(0, 10))
    def found(self, played: int) -> None:
        """Four members that took part honestly in some exchanges of the first two attempts."""
        self.vaults = [MemoryVault() for _ in range(N)]
        self.draws = [iter(range(10_000)) for _ in range(N)]
        self.members = [self._start(seat) for seat in range(N)]
        self.sent: list[bytes] = []
        self.adverts: dict[bytes, dict[int, Advert]] = {}
        self.listed: dict[bytes, tuple[Advert, ...]] = {}
        self.shares: dict[bytes, dict[int, Shares]] = {}
        self.dealers: dict[bytes, tuple[Shares, ...]] = {}
        self.uploads: dict[bytes, dict[int, Survivor]] = {}
        self.lists: dict[bytes, list[tuple[bytes, tuple[Survivor, ...]]]] = {}
        self.agreed: dict[tuple[bytes, bytes], dict[int, Agree]] = {}
        self.said: dict[tuple[int, str, bytes], set[bytes]] = {}
        self.opened: dict[tuple[bytes, int], dict[int, set[str]]] = {}
        for stage in range(played):
            self.go_on(1 + stage // 5, stage % 5, frozenset(range(N)))

    def _start(self, seat: int) -> Participant:
        draws = self.draws[seat]
        me = Me(MANIFEST, seat, FEDERATION.identities[seat])
        return Participant(
            me,
            self.vaults[seat],
            Trainer(lambda _: UPDATE),
            rand=lambda size: digest("seed", seat, next(draws))[:size],
            simulation=True,
        )

    # --- what the server may do ---

    @rule(attempt=attempts, stage=st.integers(0, 4), to=seats)
    def go_on(self, attempt: int, stage: int, to: frozenset[int]) -> None:
        """One exchange of the honest course, with whoever is there."""
        everyone = frozenset(range(N))
        match stage:
            case 0:
                self.invite(attempt, to)
            case 1:
                self.show_adverts(attempt, everyone, to)
            case 2:
                self.relay(attempt, everyone, to)
            case 3:
                self.list_survivors(attempt, everyone, to)
            case _:
                self.certify(attempt, 0, to)

    @rule(attempt=attempts, to=seats)
    def invite(self, attempt: int, to: frozenset[int]) -> None:
        """Invite to the same round and state again and again."""
        self._send(Invite(plan=_plan(attempt), previous=None), to)

    @rule(attempt=attempts, among=seats, to=seats)
    def show_adverts(self, attempt: int, among: frozenset[int], to: frozenset[int]) -> None:
        """Show some adverts to some members."""
        sid = _plan(attempt).sid
        got = self.adverts.get(sid, {})
        listed = tuple(got[seat] for seat in sorted(among & got.keys()))
        if self._send(Adverts(sid=sid, adverts=listed), to):
            self.listed[sid] = listed

    @rule(attempt=attempts, among=seats, to=seats)
    def relay(self, attempt: int, among: frozenset[int], to: frozenset[int]) -> None:
        """Relay some dealers' rows to some members."""
        sid = _plan(attempt).sid
        got, listed = self.shares.get(sid, {}), self.listed.get(sid, ())
        dealers = tuple(got[seat] for seat in sorted(among & got.keys()) if len(got[seat].rows) == len(listed))
        t1 = first_transcript(MANIFEST, sid, listed)
        told = relays(sid, t1=t1, seats=[advert.seat for advert in listed], dealt=dealers)
        for seat, message in told.items():
            if seat in to and self._send(message, {seat}):
                self.dealers[sid] = dealers

    @rule(attempt=attempts, among=seats, to=seats)
    def list_survivors(self, attempt: int, among: frozenset[int], to: frozenset[int]) -> None:
        """Say that some stayed, to some; another list to others."""
        sid = _plan(attempt).sid
        got = self.uploads.get(sid, {})
        listed = tuple(got[seat] for seat in sorted(among & got.keys()))
        t2 = self._t2(sid)
        self._send(Survivors(sid=sid, t2=t2, survivors=listed), to)
        self.lists.setdefault(sid, []).append((agreement(sid, t2, listed), listed))

    @rule(attempt=attempts, which=st.integers(0, 20), to=seats)
    def certify(self, attempt: int, which: int, to: frozenset[int]) -> None:
        """Show whatever signatures there are for a list; the colluder signs any."""
        sid = _plan(attempt).sid
        if not self.lists.get(sid):
            return
        agreed, _ = self.lists[sid][which % len(self.lists[sid])]
        voices = {
            seat: Voice(seat=seat, signature=agree.signature)
            for seat, agree in self.agreed.get((sid, agreed), {}).items()
        }
        signature = FEDERATION.identities[COLLUDER].sign("agree", sid, COLLUDER, agreed)
        voices[COLLUDER] = Voice(seat=COLLUDER, signature=signature)
        ordered = tuple(voices[seat] for seat in sorted(voices))
        self._send(Certificate(sid=sid, agreement=agreed, voices=ordered), to)

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 1000), to=seats)
    def repeat(self, which: int, to: frozenset[int]) -> None:
        """Send anything that was sent before, to anybody, at any time."""
        for seat in to:
            self._deliver(self.sent[which % len(self.sent)], seat)

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 1000), seat=st.integers(0, N - 1), position=st.integers(0, 10**6))
    def corrupt(self, which: int, seat: int, position: int) -> None:
        """Flip a bit on the way."""
        request = bytearray(self.sent[which % len(self.sent)])
        request[position % len(request)] ^= 1 << position % 8
        self._deliver(bytes(request), seat)

    @rule(seat=st.integers(0, N - 1))
    def restart(self, seat: int) -> None:
        """Kill a member and start it from its vault."""
        self.members[seat] = self._start(seat)

    # --- what the members said ---

    def _t2(self, sid: bytes) -> bytes:
        t1 = first_transcript(MANIFEST, sid, self.listed.get(sid, ()))
        dealers = self.dealers.get(sid, ())
        root = dealt_root(columns(dealers, count=len(self.listed.get(sid, ()))))
        return second_transcript(t1, [dealer.seat for dealer in dealers], root)

    def _send(self, message: ServerMessage, to: frozenset[int] | set[int]) -> bool:
        request = seal(SERVER, message)
        self.sent.append(request)
        answered = [seat for seat in sorted(to) if self._deliver(request, seat)]
        return bool(answered)

    def _deliver(self, request: bytes, seat: int) -> bool:
        try:
            reply = self.members[seat].handle(request)
        except RefusalError:
            return False
        if reply is not None:
            message = read_sealed(MANIFEST, pack(replace(unpack(Sealed, request), receipt=None)))
            sid = message.sid
            self._remember(seat, sid, message, reply)
        return reply is not None

    def _remember(self, seat: int, sid: bytes, message: ServerMessage, reply: bytes) -> None:
        kind = kind_of(reply).split("/")[2]
        self.said.setdefault((seat, kind, sid), set()).add(reply)
        match kind:
            case "advert":
                self.adverts.setdefault(sid, {})[seat] = unpack(Advert, reply)
            case "shares":
                self.shares.setdefault(sid, {})[seat] = unpack(Shares, reply)
            case "upload":
                upload = unpack(Upload, reply)
                survivor = Survivor(seat=seat, root=root_of_chunks("upload", upload.body), signature=upload.signature)
                self.uploads.setdefault(sid, {})[seat] = survivor
            case "agree":
                assert isinstance(message, Survivors)
                agreed = agreement(sid, message.t2, message.survivors)
                self.agreed.setdefault((sid, agreed), {})[seat] = unpack(Agree, reply)
            case "unmask":
                self._count_shares(seat, sid, unpack(Unmask, reply))

    def _count_shares(self, holder: int, sid: bytes, answer: Unmask) -> None:
        """Find out which secret each share belongs to from what its dealer signed."""
        position = [advert.seat for advert in self.listed[sid]].index(holder)
        pieces = [answer.shares[at : at + 32] for at in range(0, len(answer.shares), 32)]
        for dealer, share in zip(self.dealers[sid], pieces, strict=True):
            kinds = {kind for kind in ("b", "sigma") if share_fits(share, dealer=dealer, position=position, kind=kind)}
            assert len(kinds) == 1
            self.opened.setdefault((sid, dealer.seat), {}).setdefault(holder, set()).update(kinds)

    @invariant()
    def nobody_signs_twice_at_a_stage(self) -> None:
        """One answer for each member, stage and attempt; a complaint replaces an upload."""
        for (seat, kind, _), replies in getattr(self, "said", {}).items():
            assert len(replies) == 1, (seat, kind)

    @invariant()
    def nobody_gets_both_secrets_of_an_honest_member(self) -> None:
        """Of no member in any attempt are there t shares of both; the colluder's own shares count for both."""
        for (_, dealer), holders in getattr(self, "opened", {}).items():
            if dealer == COLLUDER:
                continue
            counts = {kind: {COLLUDER} for kind in ("b", "sigma")}
            for holder, kinds in holders.items():
                assert holder == COLLUDER or len(kinds) == 1
                for kind in kinds:
                    counts[kind].add(holder)
            assert min(map(len, counts.values())) < MANIFEST.quorum.t

    @invariant()
    def one_state_is_opened_once(self) -> None:
        """All attempts start from one state of the model; at most one of them gets t answers."""
        answers: dict[bytes, set[int]] = {}
        for seat, kind, sid in getattr(self, "said", {}):
            if kind == "unmask" and seat != COLLUDER:
                answers.setdefault(sid, {COLLUDER}).add(seat)
        assert sum(len(who) >= MANIFEST.quorum.t for who in answers.values()) <= 1


def _plan(attempt: int) -> Plan:
    return Plan(
        manifest=MANIFEST.digest, round=1, attempt=attempt, state=digest("state"), clip=1.0, training=MANIFEST.training
    )


AnySchedule.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnySchedule = AnySchedule.TestCase


def test_the_machine_reaches_the_end_of_a_round() -> None:
    """Played in order, the machine's rules open a sum: its freedom includes the honest course."""
    machine = AnySchedule()
    machine.found(5)
    sid = _plan(1).sid
    assert {key for key in machine.said if key[1] == "unmask"} == {(seat, "unmask", sid) for seat in range(N)}
    assert all(kinds == {"b"} for holders in machine.opened.values() for kinds in holders.values())
