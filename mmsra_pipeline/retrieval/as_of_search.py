"""Exact cosine search in which each query sees only entries that are older than itself.

Entries are sorted by time, so what a query may see is a prefix of them. Queries are taken in time order, in blocks,
against a FAISS Flat index that grows from block to block; entries between a block's oldest and newest query are
compared directly. FAISS only proposes, in float32; cosines are then computed anew from vectors on a grid of 2^-26,
where sums of products are exact in float64. So equal vectors tie exactly, and the result depends neither on block sizes
nor on the order in which a processor adds.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np
from jaxtyping import Bool, Float, Int

BLOCK = 512  # queries searched together
PRODUCT_CELLS = 4096 * 1024  # cosines that FAISS holds at once: as many as by itself
PROPOSED = (16, 128, 1024)  # entries proposed per query, more where fewer leave it open: many may be of one user
FLOAT32_ERROR = 1e-5  # more than float32 can be wrong about a cosine of a few hundred dimensions
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
class _Searched:
    index: faiss.IndexFlatIP  # the oldest entries, all visible to the queries at hand
    narrow: Float[np.ndarray, "entries dim"]  # the entries' vectors in float32
    usable: Bool[np.ndarray, " entries"]  # whose vector is not zero
    entries: Entries
    queries: Queries


def unit_vectors(vectors: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Scale rows to length 1 on the grid; zero rows stay zero."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: np.ndarray = np.round(wide / np.where(norms > 0, norms, 1.0) * GRID) / GRID
    return unit


def nearest_users(entries: Entries, queries: Queries, k: int) -> Matches:
    """Give each query the ``k`` other users with the highest cosine, each by the best of their visible entries.

    Equal cosines are ordered by user code, and a user's own by the later entry first. Queries that see fewer than
    ``k`` other users get fewer. Zero vectors are nobody's neighbour and have none.
    """
    index = faiss.IndexFlatIP(entries.vectors.shape[1])
    narrow = entries.vectors.astype(np.float32)
    searched = _Searched(index, narrow, np.any(entries.vectors != 0, axis=1), entries, queries)
    order = np.argsort(queries.visible, kind="stable")
    order = order[queries.vectors[order].any(axis=1)]
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with _matrix_products():
        for start in range(0, len(order), BLOCK):
            rows = order[start : start + BLOCK]
            index.add(narrow[index.ntotal : int(queries.visible[rows[0]])])
            found += _search(searched, rows, k)
    return _ranked(found)


@contextlib.contextmanager
def _matrix_products() -> Iterator[None]:
    """Let FAISS compare also blocks of hundreds of queries as matrix products, 4 times as fast on a few cores.

    By itself it (1.15) does so only where queries times dimensions reach 128,000, a bound for dozens of threads. With
    fewer queries a product takes more entries, else it is small, and threads that share busy cores wait for each other
    after each.
    """
    wanted = {
        "distance_compute_blas_threshold": 1,
        "distance_compute_blas_query_bs": BLOCK,
        "distance_compute_blas_database_bs": max(1, PRODUCT_CELLS // BLOCK),
    }
    found = {name: getattr(faiss.cvar, name) for name in wanted}
    try:
        for name, value in wanted.items():
            setattr(faiss.cvar, name, value)
        yield
    finally:
        for name, value in found.items():
            setattr(faiss.cvar, name, value)


def _search(
    searched: "_Searched", rows: np.ndarray, k: int, level: int = 0
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give query, entry and cosine of the matches of ``rows``, which are sorted by what they see."""
    if level == len(PROPOSED):
        return [_search_all(searched, int(query), k) for query in rows]
    found = []
    together = max(1, BLOCK * PROPOSED[0] // PROPOSED[level])  # proposals held at once stay the same
    for start in range(0, len(rows), together):
        part = rows[start : start + together]
        match, complete = _search_proposed(searched, part, k, PROPOSED[level])
        found += [match, *_search(searched, part[~complete], k, level + 1)]
    return found


def _search_proposed(
    searched: "_Searched", rows: np.ndarray, k: int, proposed: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Give the matches of the rows that this many proposals settle, and which rows those are."""
    entries = searched.entries
    places, bound = _propose(searched, rows, proposed)
    row, entry, cosine = _exact(searched, rows, places)
    kept = _best_per_user(row, entry, cosine, entries.users[entry], k)
    row, entry, cosine = row[kept], entry[kept], cosine[kept]
    worst = np.full(len(rows), np.inf)
    np.minimum.at(worst, row, cosine)
    enough = np.bincount(row, minlength=len(rows)) == k
    complete = np.isneginf(bound) | (enough & (worst > bound + FLOAT32_ERROR))
    settled = complete[row]
    return (rows[row[settled]], entry[settled], cosine[settled]), complete


def _propose(searched: "_Searched", rows: np.ndarray, proposed: int) -> tuple[np.ndarray, np.ndarray]:
    """Give entries per query (-1: none) and a bound that no entry left out exceeds (-inf: none left out)."""
    index, narrow, queries = searched.index, searched.narrow, searched.queries
    vectors = queries.vectors[rows].astype(np.float32)
    known, newest = index.ntotal, int(queries.visible[rows[-1]])
    bound = np.full(len(rows), -np.inf)
    parts = []
    if known:
        cosines, places = index.search(vectors, min(proposed, known))
        parts.append(places)
        if known > proposed:
            bound = np.maximum(bound, cosines[:, -1])
    if newest > known:
        recent = vectors @ narrow[known:newest].T
        recent[np.arange(known, newest) >= queries.visible[rows][:, None]] = -np.inf
        if newest - known > proposed:
            chosen = np.argpartition(-recent, proposed - 1, axis=1)[:, :proposed]
            bound = np.maximum(bound, np.take_along_axis(recent, chosen, axis=1).min(axis=1))
        else:
            chosen = np.broadcast_to(np.arange(newest - known), recent.shape)
        hidden = np.isneginf(np.take_along_axis(recent, chosen, axis=1))
        parts.append(np.where(hidden, -1, chosen + known))
    return np.concatenate(parts, axis=1) if parts else np.empty((len(rows), 0), dtype=np.int64), bound


def _exact(searched: "_Searched", rows: np.ndarray, proposed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give row, entry and cosine of the proposals that count."""
    entries, queries = searched.entries, searched.queries
    usable = (proposed >= 0) & (entries.users[proposed] != queries.users[rows][:, None]) & searched.usable[proposed]
    row, place = np.nonzero(usable)
    entry = proposed[row, place]
    return row, entry, np.einsum("pd,pd->p", entries.vectors[entry], queries.vectors[rows[row]])


def _search_all(searched: "_Searched", query: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare one query with everything it may see: where many entries tie, or one user fills the proposals."""
    entries, queries = searched.entries, searched.queries
    visible = int(queries.visible[query])
    entry = np.flatnonzero(searched.usable[:visible] & (entries.users[:visible] != queries.users[query]))
    cosine = (entries.vectors[:visible] @ queries.vectors[query])[entry]
    kept = _best_per_user(np.zeros(len(entry), dtype=np.int64), entry, cosine, entries.users[entry], k)
    return np.full(len(kept), query), entry[kept], cosine[kept]


def _best_per_user(row: np.ndarray, entry: np.ndarray, cosine: np.ndarray, user: np.ndarray, k: int) -> np.ndarray:
    """Give the places of each row's ``k`` best users, each by its best entry, in order of row and rank."""
    order = np.lexsort((-entry, user, -cosine, row))
    _, first = np.unique(row[order] * (user.max(initial=0) + 1) + user[order], return_index=True)
    order = order[np.sort(first)]
    return order[_places(row[order]) < k]


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
