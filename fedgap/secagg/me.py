"""Who an organisation is in a federation."""

from dataclasses import dataclass
from typing import TypeVar

from fedgap.crypto import BadSignatureError, Identity
from fedgap.secagg.errors import BadManifestError, BadServerMessageError
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import unseal

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Me:
    """Who we are: the approved manifest, our seat, our signing key, and how many threads may mask.

    Raises:
        BadManifestError: the key is not the one the roster has at this seat.
    """

    manifest: Manifest
    seat: int
    identity: Identity
    threads: int = 1

    def __post_init__(self) -> None:
        if self.manifest.members[self.seat].public != self.identity.public:
            raise BadManifestError(f"The signing key is not that of '{self.manifest.members[self.seat].id}'.")

    def read(self, cls: type[M], data: bytes) -> M:
        """Read what must be a message of the server, signed by it."""
        try:
            return unseal(self.manifest.server, cls, data)
        except BadSignatureError as error:
            raise BadServerMessageError("A request is not signed by the server of the manifest.") from error
