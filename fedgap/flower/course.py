"""The course of a federation: which model, clip norm and plan follow from the manifest and the sums so far.

Server and members each compute it for themselves, with this code and from public numbers only: w_0 from the task, the
shared statistics and the seed; then one sum after the other. What a member computes it compares with what the server
says, so a server cannot choose a model.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from fedgap.config import FederationConfig
from fedgap.crypto import digest
from fedgap.crypto.codec import Count, Hash
from fedgap.learning import server as step
from fedgap.learning.parameters import Vector
from fedgap.learning.server import Memory, ServerState, in_memory
from fedgap.secagg.encoding import Encoding, Mean, next_clip
from fedgap.secagg.manifest import Manifest
from fedgap.secagg.messages import Outcome
from fedgap.secagg.plain import mean_of
from fedgap.secagg.transcript import Plan, state_digest
from fedgap.simulation.federate import server_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Standpoint:
    """How many sums a member has applied, and to which state they led: the body of a refusal with the code BEHIND."""

    KIND: ClassVar[str] = "standpoint/1"

    applied: Count
    state: Hash


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """Where the federation stands between two rounds.

    Attributes:
        state: model and the server optimiser's memory.
        clip: C of the next round.
        applied: sums so far; the next round has the number applied + 1.
    """

    state: ServerState
    clip: float
    applied: int = 0

    _digest: list[bytes] = field(init=False, repr=False, default_factory=list)

    @property
    def digest(self) -> bytes:
        """32 bytes that name this state; a round is bound to it."""
        if not self._digest:  # a large state takes seconds
            state = self.state
            self._digest.append(
                state_digest(state.model, state.first, state.second, clip=self.clip, applied=self.applied)
            )
        return self._digest[0]

    @property
    def standpoint(self) -> Standpoint:
        """What a member that is behind tells the server."""
        return Standpoint(applied=self.applied, state=self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A course without its numbers, which are on disk while a round is under way."""

    applied: int
    clip: float
    digest: bytes


def begin(start: Vector, encoding: Encoding) -> Course:
    """Start from w_0."""
    return Course(state=step.begin(start), clip=encoding.clip_start)


def plan_next(course: Course | Standing, manifest: Manifest, *, attempt: int) -> Plan:
    """Plan the next round under a manifest."""
    return Plan(
        manifest=manifest.digest,
        round=course.applied + 1,
        attempt=attempt,
        state=course.digest,
        clip=course.clip,
        training=manifest.training,
    )


def apply(
    course: Course,
    outcome: Outcome,
    manifest: Manifest,
    config: FederationConfig,
    *,
    room: Callable[[int], Memory] = in_memory,
) -> tuple[Course, Mean]:
    """Take the sum of the next round.

    Args:
        course: before it.
        outcome: its signatures have been checked (`fedgap.secagg.checks.check_outcome`).
        manifest: the one the round ran under.
        config: the server's step.
        room: makes room for what the server's rule remembers (see `fedgap.flower.column`).

    Returns:
        the course after it, and what the sum says beside the update, which is looked at in stripes and not kept.

    Raises:
        ValueError: the sum is not of the next round on this state.
        UnusableSumError: it says nothing.
    """
    plan = outcome.plan
    if (plan.round, plan.state, plan.manifest) != (course.applied + 1, course.digest, manifest.digest):
        raise ValueError("a sum is not of the round that comes next")
    total = np.frombuffer(outcome.total, dtype="<u4")
    seats = [survivor.seat for survivor in outcome.survivors]
    told = mean_of(manifest, total, seats=seats, clip=course.clip, part=slice(0))
    clip = next_clip(manifest.encoding, course.clip, clipped=told.clipped, survivors=told.survivors)
    state = step.step_in_parts(
        server_rule(config),
        course.state,
        lambda part: mean_of(manifest, total, seats=seats, clip=course.clip, part=part).update,
        room=room,
    )
    return replace(course, state=state, clip=clip, applied=course.applied + 1), told


def plan_digest(document: Mapping[str, Any]) -> bytes:
    """Name the settings of a federation: everything in its file but who takes part.

    Args:
        document: `FederationConfig.document()`. Where something runs (`training.device`) does not count.
    """
    settings = {name: section for name, section in document.items() if name != "organisation"}
    settings["training"] = {key: value for key, value in settings["training"].items() if key != "device"}
    text = json.dumps(settings, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return digest("plan", text)
