"""Before the first round and between rounds: who is here, who told its statistics, who has signed the manifest.

The first manifest waits for every organisation of the federation's file. Later ones wait for nobody: a newcomer is
asked for its row count and shape, a manifest with it is proposed, and rounds go on under the old one until then.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fedgap.config import FederationConfig
from fedgap.errors import FedgapError, InterruptedRunError
from fedgap.flower.board import Board
from fedgap.flower.book import Book, Enrolled
from fedgap.flower.charter import Founding
from fedgap.flower.cohort import FlowerCohort
from fedgap.flower.contract import SHAPE, STATISTICS
from fedgap.flower.course import plan_digest
from fedgap.flower.measuring import settlement_in_words
from fedgap.flower.plainvalues import StatisticsError
from fedgap.flower.preparation import (
    AskShape,
    AskStatistics,
    DifferentShapesError,
    check_statistics,
    merged,
    merged_shape,
)
from fedgap.flower.roster import SHAPE as KEPT_SHAPE
from fedgap.flower.roster import SHARED as KEPT_SHARED
from fedgap.flower.roster import Roster
from fedgap.ids import OrgId
from fedgap.learning.task import Task
from fedgap.secagg.manifest import Manifest, SignedManifest
from fedgap.secagg.wire import pack
from fedgap.simulation.shards import Shards

LOOK_S = 0.2
"""How often the server looks whether somebody came."""


class MissingOrganisationsError(FedgapError):
    """Too few organisations are there, and the time to wait is over."""

    code = "server.missing-organisations"
    remedy = "Call those named here; then start the server again: it goes on where it was."
    exit_status = 3


class RosterChangedError(FedgapError):
    """A later version of the manifest came into force while a round waited for members; nothing was opened."""

    code = "server.roster-changed"
    remedy = "The round begins again under the new version, by itself."


@dataclass(slots=True, kw_only=True)
class Gathering:
    """Waits for organisations.

    Attributes:
        config: gives the federation's file as it is now.
        task: the installed task.
        policy: text of the funding policy.
        book, roster, board: the server's memory.
        nodes: gives the nodes of connected organisations.
        cohort: makes a cohort of these nodes.
        stopped: tells whether the server is to stop.
        wait_s: how long to wait for anybody.
        shards: the evaluation rows, once the federation is founded; None if nothing is measured.
    """

    config: Callable[[], FederationConfig]
    task: Task
    policy: str | None
    book: Book
    roster: Roster
    board: Board
    nodes: Callable[[], Mapping[OrgId, int]]
    cohort: Callable[[Mapping[int, int]], FlowerCohort]
    stopped: Callable[[], bool]
    wait_s: float
    shards: Shards | None = field(default=None, init=False, repr=False)
    _founding: Founding | None = field(default=None, repr=False)

    def found(self) -> tuple[Founding, SignedManifest]:
        """Wait until the first manifest is in force, or give the one that is.

        Raises:
            MissingOrganisationsError: it takes too long.
            DataError, DifferentShapesError: the organisations' rows do not fit together.
        """
        end = self._end()
        while True:
            founding = self._found()
            if founding is None:
                missing = self._missing()
                if not missing:
                    self._prepare()
                    continue
            elif (current := self.roster.in_force()) is not None:
                return founding, current  # what was begun under it comes first; `amend` looks for the next one
            elif not (missing := self._unready(founding)):
                current = self._update(founding)
                if current is not None:
                    return founding, current
                missing = dict.fromkeys(map(str, self.roster.unsigned()), "has not signed the manifest")
            self.wait("waiting for organisations", missing, end)

    def amend(self, founding: Founding) -> SignedManifest | None:
        """Look for newcomers and for a version that is signed by now; waits for nobody."""
        self._ask_newcomers(founding)
        return self._update(founding)

    def quorum(self, manifest: Manifest) -> Mapping[int, int]:
        """Wait until enough members are connected, with the keys that the manifest names, to open a sum.

        Returns:
            the nodes of all that are, by seat.

        Raises:
            MissingOrganisationsError: it takes too long.
            RosterChangedError: a later version is in force now, perhaps with keys of those we waited for.
        """
        end, began = self._end(), time.monotonic()
        while True:
            here, absent = self._seats(manifest)
            if len(here) >= manifest.quorum.u_min and (not absent or time.monotonic() - began > 2.0):  # noqa: PLR2004 - a moment for those who reconnect
                return here
            later = None if self._founding is None else self.amend(self._founding)
            if later is not None and later.manifest != manifest:
                raise RosterChangedError(f"Version {later.manifest.version} of the roster is in force.")
            self.wait("waiting for a quorum", absent, end)

    def _seats(self, manifest: Manifest) -> tuple[dict[int, int], dict[str, str]]:
        """Tell which seats can be asked, at which nodes; and who cannot, and why."""
        nodes, here, absent = self.nodes(), {}, {}
        keys = {organisation.org: organisation.public for organisation in self.book.organisations()}
        for seat, member in enumerate(manifest.members):
            if keys.get(member.id) != member.public:
                absent[str(member.id)] = "has new keys, which the others have not signed yet"
            elif member.id not in nodes:
                absent[str(member.id)] = "is not connected"
            else:
                here[seat] = nodes[member.id]
        return here, absent

    def _found(self) -> Founding | None:
        if self._founding is None:
            found = self.roster.founding(self.config(), self.task, self.policy)
            self._founding, self.shards = (None, None) if found is None else found
            said = None if found is None else settlement_in_words(found[0].config, found[0].parameters)
            if said is not None:
                self.board.say(said)
        return self._founding

    def _invited(self) -> dict[OrgId, Enrolled | None]:
        """Everybody in the federation's file, with what the book says."""
        book = {organisation.org: organisation for organisation in self.book.organisations()}
        return {org.id: book.get(org.id) for org in sorted(self.config().organisations, key=lambda o: o.id)}

    def _members(self) -> list[Enrolled]:
        """Everybody who is approved and has answered what is asked before the first round."""
        everybody = [organisation for organisation in self._invited().values() if organisation is not None]
        return [o for o in everybody if o.standing == "approved" and o.statistics is not None and o.shape is not None]

    def _between_keys(self) -> dict[OrgId, Enrolled]:
        """Everybody who showed keys and is not ready with them: not approved yet, or not asked yet."""
        ready = {organisation.org for organisation in self._members()}
        return {org: o for org, o in self._invited().items() if o and o.standing in _KEYED and org not in ready}

    def _unready(self, founding: Founding) -> dict[str, str]:
        """Whom the first manifest waits for after all were asked once: who joined meanwhile, perhaps with new keys."""
        if self.roster.in_force() is not None:
            return {}
        self._ask_newcomers(founding)
        return {str(org): _PLAIN.get(o.standing, "has not told its rows") for org, o in self._between_keys().items()}

    def _update(self, founding: Founding) -> SignedManifest | None:
        return self.roster.update(founding, self.config(), self._members(), between_keys=self._between_keys())

    def _missing(self) -> dict[str, str]:
        """Whom the first manifest waits for, and why."""
        nodes, missing = self.nodes(), {}
        for org, organisation in self._invited().items():
            standing = "not invited" if organisation is None else organisation.standing
            if standing != "approved":
                missing[str(org)] = _PLAIN[standing]
            elif org not in nodes:
                missing[str(org)] = "is not connected"
        return missing

    def _prepare(self) -> None:
        """Ask everybody for statistics, then for the shape that follows from the merged ones."""
        names = list(self._invited())
        told = self._ask(STATISTICS, names, pack(AskStatistics(plan=self._plan())))
        if len(told) < len(names):
            return
        shared = merged(self.task, told)
        shapes = self._ask(SHAPE, names, pack(AskShape(plan=self._plan(), shared=shared)))
        if len(shapes) < len(names):
            return
        shape = merged_shape(shapes)
        for org in names:
            self.book.prepared(org, statistics=told[org], shape=shapes[org])
        self.book.keep(KEPT_SHARED, shared)
        self.book.keep(KEPT_SHAPE, pack(shape))

    def _ask_newcomers(self, founding: Founding) -> None:
        nodes = self.nodes()
        new = [org for org, o in self._invited().items() if o and o.standing == "approved" and o.shape is None]
        here = [org for org in new if org in nodes]
        if not here:
            return
        told = self._ask(STATISTICS, here, pack(AskStatistics(plan=self._plan())))
        shapes = self._ask(SHAPE, list(told), pack(AskShape(plan=self._plan(), shared=founding.shared)))
        for org, answer in shapes.items():
            if _fits(founding, answer):
                self.book.prepared(org, statistics=told[org], shape=answer)
            else:
                self.board.hear(org, DifferentShapesError.code)

    def _ask(self, purpose: str, names: list[OrgId], body: bytes) -> dict[OrgId, bytes]:
        """Ask these organisations; keep the answers that can be read."""
        self.board.begin(f"asking {len(names)} organisations for their {purpose}")
        nodes = self.nodes()
        cohort = self.cohort({seat: nodes[org] for seat, org in enumerate(names) if org in nodes})
        cohort.heard = lambda seat, asked, what: self.board.hear(names[seat], f"{asked}: {what}")
        answers = {}
        for seat, answer in cohort.ask(purpose, dict.fromkeys(range(len(names)), body)):
            try:
                if purpose == STATISTICS:
                    check_statistics(self.task, answer)
                else:
                    merged_shape({names[seat]: answer})
                answers[names[seat]] = answer
            except StatisticsError as error:
                self.board.hear(names[seat], error.code)
        if len(answers) < len(names):
            self._pause()
        return answers

    def _plan(self) -> bytes:
        return plan_digest(self.config().document())

    def _end(self) -> float:
        return time.monotonic() + self.wait_s

    def wait(self, phase: str, missing: dict[str, str], end: float) -> None:
        """Say whom we wait for, and wait a moment.

        Args:
            phase: what for.
            missing: who, and why.
            end: of the patience, on the monotonic clock.

        Raises:
            MissingOrganisationsError: that time is over.
            InterruptedRunError: the server is to stop.
        """
        self.board.begin(phase, missing)
        if time.monotonic() > end:
            names = ", ".join(f"{org} ({why})" for org, why in sorted(missing.items()))
            raise MissingOrganisationsError(f"Still missing after {self.wait_s:g} s: {names}.")
        self._pause()

    def check_stopped(self) -> None:
        """Do nothing unless the server is to stop.

        Raises:
            InterruptedRunError: it is.
        """
        if self.stopped():
            raise InterruptedRunError("The server was stopped.", remedy="Run it again: it goes on where it was.")

    def _pause(self) -> None:
        self.check_stopped()
        time.sleep(LOOK_S)


def _fits(founding: Founding, answer: bytes) -> bool:
    """Tell whether a newcomer's rows fit the model: same inputs, no class that nobody had before."""
    try:
        return merged_shape({OrgId("new"): answer, OrgId("all"): pack(founding.shape)}) == founding.shape
    except (DifferentShapesError, StatisticsError):
        return False


_KEYED = ("waiting", "approved")
_PLAIN = {
    "not invited": "is not invited: fedgap server invite",
    "invited": "has not joined yet",
    "waiting": "waits for fedgap server approve",
    "revoked": "was revoked: invite it again, or take it out of federation.toml",
}
