"""The first places of the fused order of many queries, without ordering the catalogue for each of them.

What is among the first ``count`` by the sum of reciprocal ranks is among the first of the encoder or of co-occurrence.
So of the encoder the first ``count + AHEAD`` are ordered, of co-occurrence all that it joins; an item of co-occurrence
alone whose sum might reach the last place has its rank by the encoder counted. The result is that of ``fuse``, to the
last bit.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from mmsra_pipeline.retrieval.orders import RECIPROCAL_OFFSET

AHEAD: Final = 256  # more of them ordered leave fewer ranks to be counted
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
        place_of: the place in the catalogue of each column.
        joined: query, place and score of what co-occurrence ranks.
        users: see ``Users``.
        count: places.
    """
    places, queries = int(place_of.max(initial=-1)) + 1, len(scores)
    row, column, found, whole = _highest(scores, count + AHEAD)
    encoder = ranked(row, place_of[column], found, users)
    near = ranked(*joined, users)
    size = max(places, int(near.place.max(initial=-1)) + 1, 1)
    ours, theirs = encoder.query * size + encoder.place, near.query * size + near.place
    reciprocal, other = 1.0 / (RECIPROCAL_OFFSET + encoder.rank), 1.0 / (RECIPROCAL_OFFSET + near.rank)
    at, both = _among(theirs, ours)  # of each item of the encoder, its place in co-occurrence
    summed = np.where(both, reciprocal + other[at], reciprocal) if len(other) else reciprocal
    _, known = _among(ours, theirs)
    alone = np.flatnonzero(~known)

    # What co-occurrence alone has is worth at least its own term. The last place costs at least what that gives.
    bound = _reached(
        np.concatenate([encoder.query, near.query[alone]]), np.concatenate([summed, other[alone]]), queries, count
    )
    ordered = np.bincount(encoder.query, minlength=queries)
    most = other[alone] + np.where(whole, 0.0, 1.0 / (RECIPROCAL_OFFSET + ordered + 1))[near.query[alone]]
    alone = alone[most >= bound[near.query[alone]]]
    column_of = np.full(size, -1, dtype=np.int64)
    column_of[place_of[place_of >= 0]] = np.flatnonzero(place_of >= 0)
    terms = _counted(scores, column_of, near.query[alone], near.place[alone], whole, users, place_of)
    query = np.concatenate([encoder.query, near.query[alone]])
    place = np.concatenate([encoder.place, near.place[alone]])
    fused = ranked(query, place, np.concatenate([summed, terms + other[alone]]), users)
    enough = np.bincount(fused.query, minlength=queries) >= count
    return BestOfViews(encoder.first(queries, count), near.first(queries, count), fused.first(queries, count), enough)


def ranked(query: np.ndarray, place: np.ndarray, score: np.ndarray, users: Users) -> Ranked:
    """Order the items of each query by score, equal ones by users, then by place."""
    order = np.lexsort((place, -users(query, place), -score, query))
    query, place, score = query[order], place[order], score[order]
    return Ranked(query, place, score, np.arange(len(query)) - np.searchsorted(query, query) + 1)


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


def _counted(
    scores: np.ndarray,
    column_of: np.ndarray,
    query: np.ndarray,
    place: np.ndarray,
    whole: np.ndarray,
    users: Users,
    place_of: np.ndarray,
) -> Float[np.ndarray, " pairs"]:
    """Return the encoder's reciprocal rank of items that are not among the first of their query; 0 without one."""
    terms = np.zeros(len(query))
    column = column_of[place]
    own = np.where(column >= 0, scores[query, np.maximum(column, 0)], -np.inf)
    for pair in np.flatnonzero(~whole[query] & (own > -np.inf)).tolist():
        row = scores[query[pair]]
        rank = 1 + np.count_nonzero(row > own[pair])
        equal = np.flatnonzero(row == own[pair])
        if len(equal) > 1:
            others = place_of[equal]
            taken = users(np.full(len(others), query[pair]), others)
            mine = taken[others == place[pair]][0]
            rank += np.count_nonzero((taken > mine) | ((taken == mine) & (others < place[pair])))
        terms[pair] = 1.0 / (RECIPROCAL_OFFSET + rank)
    return terms


def _among(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where in ``keys``, which are distinct and in any order, each wanted one stands, and whether it does."""
    if not len(keys):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return order[at], keys[order[at]] == wanted
