"""The first places of the fused order of many queries, without ordering the catalogue for each of them.

Of encoder and co-occurrence only the first places are ordered. They are so many (``_depth``) that the sum of reciprocal
ranks of an item that is among neither is less than that of the last place asked for. An item that is among the first of
one of them alone, and whose sum might reach that, has its rank by the other counted. The result is that of ``fuse``, to
the last bit.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mmsra_pipeline.retrieval.orders import RECIPROCAL_OFFSET

AHEAD: Final = 128  # places of the encoder that are ordered beyond those that must be: fewer ranks are to be counted
Users = Callable[[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]], Int[np.ndarray, " pairs"]]
"""Of queries and places: how many users took the item, as of the query; -1 of one that nobody took in training."""


class Ranked(NamedTuple):
    """Some items of each query, by query and rank."""

    query: Int[np.ndarray, " pairs"]
    place: Int[np.ndarray, " pairs"]
    score: Float[np.ndarray, " pairs"]
    rank: Int[np.ndarray, " pairs"]
    """From 1."""

    def first(self, queries: int, count: int) -> Int[np.ndarray, "queries count"]:
        """Return the places of the first ranks of each query; -1 behind the last."""
        found = np.full((queries, count), -1, dtype=np.int64)
        kept = self.rank <= count
        found[self.query[kept], self.rank[kept] - 1] = self.place[kept]
        return found


class BestOfViews(NamedTuple):
    """The first places of some queries."""

    encoder: Int[np.ndarray, "queries count"]
    cooccurrence: Int[np.ndarray, "queries count"]
    fused: Int[np.ndarray, "queries count"]
    """-1 behind the last."""
    full: Bool[np.ndarray, " queries"]
    """Where not, encoder and co-occurrence know too few items, and others would follow in ``fused``."""


def best_of_views(
    scores: Float[np.ndarray, "queries columns"],
    place_of: Int[np.ndarray, " columns"],
    joined: tuple[np.ndarray, np.ndarray, np.ndarray],
    users: Users,
    count: int,
) -> BestOfViews:
    """Return the first ``count`` items by the encoder, by co-occurrence, and by both.

    Equal scores and equal sums are ordered by users, then by place.

    Args:
        scores: of the encoder; -inf where it does not rank an item.
        place_of: the place in the catalogue of each column; -1: none.
        joined: query, place and score of what co-occurrence ranks, by query and place.
        users: see ``Users``.
        count: places.
    """
    queries, (query, place, score) = len(scores), joined
    size = max(int(place_of.max(initial=-1)), int(place.max(initial=-1))) + 1
    column_of = np.full(size, -1, dtype=np.int64)
    column_of[place_of[place_of >= 0]] = np.flatnonzero(place_of >= 0)
    starts = np.searchsorted(query, np.arange(queries + 1))

    row, column, found, whole = _highest(scores, _depth(count) + AHEAD)
    encoder = ranked(row, place_of[column], found, users)
    row, column, found, near_whole = _highest(_matrix(query, score, starts), _depth(count))
    near = ranked(row, place[starts[row] + column], found, users)

    ours, theirs = encoder.query * size + encoder.place, near.query * size + near.place
    key = np.unique(np.concatenate([ours, theirs]))
    asked, item = key // size, key % size
    first, second = (_terms(own, one.rank, key) for own, one in ((ours, encoder), (theirs, near)))
    open_first = (first == 0) & ~whole[asked] & (_of(scores, asked, column_of[item]) > -np.inf)
    spot = np.minimum(np.searchsorted(query * size + place, key), max(len(query) - 1, 0))
    open_second = (second == 0) & ~near_whole[asked]
    open_second[open_second] = (query * size + place)[spot[open_second]] == key[open_second]

    # A term that is not known yet is less than that of the last place that was ordered.
    bound = _reached(asked, first + second, queries, count)
    most = np.where(open_first, 1.0 / (RECIPROCAL_OFFSET + 1 + _sizes(encoder, queries)[asked]), first) + np.where(
        open_second, 1.0 / (RECIPROCAL_OFFSET + 1 + _sizes(near, queries)[asked]), second
    )
    may = most >= bound[asked]
    for pair in np.flatnonzero(may & open_first).tolist():
        first[pair] = _counted(scores[asked[pair]], column_of[item[pair]], place_of, asked[pair], users)
    for pair in np.flatnonzero(may & open_second).tolist():
        own = slice(starts[asked[pair]], starts[asked[pair] + 1])
        second[pair] = _counted(score[own], spot[pair] - own.start, place[own], asked[pair], users)
    fused = ranked(asked[may], item[may], (first + second)[may], users)
    enough = np.bincount(fused.query, minlength=queries) >= count
    return BestOfViews(encoder.first(queries, count), near.first(queries, count), fused.first(queries, count), enough)


def ranked(query: np.ndarray, place: np.ndarray, score: np.ndarray, users: Users) -> Ranked:
    """Order the items of each query by score, equal ones by users, then by place."""
    order = np.lexsort((place, -users(query, place), -score, query))
    query, place, score = query[order], place[order], score[order]
    return Ranked(query, place, score, np.arange(len(query)) - np.searchsorted(query, query) + 1)


def _depth(count: int) -> int:
    """Return L with 2 / (60 + L + 1) < 1 / (60 + count)."""
    return 2 * count + RECIPROCAL_OFFSET


def _matrix(query: np.ndarray, score: np.ndarray, starts: np.ndarray) -> Float[np.ndarray, "queries most"]:
    """Write the scores of each query into a row; -inf behind the last."""
    sizes = np.diff(starts)
    rows = np.full((len(sizes), max(int(sizes.max(initial=0)), 1)), -np.inf)
    rows[query, np.arange(len(query)) - starts[query]] = score
    return rows


def _of(scores: np.ndarray, query: np.ndarray, column: np.ndarray) -> Float[np.ndarray, " pairs"]:
    return np.where(column >= 0, scores[query, np.maximum(column, 0)], -np.inf)


def _terms(own: np.ndarray, rank: np.ndarray, key: np.ndarray) -> Float[np.ndarray, " keys"]:
    """Return the reciprocal rank at each key; 0 where there is none. ``key`` is sorted and holds all of ``own``."""
    terms = np.zeros(len(key))
    terms[np.searchsorted(key, own)] = 1.0 / (RECIPROCAL_OFFSET + rank)
    return terms


def _sizes(one: Ranked, queries: int) -> Int[np.ndarray, " queries"]:
    return np.bincount(one.query, minlength=queries)


def _highest(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and score of the ``count`` highest of each row and all that equal the last of them.

    Then for each row whether these are all that are ranked (-inf: not).
    """
    more = min(count + 1, scores.shape[1])
    values, columns = (part.numpy() for part in torch.topk(torch.from_numpy(scores), more, dim=1))
    if more <= count:
        row, column = np.nonzero(values > -np.inf)
        return row, columns[row, column], values[row, column].astype(np.float64), np.ones(len(scores), dtype=bool)
    least, next_one = values[:, count - 1], values[:, count]
    whole = next_one == -np.inf
    tied = (least == next_one) & ~whole
    row, column = np.nonzero((values > -np.inf) & ((np.arange(more) < count) & ~tied[:, None]))
    parts = [(row, columns[row, column])]
    for number in np.flatnonzero(tied).tolist():
        here = np.flatnonzero(scores[number] >= least[number])
        parts.append((np.full(len(here), number), here))
    row, column = (np.concatenate(part) for part in zip(*parts, strict=True))
    return row, column, scores[row, column].astype(np.float64), whole


def _reached(query: np.ndarray, value: np.ndarray, queries: int, count: int) -> Float[np.ndarray, " queries"]:
    """Return the value in place ``count`` of each query, the highest first; 0 where there are fewer."""
    order = np.lexsort((-value, query))
    starts = np.searchsorted(query[order], np.arange(queries))
    sizes = np.bincount(query, minlength=queries)
    reached = np.zeros(queries)
    there = sizes >= count
    reached[there] = value[order][starts[there] + count - 1]
    return reached


def _counted(row: np.ndarray, column: int, places: np.ndarray, query: int, users: Users) -> float:
    """Return the reciprocal rank of one item among all that a row scores."""
    rank = 1 + int(np.count_nonzero(row > row[column]))
    equal = np.flatnonzero(row == row[column])
    if len(equal) > 1:
        others, mine = places[equal], int(np.flatnonzero(equal == column)[0])
        user_counts = users(np.full(len(others), query), others)
        more = (user_counts > user_counts[mine]) | ((user_counts == user_counts[mine]) & (others < others[mine]))
        rank += int(np.count_nonzero(more))
    return 1.0 / (RECIPROCAL_OFFSET + rank)
