"""What may follow what: the rules that make a list of signed records one story of one federation.

    1  a manifest comes first; each later version is approved as the one before it asks
    2  every record is by the author its kind asks for: the server, the organisation it names, or the funder
    3  the policy's first version is the one the manifest names and comes before the first round; later ones have the
       same author, the next number, begin with a period that nothing was said about yet, and tau members have approved
       them before (in a simulation nobody need)
    4  attempts, utilities, directions and settlements only move forward
    5  a sum is released once a round, by organisations that were invited and agreed, with valid signatures of at least
       tau of them over D (a simulation may leave the signatures out)
    6  nobody confirms a statement that is not in the ledger; a cost is claimed and bounded once a period
    7  a co-signed checkpoint is one this ledger had

The signatures under entries and the order of entries are `chain.py`'s.
"""

from collections.abc import Callable, Sequence
from typing import Final

from fedgap.crypto import digest, is_fresh_statement, statement
from fedgap.ids import OrgId
from fedgap.ledger.errors import BadEntryError
from fedgap.records import (
    AggregateReleased,
    BadRecordError,
    CheckpointCosigned,
    ContributionEstimated,
    CostBounded,
    CostClaimed,
    CreditConfirmed,
    CreditObjected,
    DirectionCommitted,
    FundingSettled,
    ManifestSigned,
    MemberChanged,
    OpeningAnswered,
    PolicyApproved,
    PolicySigned,
    Record,
    Roster,
    RosterAgreed,
    RoundOpened,
    UtilityObserved,
    organisation_of,
)

IsSigned = Callable[[bytes, bytes, bytes], bool]
"""Tells whether the owner of a public key made a signature over a statement."""

RootAt = Callable[[int], bytes | None]
"""Root over the first so many entries, None if there were not as many."""


class Story:
    """What the entries so far say, as far as the rules need it."""

    def __init__(self, root_at: RootAt, is_signed: IsSigned = is_fresh_statement) -> None:
        self._is_signed = is_signed
        self.rosters: list[Roster] = []
        self.keys: dict[OrgId, bytes] = {}
        self.cosigned: dict[OrgId, int] = {}
        self.unsigned_sums = 0
        self.funder: bytes | None = None
        self._root_at = root_at
        self._policies: dict[bytes, int] = {}
        self._approved: dict[tuple[int, bytes, int], set[OrgId]] = {}
        self._opened: RoundOpened | None = None
        self._agreed: RosterAgreed | None = None
        self._released = self._settled = self._latest_period = 0
        self._utility = -1
        self._direction = (0, 0)
        self._statements: set[tuple[int, bytes]] = set()
        self._costs: set[tuple[type[Record], int, OrgId]] = set()

    @property
    def roster(self) -> Roster:
        """The manifest in force."""
        return self.rosters[-1]

    def is_by_server(self, record: Record, author: bytes) -> bool:
        """Tell whether an entry counts as the server's, which signs at a place."""
        if isinstance(record, ManifestSigned):
            return True
        return author == self.roster.server

    def tell(self, record: Record, author: bytes) -> None:
        """Add the next record.

        Raises:
            BadEntryError: it breaks a rule; nothing was added.
        """
        if isinstance(record, ManifestSigned):
            self._manifest(record, author)
            return
        if not self.rosters:
            raise BadEntryError("no-manifest", "A ledger begins with a manifest, and this is none.")
        if not self._may_write(record, author):
            raise BadEntryError("wrong-author", "It is signed by a key that may not make this kind of record.")
        if (rule := _RULES.get(type(record))) is not None:
            rule(self, record)
        self._latest_period = max(self._latest_period, getattr(record, "period", 0))
        if isinstance(record, PolicySigned):
            self.funder = author

    def _may_write(self, record: Record, author: bytes) -> bool:
        if record.AUTHOR == "server":
            return author == self.roster.server
        if record.AUTHOR == "organisation":
            return author == self.keys.get(organisation_of(record) or OrgId(""))
        return self.funder in {None, author}

    def _manifest(self, record: ManifestSigned, author: bytes) -> None:
        try:
            roster = Roster.of(record.manifest)
        except BadRecordError as error:
            raise BadEntryError("bad-manifest", error.cause) from error
        before = self.rosters[-1] if self.rosters else None
        if author not in {roster.server, before.server if before else roster.server}:
            raise BadEntryError("wrong-author", "A manifest is signed by a key that is not the server's.")
        fault = roster.may_follow(before, [(approval.public, approval.signature) for approval in record.approvals])
        if fault is not None:
            raise BadEntryError("bad-manifest", f"A manifest may not take effect: {fault}.")
        self.rosters.append(roster)
        self.keys.update({member.id: member.public for member in roster.members})

    def _policy(self, record: PolicySigned) -> None:
        name = digest("policy", record.policy)
        last = len(self._policies)
        _hold(record.version == last + 1, "bad-policy", "A version of the policy does not follow the one before it.")
        if last == 0:
            _hold(name == self.roster.policy, "bad-policy", "The policy is not the one that the manifest names.")
            _hold(self._opened is None, "bad-policy", "The first policy comes after the first round.")
            _hold(record.from_period == 1, "bad-policy", "The first policy does not apply from the first period.")
        else:
            in_time = record.from_period > self._latest_period
            _hold(in_time, "bad-policy", "A policy applies to a period that was already written about.")
            approved = self._approved.get((record.version, name, record.from_period), set[OrgId]())
            present = len(approved & {member.id for member in self.roster.members})
            enough = self.roster.simulation or present >= self.roster.tau
            _hold(enough, "bad-policy", f"{present} members approved a policy before; {self.roster.tau} must.")
        _hold(name not in self._policies, "bad-policy", "A version of the policy changes nothing.")
        self._policies[name] = record.from_period

    def _approve(self, record: PolicyApproved) -> None:
        follows = record.version == len(self._policies) + 1 > 1
        _hold(follows, "bad-policy", "An approved version of the policy does not follow the one before it.")
        in_time = record.from_period > self._latest_period
        _hold(in_time, "bad-policy", "An approved policy is for a period that was already written about.")
        key = (record.version, record.policy, record.from_period)
        self._approved.setdefault(key, set()).add(record.organisation)

    def _member(self, record: MemberChanged) -> None:
        right = (record.version, record.manifest) == (self.roster.version, self.roster.digest)
        _hold(right, "wrong-manifest", "A change of a member names another manifest than the one in force.")
        _hold(record.organisation in self.keys, "stranger", "A change names an organisation that never was a member.")

    def _open(self, record: RoundOpened) -> None:
        last = (self._opened.round, self._opened.attempt) if self._opened else (0, 0)
        later = (record.round, record.attempt) > last and record.round > self._released
        _hold(later, "out-of-order", "A round or attempt is not later than those before it.")
        _hold(record.manifest == self.roster.digest, "wrong-manifest", "A round runs under another manifest.")
        self._hold_members(record.cohort, [member.id for member in self.roster.members])
        self._opened, self._agreed = record, None

    def _agree(self, record: RosterAgreed) -> None:
        opened = self._hold_attempt(record)
        _hold(self._agreed is None, "repeated", "A roster was agreed on twice in one attempt.")
        self._hold_members(record.organisations, opened.cohort)
        self._agreed = record

    def _release(self, record: AggregateReleased) -> None:
        opened = self._hold_attempt(record)
        survivors = [survivor.organisation for survivor in record.survivors]
        self._hold_members(survivors, opened.cohort if self._agreed is None else self._agreed.organisations)
        _hold(record.round > self._released, "repeated", "The sum of a round was released twice.")
        if self.roster.simulation and not record.voices:
            self.unsigned_sums += 1
        else:
            self._hold_voices(record, opened, survivors)
        self._released = record.round

    def _hold_voices(self, record: AggregateReleased, opened: RoundOpened, survivors: list[OrgId]) -> None:
        _hold(self._agreed is not None, "out-of-order", "A sum was released before a roster was agreed on.")
        assert self._agreed is not None  # noqa: S101 - just checked; tells mypy
        seats = {member.id: seat for seat, member in enumerate(self.roster.members)}
        still = seats.keys() >= set(survivors)
        _hold(still, "wrong-members", "A sum is of an organisation that left before it was released.")
        roots = [(seats[survivor.organisation], survivor.root) for survivor in record.survivors]
        right = record.agreed == digest("D", roots, opened.sid, self._agreed.t2)
        _hold(right, "wrong-agreement", "What was agreed is not over these survivors.")
        voices = [voice.organisation for voice in record.voices]
        self._hold_members(voices, survivors)
        _hold(len(voices) >= self.roster.tau, "too-few-voices", f"{len(voices)} signed, {self.roster.tau} must.")
        for voice in record.voices:
            seat = seats[voice.organisation]
            public = self.roster.members[seat].public
            words = statement("agree", opened.sid, seat, record.agreed)
            valid = self._is_signed(public, voice.signature, words)
            _hold(valid, "bad-voice", "A signature over who stayed is not valid.")

    def _direct(self, record: DirectionCommitted) -> None:
        later = (record.round, record.slot) > self._direction and record.round <= self._released
        _hold(later, "out-of-order", "A direction is out of order, or of a round without a sum.")
        self._direction = (record.round, record.slot)

    def _observe(self, record: UtilityObserved) -> None:
        in_order = self._utility < record.round <= self._released
        _hold(in_order, "out-of-order", "A utility is out of order, or of a round without a sum.")
        self._utility = record.round

    def _answer(self, record: OpeningAnswered) -> None:
        _hold(record.opening <= self.roster.openings, "too-many-openings", "There is no such opening in the manifest.")
        known = all(answer.peer in self.keys and answer.peer != record.organisation for answer in record.answers)
        _hold(known, "stranger", "An answer names itself or an organisation that never was a member.")

    def _estimate(self, record: ContributionEstimated) -> None:
        known = {record.organisation, *record.vouched_by} <= self.keys.keys()
        _hold(known, "stranger", "A value names an organisation that never was a member.")
        self._statements.add((record.period, record.statement))

    def _credit(self, record: CreditConfirmed | CreditObjected) -> None:
        known = (record.period, record.statement) in self._statements
        _hold(known, "unknown-statement", "It is about a statement that is not in the ledger.")

    def _cost(self, record: CostClaimed | CostBounded) -> None:
        key = (type(record), record.period, record.organisation)
        _hold(record.organisation in self.keys, "stranger", "A cost names an organisation that never was a member.")
        _hold(key not in self._costs, "repeated", "A cost was claimed or bounded twice for one period.")
        self._costs.add(key)

    def _settle(self, record: FundingSettled) -> None:
        _hold(record.period > self._settled, "out-of-order", "A period was settled twice or out of order.")
        first = self._policies.get(record.policy)
        _hold(first is not None and first <= record.period, "unknown-policy", "No such policy applied in the period.")
        self._settled = record.period

    def _cosign(self, record: CheckpointCosigned) -> None:
        _hold(self._root_at(record.size) == record.root, "other-history", "It co-signs a history that is not this one.")
        self.cosigned[record.organisation] = max(record.size, self.cosigned.get(record.organisation, 0))

    def _hold_attempt(self, record: RosterAgreed | AggregateReleased) -> RoundOpened:
        opened = self._opened
        right = opened is not None and (opened.round, opened.attempt) == (record.round, record.attempt)
        _hold(right, "out-of-order", "It is about an attempt that is not the one that runs.")
        assert opened is not None  # noqa: S101 - just checked; tells mypy
        return opened

    @staticmethod
    def _hold_members(names: Sequence[OrgId], among: Sequence[OrgId]) -> None:
        """Names come in the order of the roster, each once."""
        if len(names) == len(among) and tuple(names) == tuple(among):
            return
        places = {name: place for place, name in enumerate(among)}
        found = [places.get(name, -1) for name in names]
        right = found == sorted(set(found)) and (not found or found[0] >= 0)
        _hold(right, "wrong-members", "A list of organisations is not in order, or one does not belong there.")


def _hold(right: bool, fault: str, cause: str) -> None:  # noqa: FBT001 - reads like an assertion
    if not right:
        raise BadEntryError(fault, cause)


_RULES: Final[dict[type[Record], Callable[..., None]]] = {
    PolicySigned: Story._policy,  # noqa: SLF001 - a table of this class's own methods
    PolicyApproved: Story._approve,  # noqa: SLF001
    MemberChanged: Story._member,  # noqa: SLF001
    RoundOpened: Story._open,  # noqa: SLF001
    RosterAgreed: Story._agree,  # noqa: SLF001
    AggregateReleased: Story._release,  # noqa: SLF001
    DirectionCommitted: Story._direct,  # noqa: SLF001
    UtilityObserved: Story._observe,  # noqa: SLF001
    OpeningAnswered: Story._answer,  # noqa: SLF001
    ContributionEstimated: Story._estimate,  # noqa: SLF001
    CreditConfirmed: Story._credit,  # noqa: SLF001
    CreditObjected: Story._credit,  # noqa: SLF001
    CostClaimed: Story._cost,  # noqa: SLF001
    CostBounded: Story._cost,  # noqa: SLF001
    FundingSettled: Story._settle,  # noqa: SLF001
    CheckpointCosigned: Story._cosign,  # noqa: SLF001
}
