"""A configuration in a few plain sentences, so that whoever wrote it sees what it says."""

from fedgap.config.federation import FederationConfig
from fedgap.config.organisation import Organisation
from fedgap.config.protocol import DIRECTION_BYTES, Evaluation, Settlement, least_quorum, most_colluders
from fedgap.config.task import ImageOptions, TabularOptions

MOST_NAMED = 12
WEIGHTS = {
    "capped": "organisations weigh by their rows, capped at 3 times the median",
    "equal": "all organisations weigh the same",
    "sqrt": "organisations weigh by the square root of their rows",
    "rows": "organisations weigh by their rows",
}
MODELS = {"linear": "a linear model", "mlp": "a multi-layer perceptron", "cnn": "a convolutional network"}

MEASURED = {
    "committed": "Contributions are measured on rows fixed beforehand, which every organisation is shown at the end.",
    "public": "Contributions are measured on public rows: everybody can check them, and could have trained on them.",
    "witness": "Contributions are measured on rows that only a witness sees; everybody else relies on its signature.",
    "server_chooses_directions": "The server chooses what contributions are measured along: it can learn chosen "
    "properties of an update, one number per period.",
}


def summary(config: FederationConfig) -> tuple[str, ...]:
    """Say who learns what together and how; one sentence an item."""
    sentences = [_who(config), *map(_cheat, _cheats(config)), _what(config), _training(config), _server(config)]
    if config.federation.start is not None:
        name = config.federation.start[:16]
        sentences.append(f"Training begins with the model {name}, which everybody has as start.safetensors.")
    if config.secagg is not None:
        members = len(config.organisations)
        f = most_colluders(members) if config.secagg.f is None else config.secagg.f
        quorum = least_quorum(members, f) if config.secagg.quorum is None else config.secagg.quorum
        sentences.append(f"Secure aggregation tolerates {f} colluders; {quorum} organisations open a sum.")
    if config.evaluation is not None and _is_measured(config.evaluation):
        sentences.append(MEASURED[config.evaluation.source])
    sentences += settlement_size(config)
    sentences.append(_baselines(config))
    return tuple(sentences)


def _is_measured(evaluation: Evaluation) -> bool:
    """Whether there is something to say: committed rows need a file, and a simulation takes test rows without one."""
    return evaluation.source in MEASURED and (evaluation.source != "committed" or evaluation.data is not None)


def settlement_size(config: FederationConfig) -> tuple[str, ...]:
    """Say what a settlement moves; the size of the model is not known from a configuration. Empty if nothing moves."""
    wanted, rounds = config.settlement or Settlement(), config.training.rounds
    if config.evaluation is None or config.evaluation.data is None or not wanted.periods or not rounds:
        return ()
    size = DIRECTION_BYTES * wanted.openings * -(-rounds // wanted.periods)
    return (f"Settling a period shows every organisation {size} bytes a parameter at once: {size} MB a million.",)


def _who(config: FederationConfig) -> str:
    names = [organisation.name for organisation in config.organisations]
    shown = ", ".join(names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    title = config.federation.name or config.federation.id
    return f"{title}: {len(names)} organisations, {shown}{more}."


def _cheats(config: FederationConfig) -> list[Organisation]:
    return [organisation for organisation in config.organisations if organisation.behave.kind != "honest"]


def _cheat(organisation: Organisation) -> str:
    return f"In simulation {organisation.name} is not honest: {organisation.behave}."


def _what(config: FederationConfig) -> str:
    task, options = config.federation.task, config.task
    if isinstance(options, TabularOptions):
        inputs = f"{len(options.features)} columns" if options.features else "all other columns"
        return f"They learn to predict {options.label} from {inputs} with {MODELS[options.model]} ({task})."
    if isinstance(options, ImageOptions):
        return f"They learn to tell images apart with {MODELS[options.model]} ({task})."
    return f"They learn the task {task}, which every organisation has installed."


def _training(config: FederationConfig) -> str:
    plan = config.training
    work = _count(plan.steps, "batch", "batches") if plan.epochs is None else _count(plan.epochs, "epoch", "epochs")
    prox = f", held to the common model (mu {plan.prox_mu:g})" if plan.prox_mu else ""
    return (
        f"{_count(plan.rounds, 'round', 'rounds')} of {work} each, in batches of {plan.batch_size}, "
        f"with {plan.optimizer} at learning rate {plan.lr:g}{prox}."
    )


def _server(config: FederationConfig) -> str:
    server = config.server
    weights = WEIGHTS[server.weights]
    return f"The server uses {server.optimizer} at learning rate {server.lr:g}; {weights}."


def _baselines(config: FederationConfig) -> str:
    plan = config.baselines
    if plan.train_rows is None:
        kept = f"{plan.test_fraction:.0%} of the rows kept"
    else:
        kept = f"all but {plan.train_rows} rows of each organisation kept"
    return f"Compared with training alone and pooled over {_count(plan.splits, 'split', 'splits')}, {kept} for testing."


def _count(number: int | None, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
