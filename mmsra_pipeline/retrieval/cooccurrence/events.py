"""Interactions as codes, and the events among them: a user took an item, then another soon after."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from mmsra_pipeline.columns import ITEM, POSITION, TIME, USER
from mmsra_pipeline.retrieval.times import HOUR, NEVER, milliseconds, require_times


class Interactions(NamedTuple):
    """Rows by user and position."""

    items: list[str]
    """In order; a code is a place here."""
    users: list[str]
    user: Int[np.ndarray, " rows"]
    item: Int[np.ndarray, " rows"]
    time: Int[np.ndarray, " rows"]
    """Milliseconds; ``NEVER`` where unknown."""


class Events(NamedTuple):
    """A user took an item, then another soon after; by first item, second item, user."""

    first: Int[np.ndarray, " events"]
    second: Int[np.ndarray, " events"]
    user: Int[np.ndarray, " events"]
    time: Int[np.ndarray, " events"]
    """Of the second item."""
    gap: Int[np.ndarray, " events"]
    """Interactions from the first to the second, at least 1."""


def known_interactions(training: pd.DataFrame) -> tuple[Interactions, Int[np.ndarray, " rows"]]:
    """Return the rows of ``interactions`` as codes, and the position of each."""
    ordered = training.sort_values([USER, POSITION])
    item, items = pd.factorize(ordered[ITEM], sort=True)
    user, users = pd.factorize(ordered[USER], sort=True)
    known = Interactions(
        [str(value) for value in items],
        [str(value) for value in users],
        user.astype(np.int32),
        item.astype(np.int32),
        milliseconds(ordered[TIME]),
    )
    return known, ordered[POSITION].to_numpy()


def visit_ends(known: Interactions, session_hours: float | None) -> Int[np.ndarray, " rows"]:
    """Return, for each row, the row behind the stretch within which pairs are joined: its user's, or its session.

    Raises:
        DataError: if there are sessions to find in data without times.
    """
    count = len(known.user)
    new = np.ones(count, dtype=bool)
    new[1:] = np.diff(known.user) != 0
    if session_hours is not None:
        require_times(int((known.time == NEVER).sum()), count)
        new[1:] |= np.diff(known.time) > session_hours * HOUR
    starts = np.append(np.flatnonzero(new), count)
    return np.repeat(starts[1:], np.diff(starts)).astype(np.int32)


def following(
    rows: Int[np.ndarray, " rows"], ends: Int[np.ndarray, " all"], window: int | None
) -> tuple[Int[np.ndarray, " joined"], Int[np.ndarray, " rows"]]:
    """Return the rows behind each of ``rows`` in its visit, at most ``window`` of them, and how many each has.

    >>> following(np.array([0, 3]), np.array([3, 3, 3, 5, 5]), 1)
    (array([1, 4]), array([1, 1]))
    """
    last = ends[rows].astype(np.int64)
    if window is not None:
        last = np.minimum(last, rows + window + 1)
    counts = last - rows - 1
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - rows - 1, counts)
    return place, counts
