"""A federation of four whose server lies to one member, for the tests beside."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest

from fedgap import rounds
from fedgap.crypto import AgreementKey, digest
from fedgap.ids import FederationId, OrgId
from fedgap.secagg.encoding import Contribution, Encoding
from fedgap.secagg.errors import (
    RefusalError,
)
from fedgap.secagg.evidence import ServerEvidence, read_sealed, server_fault
from fedgap.secagg.local import LocalFederation, MemoryVault, Network, Trainer, local_federation
from fedgap.secagg.me import Me
from fedgap.secagg.messages import (
    Outcome,
    Relay,
    RelayEntry,
    Sealed,
    ServerMessage,
    Survivors,
    seal,
)
from fedgap.secagg.participant import Participant
from fedgap.secagg.transcript import Advert, Plan, Survivor
from fedgap.secagg.wire import kind_of, unpack

N, VICTIM = 4, 1


M = TypeVar("M", bound=ServerMessage)


ZEROS = Contribution(update=np.zeros(8, np.float32), statistics=np.zeros(0, np.float32), metrics={})


def federation_of_four(seed: int = 1) -> LocalFederation:
    encoding = Encoding(parameters=8, clip_low=0.1, clip_start=1.0, clip_high=10.0, seed=1)
    weights = {OrgId(f"org-{k}"): 10 for k in range(N)}
    return local_federation(FederationId("test"), weights, encoding, seed=seed)


class Case:
    """A federation of four and everything its members said so far."""

    def __init__(self) -> None:
        self.federation = federation_of_four()
        self.manifest, self.server = self.federation.manifest, self.federation.server
        self.vaults = [MemoryVault() for _ in range(N)]
        self.members = [self.member(seat) for seat in range(N)]
        self.plan = Plan(
            manifest=self.manifest.digest,
            round=1,
            attempt=1,
            state=digest("state", 1),
            clip=1.0,
            training=self.manifest.training,
        )
        self.requests: dict[tuple[str, int], bytes] = {}
        self.state = rounds.begin(self.server, self.plan, previous=None, cohort=range(N)).state

    def member(self, seat: int, *, train: Contribution = ZEROS) -> Participant:
        """Start (again) the member at this seat."""
        me = Me(self.manifest, seat, self.federation.identities[seat])
        rand = counting(seat)
        return Participant(me, self.vaults[seat], Trainer(lambda _: train), rand=rand, simulation=True)

    def before(self, kind: str, plan: Plan | None = None, previous: Outcome | None = None) -> dict[int, bytes]:
        """Play honestly until the requests of this exchange are written; they are returned, not sent."""
        now = rounds.begin(self.server, plan or self.plan, previous=previous, cohort=range(N))
        while True:
            for seat, request in now.requests.items():
                self.requests[kind_of_request(request), seat] = request
            if kind_of_request(now.requests[VICTIM]) == kind:
                self.state = now.state
                return dict(now.requests)
            now = rounds.step(self.server, now.state, list(self._answers(dict(now.requests))))

    def _answers(self, requests: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
        for seat, request in requests.items():
            reply = self.members[seat].handle(request)
            assert reply is not None
            yield seat, reply

    def lie(self, cls: type[M], change: Callable[[M], M]) -> bytes:
        """Play honestly up to the victim's request of this class, and change what the server signs."""
        request = self.before(cls.KIND.split("/")[0])[VICTIM]
        message = read_sealed(self.manifest, request)
        assert isinstance(message, cls)
        return seal(self.server.identity, change(message))

    def refused(self, request: bytes, error: type[RefusalError], *, provable: bool) -> RefusalError:
        """The victim refuses; its evidence convinces others exactly if the fault is provable."""
        with pytest.raises(error) as caught:
            self.members[VICTIM].handle(request)
        assert (caught.value.evidence is not None) is provable
        if caught.value.evidence is not None:
            assert server_fault(self.manifest, unpack(ServerEvidence, caught.value.evidence)) is not None
            assert caught.value.evidence in self.vaults[VICTIM].kept.values()
        return caught.value


def counting(seat: int) -> Callable[[int], bytes]:
    drawn = iter(range(1000))
    return lambda size: digest("test-seed", seat, next(drawn))[:size]


def kind_of_request(request: bytes) -> str:
    return kind_of(unpack(Sealed, request).body).split("/")[2]


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


class Stubborn(Trainer):
    """An application with a plan of its own."""

    ours: Plan

    def plan(self, invited: Plan, previous: Outcome | None) -> Plan:
        """Give our own plan, whatever we are invited to."""
        del invited, previous
        return self.ours


def finished(case: Case) -> Outcome:
    """Open the sum of the case's plan."""
    network = Network(Direct(case))
    return rounds.run_round(case.server, network, rounds.MemoryJournal(), case.plan, previous=None, attempts=1).outcome


class Direct:
    """The case's own members as a cohort."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def exchange(self, requests: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """Ask all; nothing is changed on the way."""
        yield from self.case._answers(dict(requests))


def advert_of(case: Case, seat: int, *, key: bytes, sid: bytes | None = None) -> Advert:
    """An advert with a key of the server's choice, signed with a key it may have stolen or made up."""
    signer, letter = case.federation.identities[seat], AgreementKey(b"l" * 32).public
    signature = signer.sign("advert", sid or case.plan.sid, seat, key, letter)
    return Advert(seat=seat, mask_public=key, letter_public=letter, signature=signature)


def with_first_changed(message: Relay, **changes: object) -> Relay:
    first: RelayEntry = replace(message.entries[0], **changes)  # type: ignore[arg-type]  # fields of an entry
    return replace(message, entries=(first, *message.entries[1:]))


def survivor_of(case: Case, message: Survivors, seat: int, root: bytes) -> Survivor:
    words = case.manifest.encoding.words
    signature = case.federation.identities[seat].sign("upload", message.t2, seat, words, root)
    return Survivor(seat=seat, root=root, signature=signature)
