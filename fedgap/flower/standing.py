"""What a person at the site may ask and decide: where it stands, a manifest approved, a membership ended."""

import json
from pathlib import Path
from typing import Any

from fedgap.config.site import load_site
from fedgap.errors import UsageError
from fedgap.flower.egress import read_egress
from fedgap.flower.membership import Membership, SiteFolder, now_text
from fedgap.flower.meter import PHASES, Cost, Phase, as_document, from_document

_DIGEST_LETTERS = 64


def standing_of(path: Path) -> dict[str, Any]:
    """Sum up what a site's folder tells: facts, work by phase, what left by purpose.

    Raises:
        NotJoinedError: nothing was joined.
    """
    site = load_site(path)
    folder = SiteFolder(site.folder)
    membership = folder.membership()
    facts = {
        "federation": membership.federation,
        "organisation": membership.organisation,
        "server": membership.address,
        "joined": membership.joined,
        **folder.read_status(),
    }
    return {"facts": facts, "work": _work(folder.metering), "left": _left(folder.egress)}


def approve_manifest(path: Path, digest: str) -> None:
    """Write down that a person approved a manifest, or a version of the funding policy, by its digest.

    Raises:
        UsageError: this is no digest.
    """
    wanted = digest.strip().lower()
    if len(wanted) != _DIGEST_LETTERS or set(wanted) - set("0123456789abcdef"):
        raise UsageError("This is no digest of a manifest.", remedy="Copy the 64 letters that the client printed.")

    def approve(before: Membership) -> Membership:
        return before.model_copy(update={"manifests": list(dict.fromkeys([*before.manifests, wanted]))})

    SiteFolder(load_site(path).folder).change(approve)


def end_membership(path: Path) -> Membership:
    """End a membership; keys and journal stay, because what was sent may still have to be settled.

    Raises:
        InUseError: the client runs; stop it first.
    """
    folder = SiteFolder(load_site(path).folder)
    with folder.alone():
        return folder.change(lambda before: before.model_copy(update={"left": now_text()}))


def _work(metering: Path) -> list[dict[str, Any]]:
    """Add up the lines of the meter, by phase."""
    total: dict[Phase, Cost] = {}
    for line in metering.read_text(encoding="utf-8").splitlines() if metering.exists() else ():
        try:
            costs = from_document(json.loads(line)["phases"])
        except (ValueError, KeyError, TypeError):
            continue
        for phase, cost in costs.items():
            total[phase] = total.get(phase, Cost()).plus(cost)
    ordered: dict[Phase, Cost] = {phase: total[phase] for phase in PHASES if phase in total}
    return [{"phase": phase, **figures} for phase, figures in as_document(ordered).items()]


def _left(egress: Path) -> list[dict[str, Any]]:
    """Count messages and bytes of the egress log, by purpose."""
    found: dict[str, dict[str, Any]] = {}
    for entry in read_egress(egress):
        purpose = str(entry.get("purpose"))
        line = found.setdefault(purpose, {"purpose": purpose, "messages": 0, "bytes": 0})
        line["messages"] += int(entry.get("calls", 1))
        line["bytes"] += int(entry.get("bytes", 0))
    return list(found.values())
