"""The server's side of a witness: it lays a case out for it, and takes its signatures from the file beside it.

    witness/period-1.case     made when the period is due: bring it to the witness, and to nobody else
    witness/period-1.signed   what `fedgap witness sign` made of it: put it there

Nothing is settled without the signatures, and nothing is lost while they are missing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedgap import storage
from fedgap.crypto import BadBytesError, is_signed
from fedgap.crypto.codec import pack, unpack
from fedgap.errors import FedgapError
from fedgap.flower.charter import Founding
from fedgap.flower.sums import Sums
from fedgap.flower.witness_case import Attested, Shown, WitnessCase
from fedgap.secagg.desk import Desk
from fedgap.secagg.manifest import SignedManifest
from fedgap.secagg.messages import EVERYBODY
from fedgap.secagg.revealing import Witness


class MissingWitnessError(FedgapError):
    """The witness has not signed a period's directions, and the time to wait is over."""

    code = "server.missing-witness"
    remedy = "Let it run `fedgap witness sign` on the case, put its answer there, and start the server again."
    exit_status = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessDesk:
    """The folder.

    Attributes:
        folder: where.
        founding: what all manifests have in common.
        sums: of the finished rounds.
    """

    folder: Path
    founding: Founding
    sums: Sums

    def case(self, period: int) -> Path:
        """Where the case of a period is."""
        return self.folder / f"period-{period}.case"

    def answer(self, period: int) -> Path:
        """Where its signatures belong."""
        return self.folder / f"period-{period}.signed"

    def ask(self, desk: Desk, versions: tuple[SignedManifest, ...], period: int) -> bool:
        """Lay out the case of a period, unless it is there; tell whether there is anything to sign.

        Raises:
            DiskFullError, StorageError: it cannot be written.
        """
        if self.case(period).exists():
            return True
        shown = _shown(desk, period)
        if not shown:
            return False
        storage.make_folder(self.folder)
        self.folder.chmod(0o700)
        founding, evaluation = self.founding, self.founding.evaluation
        assert evaluation is not None  # noqa: S101 - there are directions; tells mypy
        case = WitnessCase(
            plan=json.dumps(founding.config.document(), sort_keys=True),
            shared=founding.shared,
            shape=founding.shape,
            policy=founding.policy or "",
            evaluation=evaluation,
            manifests=versions,
            sums=tuple(self.sums.outcome(round_) for round_ in range(1, self.sums.count + 1)),
            period=period,
            directions=shown,
        )
        storage.replace(self.case(period), pack(case), mode=storage.PRIVATE)
        return True

    def signatures(self, desk: Desk, period: int) -> Witness | None:
        """Read the answer; None while it is missing, or is not the witness's for these directions."""
        try:
            found = unpack(Attested, self.answer(period).read_bytes())
        except (OSError, BadBytesError, FedgapError):  # absent, half copied, or something else: it may still come
            return None
        shown, key = _shown(desk, period), desk.evaluation.witness
        if key is None or found.period != period or len(found.signatures) != len(shown):
            return None
        signed: Mapping[bytes, bytes] = {one.name: s for one, s in zip(shown, found.signatures, strict=True)}
        if not all(is_signed(key, signed[one.name], "witnessed", one.name, EVERYBODY, one.said) for one in shown):
            return None
        return lambda name, said: signed[name]  # noqa: ARG005 - signed above

    def clear(self, period: int) -> None:
        """Remove the case of a settled period, and its answer."""
        for path in (self.case(period), self.answer(period)):
            path.unlink(missing_ok=True)


def _shown(desk: Desk, period: int) -> tuple[Shown, ...]:
    """The directions of a period that can be opened."""
    return tuple(
        Shown(
            round=proposal.round,
            slot=proposal.slot,
            agreed=proposal.agreed,
            scale=proposal.scale,
            salt=proposal.salt,
            entries=proposal.entries,
        )
        for round_ in desk.opened_rounds(period)
        for proposal in desk.proposals(round_)
        if not proposal.reason
    )
