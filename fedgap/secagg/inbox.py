"""Members' answers at the server: each is read strictly, checked against its signature, and used once.

Whatever is wrong is noted and counts as a dropout. A member that signed two different answers has proven it itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fedgap.crypto import is_signed, is_signed_statement, statement
from fedgap.secagg.errors import BadMessageError, QuorumLostError
from fedgap.secagg.evidence import Contradiction
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Agree, Complaint, Shares, Unmask, Upload
from fedgap.secagg.transcript import Advert
from fedgap.secagg.wire import Seat, pack, unpack

M = TypeVar("M", Advert, Shares, Upload, Agree, Unmask, Complaint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A member's answer that was not used.

    Attributes:
        seat: whose, as the transport says.
        exchange: in which one.
        reason: in words.
        evidence: bytes of a `Contradiction` or `ShareEvidence` if the fault can be shown to others.
    """

    seat: Seat
    exchange: str
    reason: str
    evidence: bytes | None = None


class Inbox:
    """The answers of one exchange while they come in."""

    def __init__(
        self, manifest: Manifest, exchange: str, faults: Sequence[Fault], *, among: Sequence[int] | None = None
    ) -> None:
        """Open it; answers are welcome from the seats in `among`, or from the whole roster."""
        self._manifest, self._exchange, self._faults = manifest, exchange, list(faults)
        self._among = set(range(len(manifest.members)) if among is None else among)
        self._said: dict[int, tuple[tuple[bytes, bytes], ...]] = {}

    def read(self, cls: type[M], replies: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, M]]:
        """Read each answer; what is malformed, or from somebody else than it says, is noted and left out."""
        for seat, reply in replies:
            try:
                message = unpack(cls, reply)
            except BadMessageError as error:
                self.note(seat, error.cause)
                continue
            if seat not in self._among or message.seat != seat:
                self.note(seat, "it was not asked, or answered for somebody else")
            else:
                yield seat, message

    def accepts(self, seat: int, signature: bytes, label: str, *values: bytes | int) -> bool:
        """Tell whether this is the member's first answer and signed by it; otherwise note why not."""
        return self.accepts_all(seat, ((statement(label, *values), signature),))

    def accepts_all(self, seat: int, signed: tuple[tuple[bytes, bytes], ...]) -> bool:
        """Tell the same of an answer of several statements, each with its signature; every answer has as many."""
        public = self._manifest.members[seat].public
        if not all(is_signed_statement(public, signature, said) for said, signature in signed):
            self.note(seat, "its signature is not valid")
            return False
        earlier = self._said.setdefault(seat, signed)
        if earlier is signed:
            return True
        for (first, first_signature), (second, second_signature) in zip(earlier, signed, strict=True):
            if first != second:
                proof = Contradiction(
                    public=public,
                    first=first,
                    first_signature=first_signature,
                    second=second,
                    second_signature=second_signature,
                )
                self.note(seat, "it signed two different answers", evidence=pack(proof))
                break
        return False

    def complaint(self, seat: int, reply: bytes, sid: bytes) -> set[int]:
        """Read a complaint: whom this member names, once each; nobody if it is not valid."""
        for _, complaint in self.read(Complaint, [(seat, reply)]):
            named = [(accusation.seat, accusation.reason) for accusation in complaint.accusations]
            public = self._manifest.members[seat].public
            if is_signed(public, complaint.signature, "complaint", sid, seat, named):
                return {accused for accused, _ in named} & self._among - {seat}
            self.note(seat, "its signature is not valid")
        return set()

    def note(self, seat: int, reason: str, *, evidence: bytes | None = None) -> None:
        """Remember that an answer was not used."""
        self._faults.append(Fault(seat=seat, exchange=self._exchange, reason=reason, evidence=evidence))

    def noted(self) -> tuple[Fault, ...]:
        """Everything noted so far in this attempt."""
        return tuple(self._faults)

    def require(self, present: int, *, needed: int | None = None) -> None:
        """End the attempt if too few answered.

        Raises:
            QuorumLostError: fewer than `needed`, by default u_min, did.
        """
        needed = self._manifest.quorum.u_min if needed is None else needed
        if present < needed:
            raise QuorumLostError(self._exchange, present=present, needed=needed)
