"""Why a round ends, or why somebody refuses to go on: typed, with a code that may cross the network.

A refusal may carry `evidence` that convinces third parties (see `fedgap.secagg.evidence`). Nothing here carries a key,
a share, or a number from an update.
"""

from typing import ClassVar

from fedgap.errors import FedgapError


class SecaggError(FedgapError):
    """Secure aggregation stopped; nothing but what was already public has been revealed."""

    code = "secagg.failed"
    remedy = "Run the round again; if it recurs, look at the member named here."


class BadMessageError(SecaggError):
    """A message is not what this stage of the protocol sends."""

    code = "secagg.bad-message"
    remedy = "The sender runs another version or the message was changed on its way; it was ignored."


class BadManifestError(SecaggError):
    """A manifest is contradictory, weaker than the protocol allows, or not signed by those who must sign it."""

    code = "secagg.bad-manifest"
    remedy = "Do not join with this manifest; ask who wrote it."


class BadUpdateError(SecaggError):
    """Our own update cannot be sent; it never left this machine."""

    code = "secagg.bad-update"
    remedy = "Look at the training of this round: a learning rate too high or a broken row makes numbers overflow."


class QuorumLostError(SecaggError):
    """Too few organisations are left; nothing was revealed."""

    code = "secagg.quorum-lost"
    remedy = "Run the round again; if it recurs, raise `secagg.reply_timeout_s`."

    def __init__(self, exchange: str, *, present: int, needed: int) -> None:
        super().__init__(f"In exchange '{exchange}' {present} organisations answered, {needed} are needed.")
        self.present, self.needed = present, needed


class ComplaintError(SecaggError):
    """Members complained about key shares or commitments; the attempt ended before anybody uploaded."""

    code = "secagg.complaint"
    remedy = "The next attempt leaves out whoever more than f members named."

    def __init__(self, accused: dict[int, tuple[int, ...]]) -> None:
        named = ", ".join(f"member {seat} by {', '.join(map(str, by))}" for seat, by in sorted(accused.items()))
        super().__init__(f"Key shares do not fit: named were {named}.")
        self.accused = accused
        """Who named each seat, with its signature."""


class RoundSuspendedError(SecaggError):
    """Too few have unmasked; nothing was revealed, and nothing else may run on this state of the model."""

    code = "secagg.round-suspended"
    remedy = "Wait until a member returns, then resume the round; its requests are the same bytes."
    exit_status: ClassVar[int] = 3

    def __init__(self, *, present: int, needed: int) -> None:
        super().__init__(f"{present} members have unmasked, {needed} are needed.")
        self.present, self.needed = present, needed


class UnusableSumError(SecaggError):
    """A sum was opened and cannot be used. The run stops: repeating it could reveal the difference of two sums.

    Attributes:
        evidence: bytes of a `ShareEvidence` if a dealer is at fault, else None.
    """

    code = "secagg.unusable-sum"
    remedy = "The run goes on only with a new version of the manifest, without whoever is named here."

    def __init__(self, cause: str, *, evidence: bytes | None = None) -> None:
        super().__init__(cause)
        self.evidence = evidence


class RefusalError(SecaggError):
    """An organisation refuses to answer a request.

    Attributes:
        evidence: bytes of an `Evidence` if the fault can be shown to others, else None.
    """

    code = "secagg.refused"
    remedy = "Nothing was sent. If evidence is attached, show it to the other members."

    def __init__(self, cause: str, *, evidence: bytes | None = None) -> None:
        super().__init__(cause)
        self.evidence = evidence


class OutOfOrderError(RefusalError):
    """A request does not fit where this organisation stands: early, late, or for another round."""

    code = "secagg.out-of-order"


class UnseenListError(OutOfOrderError):
    """A short invitation leaves out what this organisation was not shown, or does not have any more."""

    code = "secagg.unseen-list"
    remedy = "The server sends the whole invitation."


class EquivocationError(RefusalError):
    """The server signed two different messages where only one may exist."""

    code = "secagg.equivocation"


class PlanMismatchError(RefusalError):
    """The server's plan for the round is not the one this organisation approved or computed itself."""

    code = "secagg.plan-mismatch"


class BadServerMessageError(RefusalError):
    """The server signed a message that contains something invalid."""

    code = "secagg.bad-server-message"


class AlreadyOpenedError(RefusalError):
    """This model state was opened already; a second sum on it would reveal a difference."""

    code = "secagg.already-opened"


class JournalBehindError(SecaggError):
    """The stored state is older than what this organisation already sent: a restored backup, or a copied disk."""

    code = "secagg.journal-behind"
    remedy = "Do not continue from this copy. Restore the newest state, or agree on a new manifest version."
    exit_status: ClassVar[int] = 2
