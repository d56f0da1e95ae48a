"""The process that works: one site, resident, started and watched by `fedgap.flower.supervisor`.

Started as `python -m fedgap.flower.child SITE EVENTS`: EVENTS is the number of a pipe into which it writes
what happens, one JSON object a line. The first line of its standard input is the passphrase, as JSON; when that stream
ends, so does the process, because nobody watches it any more.
"""

import json
import os
import resource
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from fedgap.config.site import GIB, SiteConfig, load_site
from fedgap.crypto import system
from fedgap.errors import FedgapError
from fedgap.flower import live_in
from fedgap.flower.membership import SiteFolder
from fedgap.flower.meter import Machine, Meter, find_gpu_counter

FAILED, WRONG_USE, DONE = 1, 2, 0


def main() -> int:
    """Work until the federation has ended, a signal comes, or the watcher is gone."""
    site_path, pipe = sys.argv[1:]
    say = _speaker(int(pipe))
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the watcher too; it says SIGTERM
    passphrase = json.loads(sys.stdin.readline() or "null")
    threading.Thread(target=_end_with_the_watcher, daemon=True).start()
    try:
        _work(load_site(Path(site_path)), passphrase, say)
    except FedgapError as error:
        say("failed", code=error.code, cause=error.cause, remedy=error.remedy, status=error.exit_status)
        return WRONG_USE
    return DONE


def _work(site: SiteConfig, passphrase: str | None, say: Any) -> None:  # noqa: ANN401 - a callable
    folder = SiteFolder(site.folder)
    live_in(folder.flower)
    if site.limits.memory_gib is not None:
        size = int(site.limits.memory_gib * GIB)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    from fedgap.flower.desk import Desk  # noqa: PLC0415 - loads Flower, which must find its home and limits set
    from fedgap.flower.egress import EgressLog  # noqa: PLC0415 - same reason
    from fedgap.flower.node import make_node  # noqa: PLC0415 - same reason
    from fedgap.flower.resident import Resident  # noqa: PLC0415 - same reason

    membership = folder.membership()
    identity, key = folder.keys(passphrase)
    egress = EgressLog(folder.egress, to=membership.address)
    resident = Resident(
        site=site,
        folder=folder,
        membership=membership,
        identity=identity,
        desk=Desk(membership.address, ca=membership.ca, egress=egress),
        meter=Meter(Machine(gpu=find_gpu_counter())),
        say=say,
        rand=system,
        earlier=folder.earlier_identity(passphrase),
    )
    try:
        make_node(resident=resident, membership=membership, key=key, egress=egress).run()
    finally:
        resident.close()
        egress.close()


def _speaker(pipe: int) -> Any:  # noqa: ANN401 - a callable
    lock = threading.Lock()

    def say(kind: str, **facts: Any) -> None:  # noqa: ANN401 - plain facts
        error = facts.pop("error", None)
        if isinstance(error, BaseException):
            traceback.print_exception(error)  # into the site's log; it does not leave
        with lock:
            os.write(pipe, json.dumps({"event": kind, **facts}).encode() + b"\n")

    return say


def _end(*_signal: object) -> None:
    raise SystemExit(DONE)


def _end_with_the_watcher() -> None:
    while sys.stdin.readline():
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
