"""Rules between sections, and between organisations. Each runs on those sections that are right by themselves."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fedgap.config.baselines import Baselines
from fedgap.config.federation import Federation
from fedgap.config.organisation import Organisation
from fedgap.config.protocol import FEWEST, ROUNDS_A_PERIOD, SecAgg, Settlement, least_quorum, most_colluders
from fedgap.config.section import Problem, key_path, nearest
from fedgap.config.task import TabularOptions, TaskOptions
from fedgap.config.training import Server, Training

FEWEST_ORGANISATIONS = 2

Placed = Sequence[tuple[int, Organisation]]
"""Organisations that are right by themselves, with their position in the file, from 0."""
Ids = Mapping[int, str]
"""The id of every organisation that has one, right or not, by position."""


def organisation_problems(placed: Placed, ids: Ids, data_base: Path, *, deployed: bool = False) -> Iterator[Problem]:
    """Everyone has a name and a file of their own; copies copy somebody honest; weights are given by all or none.

    In a deployment files are the organisations' own business, and nobody is told how to behave.
    """
    yield from _repeated_names(placed, ids)
    if deployed:
        yield from _only_simulated(placed)
    else:
        yield from _wrong_copies(placed, ids)
        yield from _shared_files(placed, data_base)
    weighted = [position for position, organisation in placed if organisation.weight is not None]
    for position, organisation in placed:
        if weighted and organisation.weight is None:
            cause = f"It is missing, and {len(weighted)} other organisations have one."
            yield Problem(_at(position, "weight"), cause, "Give it for every organisation, or for none.")


def _repeated_names(placed: Placed, ids: Ids) -> Iterator[Problem]:
    by_id: dict[str, int] = {}
    for position, name in ids.items():
        first = by_id.setdefault(name, position)
        if first != position:
            cause = f"{_at(first)} has the id {name} already."
            yield Problem(_at(position, "id"), cause, "Give each organisation an id of its own.")
    by_name: dict[str, int] = {}
    for position, organisation in placed:
        first = by_name.setdefault(organisation.name, position)
        if first != position and ids[first] != ids[position]:
            cause = f"{_at(first)} has this name already."
            yield Problem(_at(position, "name"), cause, "Give each organisation a name of its own.")


def _only_simulated(placed: Placed) -> Iterator[Problem]:
    for position, organisation in placed:
        if organisation.behave.kind != "honest":
            cause = "Only a simulation can tell an organisation how to behave."
            yield Problem(_at(position, "behave"), cause, "Remove it.")


def _wrong_copies(placed: Placed, ids: Ids) -> Iterator[Problem]:
    by_id = {organisation.id: organisation for _, organisation in placed}
    for position, organisation in placed:
        of = organisation.behave.of
        if of is None:
            if organisation.data is None:
                remedy = 'Add the path of its file, or behave = "copy:ID".'
                yield Problem(_at(position, "data"), "It is missing.", remedy)
            continue
        key = _at(position, "behave")
        remedy = "Name an honest organisation."
        copied = by_id.get(of)
        if of == organisation.id:
            yield Problem(key, "It copies itself.", "Name another organisation.")
        elif copied is None:
            if of not in ids.values():  # one with a problem of its own cannot be judged yet
                yield Problem(key, f"There is no organisation {of}.", nearest(of, ids.values()) or remedy)
        elif copied.behave.kind != "honest":
            yield Problem(key, f"The organisation {of} is not honest but {copied.behave.kind}.", remedy)
        elif organisation.data not in {None, copied.data}:
            cause = f"It names another file than {of}, whose update it copies."
            yield Problem(_at(position, "data"), cause, "Leave data out.")


def _shared_files(placed: Placed, data_base: Path) -> Iterator[Problem]:
    files: dict[str, Organisation] = {}
    for position, organisation in placed:
        if organisation.behave.kind == "honest" and organisation.data is not None:
            file = os.path.realpath(data_base / organisation.data)
            first = files.setdefault(file, organisation)
            if first is not organisation:
                cause = f"{first.id} has the same file."
                remedy = f'Name its own file; if the same rows are meant, write behave = "copy:{first.id}".'
                yield Problem(_at(position, "data"), cause, remedy)


def task_problems(federation: Federation, task: TaskOptions, baselines: Baselines | None) -> Iterator[Problem]:
    """Classes belong to classification."""
    if federation.task != "tabular-regression":
        return
    remedy = 'Remove it, or write federation.task = "tabular-classification".'
    if isinstance(task, TabularOptions):
        for key in ("classes", "label_map"):
            if getattr(task, key):
                yield Problem(key_path("task", key), "A regression has no classes.", remedy)
    if baselines is not None and baselines.split == "stratified":
        yield Problem("baselines.split", "A regression has no classes to stratify by.", 'Write split = "random".')


def protocol_problems(secagg: SecAgg, organisations: int, server: Server | None) -> Iterator[Problem]:
    """There are enough organisations for secure aggregation, none weighs too much, any two quorums overlap."""
    if server is not None and server.weights == "rows":
        cause = "With secure aggregation one organisation could make up nearly the whole sum."
        yield Problem("server.weights", cause, 'Write weights = "capped", the most that is allowed with [secagg].')
    if organisations < FEWEST:
        cause = f"There are {organisations} organisations: each could take its own update off the sum and see the rest."
        yield Problem("secagg", cause, f"Invite more, at least {FEWEST} in all, or remove [secagg].")
        return
    most = most_colluders(organisations)
    if secagg.f is not None and secagg.f > most:
        cause = f"It is {secagg.f}, and {organisations} organisations tolerate at most {most}."
        yield Problem("secagg.f", cause, f"Write at most {most}, or leave it out.")
        return
    least = 2 if organisations == FEWEST else least_quorum(organisations, most if secagg.f is None else secagg.f)
    if secagg.quorum is not None and not least <= secagg.quorum <= organisations:
        cause = f"It is {secagg.quorum}; with {organisations} organisations it is from {least} to {organisations}."
        yield Problem("secagg.quorum", cause, "Write one of these, or leave it out.")


def settlement_problems(settlement: Settlement, training: Training) -> Iterator[Problem]:
    """A period is long enough that its one number says nothing about a single round."""
    most = -(-training.rounds // ROUNDS_A_PERIOD)
    if settlement.periods > most:
        cause = f"It is {settlement.periods}, and {training.rounds} rounds allow at most {most}."
        yield Problem("settlement.periods", cause, f"Write at most {most}, one for every {ROUNDS_A_PERIOD} rounds.")


def _at(position: int, *key: str) -> str:
    return key_path("organisation", position, *key)
