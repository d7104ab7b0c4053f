"""The first stage: candidates out of the whole catalogue, from several views fused by reciprocal rank."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, RANK, TIME, USER
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.keyword_view import KeywordView
from mmsra_pipeline.retrieval.times import before
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder

RECIPROCAL_OFFSET = 60  # of reciprocal rank fusion (Cormack et al., SIGIR 2009)
QUERIES_TOGETHER = 512
CELLS_TOGETHER = 4_000_000  # scores of queries times items that are held at once
ALIKE = 1e-6  # scores that differ by less than this share of the largest are rounding


@dataclass(frozen=True)
class Views:
    """How each view orders the catalogue for one query, as places in ``FirstStage.items``, the best first.

    What the user had taken is in none. ``encoder`` and ``cooccurrence`` have the items that they know something of,
    ``popular`` has all, by users as of the query, and ``cold`` cold items by how their keywords fit the history.
    """

    user: str
    position: int
    encoder: Int[np.ndarray, " known"]
    cooccurrence: Int[np.ndarray, " joined"]
    popular: Int[np.ndarray, " items"]
    cold: Int[np.ndarray, " cold"]


class FirstStage:
    """Ranks the whole catalogue for queries.

    The user encoder and co-occurrence (as of the query, without the user's own events) each rank the items they know
    something of; an item earns the sum of 1 / (60 + rank). What neither knows follows by popularity, then by id. A
    history without a known item, or none at all, gives the encoder no say. Items that nobody took in training are known
    to neither: they enter by their keywords, at a share of the places.
    """

    def __init__(
        self,
        encoder: UserEncoder,
        index: CooccurrenceIndex,
        catalogue: Sequence[str],
        *,
        interactions: pd.DataFrame | Histories | None = None,
        keywords: KeywordView | None = None,
        cold_share: float = 0.0,
    ) -> None:
        """Bind what ranks.

        Args:
            encoder: scores the items it was trained on.
            index: scores co-occurrence, and counts users of items.
            catalogue: item ids that may be recommended.
            interactions: whole histories, as rows of ``interactions`` or read from them. Queries hold the last items
                only; with this no older item comes back.
            keywords: ranks cold items. None: none enters before all others.
            cold_share: of the places, for cold items.
        """
        self.items = sorted(set(catalogue))
        known = {*encoder.items, *index.items}
        self.cold = [item for item in self.items if item not in known]
        self._encoder, self._index = encoder, index
        self._places = {item: place for place, item in enumerate(self.items)}
        self._of_encoder, self._of_index = _columns(encoder.items, self.items), _columns(index.items, self.items)
        self._taken = Histories.of(interactions) if isinstance(interactions, pd.DataFrame) else interactions
        self._keywords = keywords
        self.cold_share = cold_share if keywords is not None else 0.0

    def candidates(self, queries: pd.DataFrame, count: int) -> pd.DataFrame:
        """Return the best ``count`` items of the catalogue for each query, rows of ``sequences``.

        Returns:
            ``user_id``, ``position``, ``item_id``, ``rank`` from 1. Items in the user's history are left out; fewer
            rows where the catalogue has no more.
        """
        rows: list[tuple[str, int, str, int]] = []
        for views in self.views(queries, count):
            best = with_cold(fused(views), views.cold, self.cold_share, count)
            rows += [(views.user, views.position, self.items[place], rank) for rank, place in enumerate(best, start=1)]
        found = pd.DataFrame(rows, columns=[USER, POSITION, ITEM, RANK])
        return found.astype({USER: "str", POSITION: "int64", ITEM: "str", RANK: "int64"})

    def ranked(self, queries: pd.DataFrame, count: int) -> Iterator[tuple[str, int, dict[str, int]]]:
        """Return each query's user and position with the rank, from 1, of every item that it may be recommended.

        ``count``: places among which cold items have their share.
        """
        for views in self.views(queries, count):
            order = with_cold(fused(views), views.cold, self.cold_share, len(self.items))
            ranks = {self.items[place]: rank for rank, place in enumerate(order.tolist(), start=1)}
            yield views.user, views.position, ranks

    def views(self, queries: pd.DataFrame, count: int) -> Iterator[Views]:
        """Return what is known for each query, in their order, with cold items for ``count`` places at least."""
        cold = self._cold(queries, count)
        together = max(1, min(QUERIES_TOGETHER, CELLS_TOGETHER // max(len(self.items), 1)))
        for start in range(0, len(queries), together):
            part = queries.iloc[start : start + together]
            scores = _telling(self._encoder.score_all(part[HISTORY].tolist()))
            encoded = _spread(scores, self._of_encoder)
            asked = part[[USER, POSITION, HISTORY, TIME]].itertuples(index=False, name=None)
            for row, (user, position, history, time) in enumerate(asked):
                seen = self._seen(str(user), int(position), history)
                joined, users = self._collaborative(list(history), before(time), str(user))
                popular = _without(np.argsort(-users, kind="stable"), seen)
                yield Views(
                    str(user),
                    int(position),
                    encoder=ranking(encoded[row], popular),
                    cooccurrence=ranking(joined, popular),
                    popular=popular,
                    cold=_without(cold[start + row], seen),
                )

    def _collaborative(self, history: list[str], time: int | None, user: str) -> tuple[np.ndarray, np.ndarray]:
        """Co-occurrence with the history (-inf where there is none) and users of each item, as of a time."""
        joined = _spread(self._index.score_all(history, time, user)[None, :], self._of_index)[0]
        users = _spread(self._index.counts(before=time, exclude_user=user)[None, :], self._of_index)[0]
        return np.where(joined > 0, joined, -np.inf), users

    def _seen(self, user: str, position: int, history: Sequence[str]) -> np.ndarray:
        own = [*history, *(self._taken.before(user, position) if self._taken else [])]
        return np.array([self._places[item] for item in own if item in self._places], dtype=np.int64)

    def _cold(self, queries: pd.DataFrame, count: int) -> list[np.ndarray]:
        """Return each query's fitting cold items, a few more than there is room for: it may have seen some."""
        room = math.floor(count * self.cold_share + ALIKE)
        if self._keywords is None or not room or not self.cold:
            return [np.empty(0, dtype=np.int64)] * len(queries)
        cold = np.array([self._places[item] for item in self.cold])
        seen = [
            int(np.isin(cold, self._seen(str(user), int(position), history)).sum())
            for user, position, history in queries[[USER, POSITION, HISTORY]].itertuples(index=False, name=None)
        ]
        found = self._keywords.fitting(self.cold, queries[HISTORY].tolist(), room + max(seen, default=0))
        return [np.array([self._places[item] for item in items], dtype=np.int64) for items in found]


def fused(views: Views) -> Int[np.ndarray, " items"]:
    """Order the catalogue by encoder and co-occurrence, what neither knows by popularity."""
    return fuse([views.encoder, views.cooccurrence], views.popular)


def fuse(rankings: Sequence[Int[np.ndarray, " ranked"]], order: Int[np.ndarray, " items"]) -> Int[np.ndarray, " items"]:
    """Order places by the sum of reciprocal ranks over several rankings, equal ones as they stand in ``order``.

    >>> fuse([np.array([0, 1, 2]), np.array([2, 0])], np.arange(5)).tolist()
    [0, 2, 1, 3, 4]
    """
    total = np.zeros(order.max(initial=-1) + 1)
    for places in rankings:
        total[places] += 1.0 / (RECIPROCAL_OFFSET + np.arange(1, len(places) + 1))
    best: np.ndarray = order[np.argsort(-total[order], kind="stable")]
    return best


def ranking(score: Float[np.ndarray, " items"], order: Int[np.ndarray, " left"]) -> Int[np.ndarray, " ranked"]:
    """Return the places of ``order`` that a score ranks (-inf: not), the highest first, equal ones as they stand there.

    >>> ranking(np.array([3.0, 9.0, -np.inf, 3.0]), np.array([3, 2, 0])).tolist()
    [3, 0]
    """
    known = order[~np.isneginf(score[order])]
    places: np.ndarray = known[np.argsort(-score[known], kind="stable")]
    return places


def with_cold(
    order: Int[np.ndarray, " places"], cold: Int[np.ndarray, " cold"], share: float, count: int
) -> Int[np.ndarray, " best"]:
    """Return the first ``count`` of ``order`` with cold items at a share of the places, evenly: a prefix has its share.

    >>> with_cold(np.array([1, 2, 3, 4, 9, 8]), np.array([8, 9]), share=0.4, count=5).tolist()
    [1, 2, 8, 3, 9]
    """
    number = np.arange(len(cold) if share else 0)
    ranks = np.ceil((number + 1) / share - ALIKE).astype(np.int64) if len(number) else number  # from 1
    start = order[:count]
    # A rank behind all that there is means: at the end.
    joined = np.insert(start, np.minimum(ranks - 1 - number, len(start)), cold[: len(number)])
    _, first = np.unique(joined, return_index=True)
    best: np.ndarray = joined[np.sort(first)][:count]
    return best


def _without(places: np.ndarray, seen: np.ndarray) -> Int[np.ndarray, " left"]:
    left: np.ndarray = places[~np.isin(places, seen)]
    return left


def _telling(scores: np.ndarray) -> Float[np.ndarray, "queries items"]:
    """Take the say from rows that score all items alike: their order would be that of the ids."""
    if not scores.size:
        return scores
    alike = np.ptp(scores, axis=1) <= ALIKE * np.abs(scores).max(axis=1)
    return np.where(alike[:, None], -np.inf, scores.astype(np.float64))


def _columns(known: Sequence[str], items: Sequence[str]) -> Int[np.ndarray, " items"]:
    """Return the column of each item among ``known``; the one behind the last where it is not known."""
    place = {item: column for column, item in enumerate(known)}
    return np.array([place.get(item, len(known)) for item in items], dtype=np.int64)


def _spread(scores: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "queries items"]:
    """Bring scores into the order of the catalogue; -inf where an item is not known."""
    unknown = np.full((len(scores), 1), -np.inf)
    return np.concatenate([scores.astype(np.float64), unknown], axis=1)[:, columns]
