"""Candidate lists: the item that came next among items that the user never took."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, SPLIT, TARGET, TEST, TIME, USER
from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.popularity import popularity
from mmsra_pipeline.storage.hashing import drawn_number

PROTOCOL = "protocol"
IS_TARGET = "is_target"
UNIFORM = "uniform"
EXISTING = "existing"
SERVED = "served"
FIRST_STAGE_RANK = "first_stage_rank"


def held_out_queries(sequences: pd.DataFrame, split: str = TEST) -> pd.DataFrame:
    """Return the rows of all users that are for test (or validation), by user and position.

    Raises:
        DataError: if no row of ``sequences`` is for test; there may be none for validation.
    """
    rows = sequences[sequences[SPLIT] == split].sort_values([USER, POSITION])
    if rows.empty and split == TEST:
        raise DataError(
            f"none of the {len(sequences)} rows of `sequences` is for test, so nothing can be measured. "
            "Lower `interactions.user_core` and `interactions.item_core`, or give more interactions."
        )
    return rows


def sample_queries(sequences: pd.DataFrame, config: EvaluationConfig, seed: int, split: str = TEST) -> pd.DataFrame:
    """Return the rows to score: those of ``config.users`` (validation: ``config.validation_users``) random users.

    All users if the setting is unset; by user and position.

    Raises:
        DataError: if no row of ``sequences`` is for test.
    """
    rows = held_out_queries(sequences, split)
    users, most = rows[USER].unique(), config.users if split == TEST else config.validation_users
    if most is not None and most < len(users):
        users = np.random.default_rng(seed).permutation(np.asarray(users, dtype=object))[:most]
    return rows[rows[USER].isin(users)]


def recall_queries(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return rows of ``held_out_queries``: those of ``most`` random users, of all where there are no more."""
    users = rows[USER].unique()
    if most >= len(users):
        return rows
    return rows[rows[USER].isin(np.random.default_rng(seed).permutation(np.asarray(users, dtype=object))[:most])]


def all_lists(
    queries: pd.DataFrame,
    training: pd.DataFrame,
    interactions: pd.DataFrame,
    first_stage: FirstStage,
    served: int,
    config: EvaluationConfig,
    seed: int,
    given: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Draw the lists of queries under every protocol, and with ``served`` the lists that they would be served.

    A served list is what the first stage gives, so it may lack what came next.

    Args:
        queries: rows of ``sequences`` that have a target.
        training: rows of ``interactions`` that training may see.
        interactions: of every split; negatives are drawn from their items.
        first_stage: what serves.
        served: candidates of a served list; 0: there are none.
        config: protocols and number of negatives.
        seed: of the draws.
        given: lists from elsewhere of these queries, in the form of ``draw_candidates``.

    Returns:
        As ``draw_candidates``, with ``first_stage_rank`` (from 1; null where the first stage does not rank).
    """
    catalogue = interactions[ITEM].unique().tolist()
    drawn = draw_candidates(queries, training, catalogue, config, seed, interactions=interactions)
    if given is not None:
        drawn = pd.concat([drawn, given], ignore_index=True)
    places: dict[Any, Any] = {**drawn.groupby([USER, POSITION], sort=False).indices}
    items: list[str] = drawn[ITEM].tolist()
    ranks: list[int | None] = [None] * len(drawn)
    listed: list[tuple[str, str, int, str, bool]] = []
    ranked = first_stage.ranked(queries, max(served, 1))  # of the whole catalogue, so one query at a time
    for own, target in zip(ranked, queries[TARGET], strict=True):
        for row in places.get((own.user, own.position), ()):
            ranks[row] = own.of(items[row])
        listed += [(SERVED, own.user, own.position, item, item == target) for item in own.best(served)]
    served_ranks = pd.DataFrame(listed, columns=[PROTOCOL, USER, POSITION, ITEM, IS_TARGET])
    counted = served_ranks.groupby([USER, POSITION], sort=False).cumcount() + 1
    rows = pd.concat([drawn, _as_lists(listed)], ignore_index=True) if served else drawn
    rows[FIRST_STAGE_RANK] = pd.array([*ranks, *counted], dtype="Int64")
    return rows


def draw_candidates(
    queries: pd.DataFrame,
    training: pd.DataFrame,
    catalogue: Sequence[str],
    config: EvaluationConfig,
    seed: int,
    *,
    interactions: pd.DataFrame,
) -> pd.DataFrame:
    """Draw one list per query and protocol: the target and ``config.negatives`` items that the user never took.

    Protocol ``uniform`` draws from the catalogue evenly, ``popularity`` in proportion to training interactions,
    ``existing`` evenly from the items that anybody had taken by the time of the query (what has no time, query or item,
    bounds nothing); all without repetition. A list depends on seed, protocol and query alone, not on the other queries;
    the target's place in it is random.

    Args:
        queries: rows of ``sequences`` that have a target.
        training: rows of ``interactions`` that training may see: the weights of protocol ``popularity``.
        catalogue: items that negatives are drawn from. Items that nobody ever took make easy negatives: leave them out.
        config: protocols and number of negatives.
        seed: of the draw.
        interactions: all interactions, of every split: what a user took at any time is no negative.

    Returns:
        ``protocol``, ``user_id``, ``position``, ``item_id``, ``is_target``.

    Raises:
        DataError: if the catalogue has too few items for a user.
    """
    if queries[TARGET].isna().any():
        raise ValueError("queries without a target have no candidate list; pass validation or test rows")
    items = sorted(set(catalogue))
    place = {item: number for number, item in enumerate(items)}
    even = np.ones(len(items))
    weights = {UNIFORM: even, EXISTING: even, "popularity": popularity(training, items).to_numpy(dtype=np.float64)}
    since = _first_times(interactions, items) if EXISTING in config.protocols else np.zeros(len(items))
    of_queries = interactions[interactions[USER].isin(queries[USER].unique())]
    interacted = {str(user): set(group) for user, group in of_queries.groupby(USER)[ITEM]}
    rows: list[tuple[str, str, int, str, bool]] = []
    for protocol in config.protocols:
        times = queries[TIME].tolist() if protocol == EXISTING else [None] * len(queries)
        asked = queries[[USER, POSITION, HISTORY, TARGET]].itertuples(index=False, name=None)
        for (user, position, history, target), time in zip(asked, times, strict=True):
            free = weights[protocol].copy()
            if not pd.isna(time):
                free[since > time] = 0.0
            free[[place[item] for item in interacted.get(user, set()) | {*history, target} if item in place]] = 0.0
            available = int(np.count_nonzero(free))
            if available < config.negatives:
                raise DataError(_too_few(user, protocol, available, len(items), config.negatives))
            generator = _generator(seed, protocol, user, position)
            listed = [items[number] for number in _without_repetition(free, config.negatives, generator)] + [target]
            order = generator.permutation(len(listed))
            rows += [(protocol, user, position, listed[number], number == config.negatives) for number in order]
    return _as_lists(rows)


def _as_lists(rows: list[tuple[str, str, int, str, bool]]) -> pd.DataFrame:
    lists = pd.DataFrame(rows, columns=[PROTOCOL, USER, POSITION, ITEM, IS_TARGET])
    return lists.astype({PROTOCOL: "str", USER: "str", POSITION: "int64", ITEM: "str", IS_TARGET: "bool"})


def _without_repetition(weights: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw places one after the other in proportion to weight (exponential keys: Efraimidis and Spirakis, 2006)."""
    places = np.flatnonzero(weights)
    keys = generator.exponential(size=len(places)) / weights[places]
    least = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])  # the others need no order
    drawn: np.ndarray = places[least[np.argsort(keys[least], kind="stable")[:count]]]
    return drawn


def _first_times(interactions: pd.DataFrame, items: Sequence[str]) -> np.ndarray:
    """Return when each item was first taken, by anybody; -inf where that is not known."""
    first = interactions.groupby(ITEM)[TIME].min().reindex(list(items))
    known: np.ndarray = np.nan_to_num(first.to_numpy(dtype=np.float64, na_value=np.nan), nan=-np.inf)
    return known


def _generator(seed: int, *names: object) -> np.random.Generator:
    return np.random.default_rng([seed, drawn_number(*names)])


def _too_few(user: str, protocol: str, found: int, catalogue: int, wanted: int) -> str:
    limits = {"popularity": "were ever taken in training and were", EXISTING: "had been taken by then and were"}
    which = limits.get(protocol, "were")
    return (
        f"user {user!r} can be given only {found} of {wanted} negatives under protocol {protocol!r}: of {catalogue} "
        f"items in the catalogue no more {which} never taken by this user. Set `evaluation.negatives` to {found} or "
        f"less, take {protocol!r} out of `evaluation.protocols`, or lower `interactions.item_core` to keep more items."
    )
