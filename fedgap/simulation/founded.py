"""A simulated federation before its first round: what may be opened, on which rows, and how; it is in the manifest."""

from collections.abc import Callable
from dataclasses import dataclass

from fedgap.config import FederationConfig
from fedgap.contribution.direction import Utility
from fedgap.crypto import Identity, seeded
from fedgap.errors import FedgapError
from fedgap.learning.rows import Rows, concatenate
from fedgap.learning.utilities import utility_of
from fedgap.secagg.local import LocalFederation, Settled
from fedgap.simulation.aggregate import MaskedSum, RingSum, simulated_federation
from fedgap.simulation.assessing import Assessor, UtilityOn
from fedgap.simulation.contenders import Split
from fedgap.simulation.opener import Messages, Plain
from fedgap.simulation.openings import Openings
from fedgap.simulation.shards import Shards, chosen_rows, deal
from fedgap.simulation.terms import Terms

MOST_HELD = 2**30
"""Bytes of uploads and secrets that a whole run may keep in one process until it is settled."""
_HELD_A_WORD = 12

TOO_LARGE = (
    "The uploads of the whole run are too large to keep in one process, so no answers were exchanged at settlement; "
    "the values are those that it would open."
)
WITNESS = "witness"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Founded:
    """A federation that is ready for its first round.

    Attributes:
        federation: manifest and keys.
        adding: what adds up its updates.
        openings: its settlements; None if nothing is opened.
        utility: what is divided, on all evaluation rows, or why there is none.
        notes: what a reader should know.
    """

    federation: LocalFederation
    adding: RingSum
    openings: Openings | None
    utility: Utility | str
    notes: tuple[str, ...]


def utility_on(config: FederationConfig, split: Split, watched: Rows) -> Utility | str:
    """The utility that the federation's gain is measured by, or in a sentence why there is none."""
    try:
        return _utility_for(split)(chosen_rows(watched, config.federation.seed))
    except FedgapError as error:
        return error.cause.removesuffix(".")


def found(
    config: FederationConfig,
    split: Split,
    watched: Rows,
    terms: Terms,
    *,
    protocol: str,
    rounds: int,
    policy: bytes | None,
    show: Callable[[], bytes],
) -> Founded:
    """Found the federation that a report is about.

    Args:
        config: of the study.
        split: the split that is reported.
        watched: evaluation rows.
        terms: what is opened.
        protocol: full or sum.
        rounds: T.
        policy: digest of the money rule; None if there is none.
        show: gives the ledger's checkpoint to be co-signed.

    Raises:
        BadManifestError: the evaluation rows do not do for these periods.
    """
    seed, size = config.federation.seed, split.start.size
    if not terms.periods:
        federation = simulated_federation(config, split.attested, size, policy=policy, start=split.start)
        adding = RingSum(federation) if protocol == "sum" else MaskedSum(federation, seed)
        utility = utility_on(config, split, watched)
        return Founded(federation=federation, adding=adding, openings=None, utility=utility, notes=())
    witness = Identity(seeded("witness", seed, config.federation.id)(32))
    source = config.evaluation.source if config.evaluation is not None else "committed"
    shards = deal(watched, source=source, rounds=rounds, periods=terms.periods, seed=seed, witness=witness.public)
    federation = simulated_federation(
        config,
        split.attested,
        size,
        settled=Settled(
            evaluation=shards.evaluation,
            periods=terms.periods,
            openings=terms.openings,
            confirm_exchanges=terms.confirm_exchanges,
        ),
        policy=policy,
        start=split.start,
    )
    held = _HELD_A_WORD * federation.manifest.encoding.words * rounds * len(split.attested)
    full = protocol == "full" and held <= MOST_HELD
    assessor = Assessor(manifest=federation.manifest, utility_on=_utility_for(split), seed=seed, shards=shards)
    opener: Messages | Plain
    if full:
        signer = witness if source == WITNESS else None
        opener = Messages(federation, shards, assessor, show, seed=seed, witness=signer)
    else:
        adding = MaskedSum(federation, seed) if protocol == "full" else RingSum(federation)
        opener = Plain(federation=federation, shards=shards, adding=adding)
    return Founded(
        federation=federation,
        adding=opener.adding,
        openings=Openings(opener=opener, shards=shards, assessor=assessor, seed=seed),
        utility=_utility_for(split)(_all(shards)),
        notes=() if full or protocol == "sum" else (TOO_LARGE,),
    )


def _utility_for(split: Split) -> UtilityOn:
    like = concatenate(list(split.federated_rows.values()))
    return lambda rows: utility_of(split.rows.task, like, rows)


def _all(shards: Shards) -> Rows:
    return concatenate(list(shards.rows))
