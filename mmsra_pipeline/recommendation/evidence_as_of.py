"""States anew what prompts say of candidates, of nothing but what had happened before the query, and compares.

Of the slots that interactions speak through: co-occurrence, the votes of similar users, popularity. Likeness and
keywords need no other user; the sequential model is trained on all training interactions, whatever the query's time.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from mmsra_pipeline.columns import POSITION, SPLIT, TIME, USER
from mmsra_pipeline.config.tree import SLOTS, Slot
from mmsra_pipeline.recommendation.catalogue_classes import classes_of
from mmsra_pipeline.recommendation.queries import Query, queries_of
from mmsra_pipeline.recommendation.signals import interaction_signals, votes_of
from mmsra_pipeline.retrieval.cooccurrence.events import Interactions, visit_ends
from mmsra_pipeline.retrieval.cooccurrence.index import WINDOW, CooccurrenceIndex
from mmsra_pipeline.retrieval.times import milliseconds

INTERACTED: Final[tuple[Slot, ...]] = ("cooccurrence", "next", "votes", "popularity")
"""Slots that are made of interactions."""


class Stated(NamedTuple):
    """What was stated of the candidates of one query."""

    split: str
    user: str
    position: int
    items: Sequence[str]
    classes: Sequence[Sequence[int]]
    """Of each candidate, in the order of ``config.SLOTS``."""


class Compared(NamedTuple):
    """How many queries were compared, and those of which something else is stated now, in words."""

    compared: int
    different: list[str]


def differences(
    stated: Sequence[Stated],
    sequences: pd.DataFrame,
    training: tuple[Interactions, Int[np.ndarray, " rows"]],
    similar_users: pd.DataFrame,
    *,
    session_hours: float | None,
    most: int,
) -> Compared:
    """Leave out all interactions from a query's time on, count anew, and compare with what was stated.

    Args:
        stated: queries with their candidates; those without a time are passed over.
        sequences: has their times and histories.
        training: the interactions that training may see, and their positions (``known_interactions``).
        similar_users: the table.
        session_hours: the setting of co-occurrence.
        most: queries that are compared, evenly out of ``stated``.
    """
    key = [SPLIT, USER, POSITION]
    timed = sequences[sequences[TIME].notna()]
    wanted = pd.DataFrame([one[:3] for one in stated], columns=key).astype(timed[key].dtypes.to_dict())
    timed = wanted.reset_index(names="place").merge(timed, on=key, how="inner")
    some = timed.iloc[np.unique(np.linspace(0, len(timed) - 1, most).astype(int))] if len(timed) else timed
    voted_at = milliseconds(similar_users[TIME])
    different = []
    for query, place, time in zip(queries_of(some), some["place"], milliseconds(some[TIME]), strict=True):
        voters = similar_users[voted_at < time]
        slots = _differing(_index_before(time, *training, session_hours), voters, query, stated[place])
        if slots:
            different.append(f"user {query.user}, position {query.position}: {', '.join(slots)}")
    return Compared(len(some), different)


def _index_before(
    time: int, known: Interactions, position: Int[np.ndarray, " rows"], session_hours: float | None
) -> CooccurrenceIndex:
    """Return the index of nothing but what had happened before a time, in the catalogue of all times."""
    earlier = known.time < time
    rows = {name: getattr(known, name)[earlier] for name in ("user", "item", "time")}
    before = known._replace(**rows)
    return CooccurrenceIndex(before, position[earlier].astype(np.int32), visit_ends(before, session_hours), WINDOW)


def _differing(index: CooccurrenceIndex, voters: pd.DataFrame, query: Query, stated: Stated) -> list[str]:
    place = {item: code for code, item in enumerate(index.items)}
    at = np.array([place.get(item, -1) for item in stated.items], dtype=np.int64)
    own = votes_of(voters[(voters[USER] == query.user) & (voters[POSITION] == query.position)])
    found = interaction_signals(index.within(WINDOW), index.within(1), own, query, place)
    before = np.array([list(row) for row in stated.classes], dtype=np.int64)
    return [
        slot
        for slot in INTERACTED
        if not np.array_equal(
            classes_of(np.where(at >= 0, found[slot][at], np.nan), found[slot]), before[:, SLOTS.index(slot)]
        )
    ]
