"""Exact cosine search in which each query sees only entries that are older than itself.

Entries are sorted by time, so what a query may see is a prefix of them. Queries are taken in time order, in blocks, and
compared with all that the latest of a block may see, in one matrix product; what lies after a query is then masked.
Vectors lie on a grid of 2^-26, where sums of products are exact in float64. So equal vectors tie exactly, and the
result depends neither on block sizes nor on the order in which a processor adds.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

TOGETHER = 2048  # queries for which the entries that they may see are laid out once
CELLS = 4 * 1024 * 1024  # cosines that are held at once: 32 MB, or those of one query
GRID = float(2**26)


@dataclass(frozen=True)
class Entries:
    """What is searched, oldest first. ``vectors`` come from ``unit_vectors``; ``users`` are codes."""

    vectors: Float[np.ndarray, "entries dim"]
    users: Int[np.ndarray, " entries"]


@dataclass(frozen=True)
class Queries:
    """What is asked. Query i sees the first ``visible[i]`` entries that are not of ``users[i]``."""

    vectors: Float[np.ndarray, "queries dim"]
    users: Int[np.ndarray, " queries"]
    visible: Int[np.ndarray, " queries"]


@dataclass(frozen=True)
class Matches:
    """Row i: query ``query[i]`` found entry ``entry[i]``. Sorted by query, best first; ``rank`` from 1."""

    query: Int[np.ndarray, " matches"]
    entry: Int[np.ndarray, " matches"]
    cosine: Float[np.ndarray, " matches"]
    rank: Int[np.ndarray, " matches"]


@dataclass(frozen=True)
class _Seen:
    """Entries of one user beside each other, the oldest first."""

    places: Int[np.ndarray, " seen"]  # among all entries
    vectors: Float[np.ndarray, "dim seen"]
    users: Int[np.ndarray, " users"]  # distinct, ascending
    starts: Int[np.ndarray, " users"]  # of each user's entries
    sizes: Int[np.ndarray, " users"]


def unit_vectors(vectors: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Scale rows to length 1 on the grid; zero rows stay zero."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: np.ndarray = np.round(wide / np.where(norms > 0, norms, 1.0) * GRID) / GRID
    return unit


def nearest_users(entries: Entries, queries: Queries, k: int) -> Matches:
    """Return for each query the ``k`` other users with the highest cosine, each by the best of their visible entries.

    Equal cosines are ordered by user code, and a user's own by the later entry first. Queries that see fewer than
    ``k`` other users get fewer. Zero vectors are nobody's neighbour and have none.
    """
    usable = np.flatnonzero(entries.vectors.any(axis=1))
    by_user = usable[np.argsort(entries.users[usable], kind="stable")]
    asking = np.flatnonzero(queries.vectors.any(axis=1))
    asking = asking[np.argsort(queries.visible[asking], kind="stable")]
    found = []
    for start in range(0, len(asking), TOGETHER):
        rows = asking[start : start + TOGETHER]
        seen = _seen(entries, by_user[by_user < queries.visible[rows[-1]]])
        size = max(1, CELLS // max(len(seen.places), 1))
        found += [_search(seen, queries, rows[begin : begin + size], k) for begin in range(0, len(rows), size)]
    return _ranked(found)


def _seen(entries: Entries, places: np.ndarray) -> _Seen:
    users, starts, sizes = np.unique(entries.users[places], return_index=True, return_counts=True)
    return _Seen(places, entries.vectors[places].T, users, starts, sizes)


def _search(seen: _Seen, queries: Queries, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return query, entry and cosine of the matches of ``rows``, those of a query together and the best first."""
    if not len(seen.users):
        return rows[:0], seen.places, np.empty(0)
    cosines = queries.vectors[rows] @ seen.vectors
    np.copyto(cosines, -np.inf, where=seen.places >= queries.visible[rows, None])
    best = np.maximum.reduceat(cosines, seen.starts, axis=1)
    best[seen.users == queries.users[rows, None]] = -np.inf
    least = np.partition(best, -k, axis=1)[:, -k] if k < best.shape[1] else np.full(len(rows), -np.inf)
    row, user = np.nonzero((best >= least[:, None]) & (best > -np.inf))
    order = np.lexsort((user, -best[row, user], row))
    order = order[_places(row[order]) < k]
    row, user = row[order], user[order]
    return rows[row], seen.places[_latest(seen, cosines, best, row, user)], best[row, user]


def _latest(
    seen: _Seen, cosines: np.ndarray, best: np.ndarray, row: np.ndarray, user: np.ndarray
) -> Int[np.ndarray, " pairs"]:
    """Return the last place in ``seen`` where the user reaches its best cosine to the query in this row."""
    sizes = seen.sizes[user]
    begins = np.cumsum(sizes) - sizes
    place = np.arange(sizes.sum()) - np.repeat(begins - seen.starts[user], sizes)
    reached = cosines[np.repeat(row, sizes), place] == np.repeat(best[row, user], sizes)
    last: np.ndarray = np.maximum.reduceat(np.where(reached, place, -1), begins) if len(row) else row
    return last


def _places(row: np.ndarray) -> np.ndarray:
    """Number the members of each run of equal values from 0."""
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else np.empty(0, dtype=np.int64)
    lengths = np.diff(np.r_[starts, len(row)])
    return np.arange(len(row)) - np.repeat(starts, lengths)


def _ranked(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Matches:
    if not found:
        empty = np.empty(0, dtype=np.int64)
        return Matches(empty, empty, np.empty(0), empty)
    query, entry, cosine = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(query, kind="stable")  # a query's matches lie together and in order already
    query, entry, cosine = query[order], entry[order], cosine[order]
    return Matches(query, entry, cosine, _places(query) + 1)
