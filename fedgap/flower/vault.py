"""An organisation's durable memory in a folder: it survives kills, and an old copy of it is noticed."""

from pathlib import Path

from fedgap.crypto import BadBytesError, decode, encode
from fedgap.secagg.errors import JournalBehindError
from fedgap.storage import PRIVATE, DamagedFileError, PrivateFolder, replace


class FolderVault(PrivateFolder):
    """An organisation's durable memory (`fedgap.secagg.participant.Vault`).

    Each record has a number, and the last number is kept a second time in `counter`. A record below it is an old copy:
    answering from it could contradict what was already said. Keep `counter` where a backup of the folder does not
    restore it.
    """

    def __init__(self, folder: Path, *, counter: Path | None = None) -> None:
        super().__init__(folder)
        self._counter = folder / "counter" if counter is None else counter

    def load(self) -> bytes | None:
        """Give the last committed record, None at first.

        Raises:
            JournalBehindError: it is older than one that was committed.
        """
        number, record = self._read()
        counted = int(self._counter.read_text()) if self._counter.exists() else 0
        if number < counted:
            raise JournalBehindError(f"The stored state has number {number}; number {counted} was already committed.")
        return record

    def commit(self, record: bytes) -> None:
        """Replace the record."""
        number = self._read()[0] + 1
        self.put("record", encode((number, record)))
        replace(self._counter, str(number).encode(), mode=PRIVATE)

    def _read(self) -> tuple[int, bytes | None]:
        if not self._path("record").exists():
            return 0, None
        try:
            value = decode(self.get("record"))
        except BadBytesError as error:
            raise DamagedFileError(f"{self._path('record')} is damaged.") from error
        match value:
            case (int(number), bytes(record)):
                return number, record
            case _:
                raise DamagedFileError(f"{self._path('record')} is damaged.")
