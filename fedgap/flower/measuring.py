"""On which rows contributions of a deployed federation are measured, and how many numbers may be opened.

The server has the rows ([evaluation] data in its federation.toml), commits to them before the first manifest, and shows
them at settlement. Members compute the terms themselves; of the rows they know the Merkle root until then.
"""

from pathlib import Path

from fedgap.config import FederationConfig
from fedgap.crypto import BadBytesError, Rand, digest
from fedgap.errors import FedgapError
from fedgap.flower import plainvalues
from fedgap.flower.preparation import Shape
from fedgap.ids import OrgId
from fedgap.learning.rows import Rows
from fedgap.learning.task import Task
from fedgap.learning.utilities import utility_of
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.wire import unpack
from fedgap.simulation.assessing import UtilityOn
from fedgap.simulation.contribution import server_step
from fedgap.simulation.federate import server_rule
from fedgap.simulation.shards import MOST_ROWS, Shards, chosen_rows, deal
from fedgap.simulation.sites import load_rows
from fedgap.simulation.terms import Terms, terms_of

BUILT = ("committed", "public", "witness", "server_chooses_directions")
PUBLIC, WITNESS = "public", "witness"
_MAKE_KEY = "The witness makes one with `fedgap witness init`; write it into federation.toml: [evaluation] witness."
HAVE_THEM = 'Get the file from whoever publishes it and name it in site.toml: [site] evaluation_data = "FILE".'
NO_ROWS = "federation.toml names no rows to measure on: [evaluation] data"
_ROWS_NAME = OrgId("evaluation")


class EvaluationError(FedgapError):
    """What contributions are to be measured on does not do in a deployment."""

    code = "server.evaluation"
    remedy = 'Write source = "committed" and data = "rows.csv" under [evaluation], or leave [evaluation] out.'
    exit_status = 2


class ChangedRowsError(FedgapError):
    """The evaluation rows are others than those that the organisations' manifest commits to."""

    code = "server.changed-rows"
    remedy = "Put the file back that was there when the federation was founded."
    exit_status = 2


def terms_for(config: FederationConfig, parameters: int) -> Terms:
    """Say what is opened; server and members come to the same.

    Raises:
        EvaluationError: the source of directions is not built for deployments.
        TooManyPeriodsError, TooLargeSettlementError, NotAttributableError: settlement is wanted as it cannot be.
    """
    if config.evaluation is None or config.evaluation.data is None:
        return Terms(periods=0, openings=1, nothing=NO_ROWS)
    if config.evaluation.source not in BUILT:
        raise EvaluationError(f"Directions from '{config.evaluation.source}' are not built for deployments.")
    if config.evaluation.source == WITNESS and config.evaluation.witness is None:
        raise EvaluationError("The plan names no key of a witness.", remedy=_MAKE_KEY)
    step = server_step(server_rule(config))
    return terms_of(config, step, rounds=config.training.rounds, parameters=parameters)


def settlement_in_words(config: FederationConfig, parameters: int) -> str | None:
    """Say what settling moves, or why nothing is measured although rows are named; None if nobody wants it.

    Raises:
        EvaluationError, TooManyPeriodsError, TooLargeSettlementError, NotAttributableError: see `terms_for`.
    """
    if config.evaluation is None or config.evaluation.data is None:
        return None
    terms = terms_for(config, parameters)
    if terms.nothing:
        return f"no contribution will be opened, values are by weight: {terms.nothing}"
    size = f"{terms.shown_bytes / 1e6:.1f} MB at once ({parameters} parameters)"
    return f"a settlement will show every organisation {size}; server and sites hold that several times then"


def evaluation_shards(
    config: FederationConfig, task: Task, shared: bytes, parameters: int, secret: bytes
) -> Shards | None:
    """Load the evaluation rows, prepare them as organisations do theirs, and commit to them.

    Args:
        config: names the file.
        task: the installed one.
        shared: merged statistics.
        parameters: d.
        secret: 32 bytes that only the server knows; the rows' salts follow from it.

    Raises:
        DataError: the file cannot be used.
        BadManifestError: there are too few rows.
    """
    terms = terms_for(config, parameters)
    if not terms.periods or config.evaluation is None or config.evaluation.data is None:
        return None
    path, source = config.base / config.evaluation.data, config.evaluation.source
    return deal(
        prepared(path, task, shared),
        source=source,
        rounds=config.training.rounds,
        periods=terms.periods,
        seed=config.federation.seed,
        witness=witness_key(config),
        salts=lambda number: _salts(secret, number),
        file=file_digest(path) if source == PUBLIC else None,
    )


def public_rows(
    config: FederationConfig,
    task: Task,
    shared: bytes,
    parameters: int,
    evaluation: Evaluation | None,
    path: Path | None,
) -> Rows | None:
    """Load, as a member, the public rows that contributions are measured on; None if the plan measures on others.

    Args:
        config: the approved plan.
        task: the installed one.
        shared: merged statistics.
        parameters: d.
        evaluation: what the server says it measures on.
        path: where this site has them.

    Raises:
        EvaluationError: they are not here, or another file is.
        DataError: the file cannot be used.
    """
    if evaluation is None or evaluation.source != PUBLIC:
        return None
    (fixed,) = evaluation.shards
    named = f"(digest {fixed.root.hex()[:16]})"
    if path is None:
        raise EvaluationError(f"The plan measures on public rows {named}; this site has none.", remedy=HAVE_THEM)
    if file_digest(path) != fixed.root:
        raise EvaluationError(f"{path} is another file than the public rows of the plan {named}.", remedy=HAVE_THEM)
    most = MOST_ROWS * terms_for(config, parameters).periods
    return chosen_rows(prepared(path, task, shared), config.federation.seed, most)


def witness_key(config: FederationConfig) -> bytes | None:
    """Give the public key of the plan's witness; None if it has none."""
    wanted = config.evaluation
    return None if wanted is None or wanted.witness is None else bytes.fromhex(wanted.witness)


def is_public(config: FederationConfig) -> bool:
    """Tell whether contributions are measured on rows that every organisation must have."""
    wanted = config.evaluation
    return wanted is not None and wanted.source == PUBLIC and wanted.data is not None


def prepared(path: Path, task: Task, shared: bytes) -> Rows:
    """Load evaluation rows and prepare them as organisations do theirs.

    Raises:
        DataError: the file cannot be used.
    """
    statistics = plainvalues.read(shared)
    return task.prepare(load_rows(task, path, _ROWS_NAME), statistics, statistics)


def file_digest(path: Path) -> bytes:
    """Name a file of public rows: 32 bytes.

    Raises:
        EvaluationError: it cannot be read, or is no single file.
    """
    try:
        return digest("public-rows", path.read_bytes())
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read ({error.strerror}).", remedy=HAVE_THEM) from error


def read_evaluation(config: FederationConfig, content: bytes | None, parameters: int) -> Evaluation | None:
    """Read, as a member, what the server says it measures on, and check that it follows from the approved plan.

    Raises:
        EvaluationError: it does not.
    """
    terms = terms_for(config, parameters)
    if not terms.periods or config.evaluation is None:
        if content is not None:
            raise EvaluationError("The server would measure contributions, and the plan says nothing of it.")
        return None
    try:
        found = unpack(Evaluation, content or b"")
    except (BadBytesError, FedgapError) as error:
        raise EvaluationError("The server does not say what contributions are measured on.") from error
    unnamed = found.source == PUBLIC and not found.shards
    if unnamed or (found.source, found.rounds) != (config.evaluation.source, config.training.rounds):
        raise EvaluationError("The server measures contributions in another way than the plan says.")
    if found.witness != witness_key(config):
        raise EvaluationError("The server names another witness than the plan.")
    return found


def utility_on(task: Task, shape: Shape) -> UtilityOn:
    """Give the task's utility on any prepared rows."""
    return lambda rows: utility_of(task, shape.like, rows)


def _salts(secret: bytes, shard: int) -> Rand:
    """Salts that nobody guesses without the secret, the same at every start of the server."""
    drawn = 0

    def draw(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return digest("row-salt", secret, shard, drawn)[:size]

    return draw
