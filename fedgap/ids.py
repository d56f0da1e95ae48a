"""One type per identifier, so that a federation's id cannot be passed where an organisation's is meant."""

import re
from typing import NewType

OrgId = NewType("OrgId", str)
"""An organisation: a legal entity, the unit that is scored and paid."""

FederationId = NewType("FederationId", str)
"""A federation: its organisations and their plan."""

ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Identifiers are lower-case letters, digits and hyphens, at most 63: safe in file names, URLs and signed bytes."""


def is_id(text: str) -> bool:
    """Tell whether `text` may be an identifier."""
    return ID_PATTERN.fullmatch(text) is not None
