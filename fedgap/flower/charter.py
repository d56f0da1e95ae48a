"""The manifest of a deployed federation: written by the server from public numbers, checked by every member.

A member recomputes each digest in it from what it was told and approved, so that the server cannot choose anything;
what the server adds is the roster, and each member vouches for its own line by signing.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from fedgap.config import ConfigError, FederationConfig, SecAgg, Settlement
from fedgap.config.policy import parse_policy
from fedgap.config.section import Problem
from fedgap.crypto import digest
from fedgap.errors import FedgapError
from fedgap.flower.course import begin, plan_digest
from fedgap.flower.first_model import first_model
from fedgap.flower.measuring import evaluation_shards, terms_for
from fedgap.flower.preparation import Shape, model_digest
from fedgap.funding import Policy
from fedgap.ids import OrgId
from fedgap.learning.parameters import Vector
from fedgap.learning.task import Task
from fedgap.learning.weights import counts
from fedgap.secagg.encoding import Encoding
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.manifest import Manifest, Member, capped
from fedgap.secagg.quorum import Quorum
from fedgap.simulation.aggregate import LOSS
from fedgap.simulation.money import PolicyPeriodsError
from fedgap.simulation.shards import Shards


class CharterError(FedgapError):
    """A manifest does not follow from what the federation's file, its statistics and its policy say."""

    code = "flower.bad-charter"
    remedy = "Do not sign it; ask the operator what was changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """What a manifest is made from, beside its roster.

    Attributes:
        config: the federation's file.
        shared: merged statistics (`preparation.merged`).
        shape: of the prepared rows.
        parameters: d.
        start: digest of the state that training starts from; of a large model the numbers are not kept.
        policy: text of the funding policy, if there is one.
        evaluation: what contributions are measured on; None if they are not.
    """

    config: FederationConfig
    shared: bytes
    shape: Shape
    parameters: int
    start: bytes
    policy: str | None
    evaluation: Evaluation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One organisation of the roster: its id, legal name, Ed25519 key, and its rows as counted or written down."""

    org: OrgId
    name: str
    public: bytes
    rows: int


def found(
    config: FederationConfig, task: Task, shared: bytes, shape: Shape, policy: str | None, *, secret: bytes
) -> tuple[Founding, Shards | None]:
    """Compute, as the server, what every manifest of a federation has in common; and the rows it measures on.

    Args:
        config: the federation's file.
        task: the installed one.
        shared: merged statistics.
        shape: of the prepared rows.
        policy: text of the funding policy.
        secret: of the salts of the evaluation rows.

    Raises:
        StartModelError: the plan begins with a model that is not here.
        PolicyPeriodsError: the policy has budgets for other periods than are settled.
        EvaluationError, DataError: contributions cannot be measured as the file says.
    """
    start = first_model(task, shape, config)
    money, periods = read_policy(policy), max(1, terms_for(config, start.size).periods)
    if money is not None and len(money.budgets) != periods:
        raise PolicyPeriodsError(budgets=len(money.budgets), periods=periods)
    shards = evaluation_shards(config, task, shared, start.size, secret)
    evaluation = None if shards is None else shards.evaluation
    return founding_of(config, shared, shape, start, policy, evaluation), shards


def founding_of(
    config: FederationConfig,
    shared: bytes,
    shape: Shape,
    start: Vector,
    policy: str | None,
    evaluation: Evaluation | None,
) -> Founding:
    """Gather it from w_0, float32, shape (d,)."""
    encoding = encoding_of(config, start.size)
    return Founding(
        config=config,
        shared=shared,
        shape=shape,
        parameters=start.size,
        start=begin(start, encoding).digest,
        policy=policy,
        evaluation=evaluation,
    )


def write_manifest(founding: Founding, roster: Sequence[Line], server: bytes, *, version: int) -> Manifest:
    """Write a version of the manifest.

    Args:
        founding: what all versions have in common.
        roster: in any order.
        server: the server's Ed25519 key.
        version: 1, or one more than the version before.

    Raises:
        BadManifestError: for instance too few organisations.
    """
    config = founding.config
    secagg, settlement = config.secagg or SecAgg(), config.settlement or Settlement()
    terms, evaluation = terms_for(config, founding.parameters), founding.evaluation
    members = members_of(config, roster)
    quorum = Quorum.of(len(members), f=secagg.f, tau=secagg.quorum)
    document, encoding = config.document(), encoding_of(config, founding.parameters)
    plan = plan_digest(document)
    return Manifest(
        federation=config.federation.id,
        version=version,
        members=members,
        server=server,
        f=quorum.f,
        tau=quorum.tau,
        encoding=encoding,
        model=model_digest(plan, founding.shared, founding.shape),
        start=founding.start,
        training=plan,
        evaluation=digest("evaluation", "nothing is opened") if evaluation is None else evaluation.digest,
        policy=policy_digest(founding.policy),
        periods=max(1, terms.periods),
        confirm_exchanges=settlement.confirm_exchanges,
        openings=terms.openings,
        amended_by="quorum",
        simulation=False,
    )


def members_of(config: FederationConfig, roster: Sequence[Line]) -> tuple[Member, ...]:
    """Order organisations by id and turn their rows into weights, capped as every manifest must have them."""
    lines = sorted(roster, key=lambda line: line.org)
    weights = counts(config.server.weights, {line.org: line.rows for line in lines})
    limits = capped([weights[line.org] for line in lines])
    return tuple(
        Member(id=line.org, name=line.name, public=line.public, weight=weight)
        for line, weight in zip(lines, limits, strict=True)
    )


def check_manifest(manifest: Manifest, founding: Founding, own: Line | None) -> None:
    """Check, as a member, that a manifest says what was agreed and has our line right.

    `own` is None for a manifest from before we joined: there is no line of ours in it.

    Raises:
        CharterError: it does not; the first difference is named.
    """
    roster = [Line(org=m.id, name=m.name, public=m.public, rows=max(m.weight, 1)) for m in manifest.members]
    expected = write_manifest(founding, roster, manifest.server, version=manifest.version)
    for name in ("federation", "f", "tau", "encoding", "model", "start", "training", "evaluation", "policy"):
        if getattr(manifest, name) != getattr(expected, name):
            raise CharterError(f"The manifest's '{name}' is not what follows from the federation's settings.")
    for name in ("periods", "confirm_exchanges", "openings", "amended_by", "simulation"):
        if getattr(manifest, name) != getattr(expected, name):
            raise CharterError(f"The manifest's '{name}' is not what follows from the federation's settings.")
    if own is None:
        return
    mine = [member for member in manifest.members if member.id == own.org]
    if not mine or (mine[0].public, mine[0].name) != (own.public, own.name):
        raise CharterError(f"The manifest has no line for '{own.org}', or one with another key or name.")


def encoding_of(config: FederationConfig, parameters: int) -> Encoding:
    """How updates become whole numbers: the same as in a simulation of the same configuration."""
    return Encoding.of(config.secagg or SecAgg(), parameters=parameters, metrics=(LOSS,), seed=config.federation.seed)


def read_policy(text: str | None) -> Policy | None:
    """Read the funding policy from its text; None if there is none.

    Raises:
        ConfigError: it has problems.
    """
    if text is None:
        return None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        cause = "It is not TOML."
        raise ConfigError(
            [Problem("policy", cause, "Correct it; `fedgap config explain` helps.")], name="The policy"
        ) from error
    return Policy.of_config(parse_policy(document))


def policy_digest(text: str | None) -> bytes:
    """Name the money rule, as the ledger does."""
    policy = read_policy(text)
    return digest("policy", "") if policy is None else policy.digest
