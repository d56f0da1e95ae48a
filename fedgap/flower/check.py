"""`fedgap client check`: everything a site needs, tried without sending anything.

Each finding says what was tried and how it ended; one that fails has a cause and a remedy. The connection is tried with
a question for the server's health: nothing of this site is in it.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from fedgap.config.site import SiteConfig, load_site
from fedgap.crypto.codec import unpack
from fedgap.errors import FedgapError
from fedgap.flower import plainvalues
from fedgap.flower.desk import Desk
from fedgap.flower.egress import EgressLog
from fedgap.flower.finding import Finding, Found, tried
from fedgap.flower.limits import LimitError, TooManyRoundsError, check_task
from fedgap.flower.measuring import HAVE_THEM, EvaluationError, file_digest, is_public, settlement_in_words, terms_for
from fedgap.flower.membership import Membership, SiteFolder
from fedgap.flower.meter import Machine, Meter
from fedgap.flower.outbound import proxy_to
from fedgap.flower.preparation import Statistics
from fedgap.flower.start_file import FILE as START
from fedgap.flower.start_file import named_model
from fedgap.flower.workplace import Workplace, told
from fedgap.learning.vector import build, pick_device
from fedgap.simulation.sites import load_rows
from fedgap.storage import StorageError

BYTES_A_PARAMETER = 8
"""What the journal keeps of a round until it is settled, for each trained number."""


class TooLittleDiskError(FedgapError):
    """The disk cannot hold what the protocol keeps until it is settled."""

    code = "client.disk"
    remedy = "Free some space, or put [site] folder on a larger disk before joining."


def check_site(path: Path) -> Iterator[Finding]:
    """Try everything, one finding after the other; what depends on something that failed is left out.

    Raises:
        ConfigError: site.toml itself is wrong.
        NotJoinedError: nothing was joined yet.
    """
    site = load_site(path)
    folder = SiteFolder(site.folder)
    membership = folder.membership()
    yield Finding(
        name="membership",
        text=f"{membership.organisation} in {membership.federation}, joined {membership.joined}",
        error=None,
        facts={"organisation": membership.organisation, "federation": membership.federation},
    )
    place = Workplace(
        config=told(membership.document, site.base),
        org=membership.org,
        source=site.data,
        evaluation_data=site.evaluation_data,
        limits=site.limits,
        meter=Meter(Machine()),
    )
    attempts: tuple[tuple[str, Callable[[], Found]], ...] = (
        ("task", lambda: _task(site, place)),
        ("data", lambda: _data(place)),
        *([("evaluation", lambda: _evaluation(place))] if is_public(place.config) else []),
        *([("start", lambda: _start(place))] if place.config.federation.start is not None else []),
        ("disk", lambda: _disk(site, place)),
        ("limits", lambda: _limits(site, place)),
        ("connection", lambda: _connection(folder, membership)),
    )
    for name, attempt in attempts:
        finding = tried(name, attempt)
        yield finding
        if not finding.ok and name in {"task", "data"}:
            yield tried("connection", lambda: _connection(folder, membership))
            return


def _task(site: SiteConfig, place: Workplace) -> Found:
    check_task(site.limits, place.config)
    name = place.config.federation.task
    return f"{name} is allowed and installed ({type(place.task).__name__})", {"task": name}


def _data(place: Workplace) -> Found:
    data = place.training_data()
    sent = unpack(Statistics, place.statistics())
    text = f"{len(data)} rows of {place.source} train; their statistics ({len(sent.content)} bytes) are sent once"
    return text, {"train_rows": len(data), "statistics_bytes": len(sent.content)}


def _evaluation(place: Workplace) -> Found:
    """Whether it is the plan's file is seen when there is a manifest; a file that is missing is seen at once."""
    path = place.evaluation_data
    if path is None:
        raise EvaluationError("The plan measures on public rows; this site names none.", remedy=HAVE_THEM)
    named = file_digest(path).hex()[:16]
    rows = len(load_rows(place.task, path, place.org))
    return f"{rows} public rows in {path} (digest {named}) measure contributions", {"rows": rows, "digest": named}


def _start(place: Workplace) -> Found:
    path = place.config.base / START
    found = named_model(path, place.config.federation.start or "")
    return f"{path} is the model that the plan begins with ({found.size} parameters)", {"parameters": found.size}


def _disk(site: SiteConfig, place: Workplace) -> Found:
    data = place.training_data()
    own = place.task.statistics(data)
    rows = place.task.prepare(data, plainvalues.read(plainvalues.write(own)), own)
    parameters = build(place.task, rows, pick_device("cpu")).size
    needed = BYTES_A_PARAMETER * parameters * place.config.training.rounds
    try:
        free = shutil.disk_usage(site.folder).free
    except OSError as error:
        raise StorageError(f"{site.folder} cannot be looked at ({error.strerror}).") from error
    if free < needed:
        raise TooLittleDiskError(f"{needed / 1e9:.1f} GB may be kept, and {free / 1e9:.1f} GB are free.")
    text = f"about {needed / 1e6:.1f} MB are kept until settlement ({parameters} parameters), {free / 1e9:.1f} GB free"
    said, shown = settlement_in_words(place.config, parameters), terms_for(place.config, parameters).shown_bytes
    facts = {"parameters": parameters, "needed_bytes": needed, "free_bytes": free, "shown_bytes": shown}
    return text if said is None else f"{text}; {said}", facts


def _limits(site: SiteConfig, place: Workplace) -> Found:
    limits, rounds = site.limits, place.config.training.rounds
    planned = {organisation.id for organisation in place.config.organisations}
    if len(planned) < limits.minimum_cohort or not set(limits.required) <= planned:
        raise LimitError("The plan names fewer or other organisations than [limits] asks for; no round will begin.")
    if rounds > limits.rounds:
        raise TooManyRoundsError(f"The plan has {rounds} rounds; this site takes part in {limits.rounds}.")
    when = ", ".join(limits.hours) or "at any time"
    text = f"{rounds} rounds, {when}, sums over at least {limits.minimum_cohort} organisations"
    return text, {"rounds": rounds, "minimum_cohort": limits.minimum_cohort}


def _connection(folder: SiteFolder, membership: Membership) -> Found:
    proxy = proxy_to(membership.address)
    with EgressLog(folder.egress, to=membership.address) as egress:
        Desk(membership.address, ca=membership.ca, egress=egress).health()
    way = "directly" if proxy is None else "through the proxy that HTTPS_PROXY names"
    return f"{membership.address} answers over TLS, {way}", {"server": membership.address, "proxy": proxy is not None}
