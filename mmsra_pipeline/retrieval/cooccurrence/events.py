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
    """By first item, second item, user."""

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


def find_events(
    known: Interactions, position: Int[np.ndarray, " rows"], window: int | None, session_hours: float | None
) -> Events:
    """Join each row with those of the same user, or session, at most ``window`` positions later.

    Raises:
        DataError: if there are sessions to find in data without times.
    """
    visit = _visits(known, session_hours)
    parts = []
    for rows in range(1, min(window or len(visit), len(visit) - 1) + 1):
        joined = visit[:-rows] == visit[rows:]
        gaps = position[rows:] - position[:-rows]
        if window is not None:
            joined &= gaps <= window
        early = np.flatnonzero(joined)
        if not len(early):  # nor is anything joined over a wider gap
            break
        late = early + rows
        parts.append((known.item[early], known.item[late], known.user[early], known.time[late], gaps[early]))
    if not parts:
        none = np.empty(0, dtype=np.int32)
        return Events(none, none, none, np.empty(0, dtype=known.time.dtype), none)
    first, second, user, time, gap = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((user, second, first))
    return Events(first[order], second[order], user[order], time[order], gap[order].astype(np.int32))


def _visits(known: Interactions, session_hours: float | None) -> Int[np.ndarray, " rows"]:
    """Number the stretches of rows within which pairs are joined: users, or sessions."""
    if session_hours is None:
        return known.user
    require_times(int((known.time == NEVER).sum()), len(known.time))
    new = np.ones(len(known.user), dtype=np.int64)
    new[1:] = (np.diff(known.user) != 0) | (np.diff(known.time) > session_hours * HOUR)
    return np.cumsum(new)
