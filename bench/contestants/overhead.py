"""What the server's part of the accounting costs beside a round of an example, both in one process.

A round here is all organisations' training and every message of the protocol, one after the other. On real machines
organisations train side by side, so a round takes less time than this; the accounting does not.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedgap import counter
from fedgap.config import load_federation
from fedgap.contribution import direction
from fedgap.learning.engine import Member
from fedgap.learning.rows import concatenate
from fedgap.learning.utilities import utility_of
from fedgap.simulation.aggregate import aggregation
from fedgap.simulation.contenders import Split
from fedgap.simulation.federate import RoundDone, federate
from fedgap.simulation.sites import load_sites, open_task, split_sites

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def overhead(example: str, *, rows: int = 100, rounds: int = 6) -> dict[str, float]:
    """CPU seconds of a round and of its direction, the medians over the rounds after the first."""
    config = load_federation(EXAMPLES / example / "federation.toml")
    task = open_task(config)
    sites = load_sites(config, task)
    split = Split(config, sites, split_sites(config, task, sites, 0), lambda: None)
    like = concatenate(list(split.federated_rows.values()))
    watched = concatenate([split.rows.testing(org, "federated", org) for org in split.names])
    drawn = counter.permutation(counter.key(1, "overhead"), len(watched))[:rows]
    utility = utility_of(task, like, watched.take(np.sort(drawn)))
    models, spent, marks = [split.start], [], [time.process_time()]

    def after_round(done: RoundDone) -> None:
        ended = time.process_time()
        direction(utility, models[-1], done.state.model, done.added.mean, split.plan.rule.lr)
        models.append(done.state.model)
        now = time.process_time()
        spent.append((ended - marks[-1], now - ended))
        marks.append(now)

    cohort = [Member(org=org, rows=data) for org, data in split.federated_rows.items()]
    adding = aggregation("full", config, split.attested, split.start.size)
    federate(split.engine, split.start, cohort, replace(split.plan, rounds=rounds), adding, after_round)
    round_s, direction_s = np.median(np.array(spent[1:]), axis=0).tolist()
    return {
        "organisations": len(cohort),
        "parameters": int(split.start.size),
        "rows": min(rows, len(watched)),
        "round_cpu_s": round_s,
        "direction_cpu_s": direction_s,
        "ratio": direction_s / round_s,
    }
