"""The first stage: candidates out of the whole catalogue, from several views fused by reciprocal rank."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, RANK, TIME, USER
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_places import FirstPlaces
from mmsra_pipeline.retrieval.keyword_view import KeywordView
from mmsra_pipeline.retrieval.orders import ALIKE, ranking, with_cold
from mmsra_pipeline.retrieval.times import before
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.retrieval.views import Best, Ranks, Views, fused

QUERIES_TOGETHER = 512
CELLS_TOGETHER = 4_000_000  # scores of queries times items that are held at once
SMALL = 4000  # items of a catalogue that is ordered whole for each query


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
        self._histories = Histories.of(interactions) if isinstance(interactions, pd.DataFrame) else interactions
        self._first_places = FirstPlaces(encoder.items, index, self.items, self._histories)
        self._keywords = keywords
        self.cold_share = cold_share if keywords is not None else 0.0

    def candidates(self, queries: pd.DataFrame, count: int) -> pd.DataFrame:
        """Return the best ``count`` items of the catalogue for each query, rows of ``sequences``.

        Returns:
            ``user_id``, ``position``, ``item_id``, ``rank`` from 1. Items in the user's history are left out; fewer
            rows where the catalogue has no more.
        """
        names = np.array([*self.items, ""], dtype=object)
        parts = [pd.DataFrame({USER: [], POSITION: [], ITEM: [], RANK: []})]
        for best in self.best(queries, count):
            row, at = np.nonzero(best.first_stage >= 0)
            own, items = best.queries.iloc[row], names[best.first_stage[row, at]]
            parts.append(pd.DataFrame({USER: own[USER].to_numpy(), POSITION: own[POSITION].to_numpy(), ITEM: items,
                                       RANK: at + 1}))  # fmt: skip
        found = pd.concat(parts[1:] or parts, ignore_index=True)
        return found.astype({USER: "str", POSITION: "int64", ITEM: "str", RANK: "int64"})

    def best(self, queries: pd.DataFrame, count: int) -> Iterator[Best]:
        """Return the first ``count`` places of each view and of all, some queries at a time, in their order.

        They are those of ``views``, to the last bit; only catalogues of up to ``SMALL`` items are ordered whole.
        """
        cold = self._cold(queries, count)
        for start, part, scores in self._scored(queries):
            own, seen = cold[start : start + len(part)], self._first_places.seen(part)
            if len(self.items) > SMALL:
                found = self._first_places.of(part, scores, seen, count)
                orders, whole = list(found[:3]), ~found.full
            else:
                orders, whole = [np.full((len(part), count), -1) for _ in range(3)], np.ones(len(part), dtype=bool)
            for row, asked in enumerate(_asked(part)):
                if whole[row]:
                    views = self._view(asked, scores[row], own[row])
                    for order, places in zip(orders, (views.encoder, views.cooccurrence, fused(views)), strict=True):
                        order[row] = _padded(places, count)
            ends = np.searchsorted(seen.query, np.arange(len(part) + 1))
            first = orders[2].copy()
            for row in np.flatnonzero([len(places) for places in own]).tolist():
                left = _without(own[row], seen.place[ends[row] : ends[row + 1]])
                order = first[row][first[row] >= 0]
                first[row] = _padded(with_cold(order, left, self.cold_share, count), count)
            yield Best(part, orders[0], orders[1], orders[2], first, seen)

    def ranked(self, queries: pd.DataFrame, count: int) -> Iterator[Ranks]:
        """Return for each query the rank of every item that it may be recommended.

        ``count``: places among which cold items have their share.
        """
        for views in self.views(queries, count):
            order = with_cold(fused(views), views.cold, self.cold_share, len(self.items))
            rank = np.zeros(len(self.items), dtype=np.int64)
            rank[order] = np.arange(1, len(order) + 1)
            yield Ranks(views.user, views.position, self.items, self._places, order, rank)

    def views(self, queries: pd.DataFrame, count: int) -> Iterator[Views]:
        """Return what is known for each query, in their order, with cold items for ``count`` places at least."""
        cold = self._cold(queries, count)
        for start, part, scores in self._scored(queries):
            for row, asked in enumerate(_asked(part)):
                yield self._view(asked, scores[row], cold[start + row])

    def _scored(self, queries: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame, np.ndarray]]:
        """Return the scores of the encoder, some queries at a time: where they begin, the rows, and what it says."""
        together = max(1, min(QUERIES_TOGETHER, CELLS_TOGETHER // max(len(self.items), 1)))
        for start in range(0, len(queries), together):
            part = queries.iloc[start : start + together]
            yield start, part, _telling(self._encoder.score_all(part[HISTORY].tolist()))

    def _view(self, asked: tuple[Any, Any, Any, Any], scores: np.ndarray, cold: np.ndarray) -> Views:
        user, position, history, time = asked
        seen = self._seen(str(user), int(position), history)
        joined, users = self._collaborative(list(history), before(time), str(user))
        popular = _without(np.argsort(-users, kind="stable"), seen)
        return Views(
            str(user),
            int(position),
            encoder=ranking(_spread(scores[None, :], self._of_encoder)[0], popular),
            cooccurrence=ranking(joined, popular),
            popular=popular,
            cold=_without(cold, seen),
        )

    def _collaborative(self, history: list[str], time: int | None, user: str) -> tuple[np.ndarray, np.ndarray]:
        """Co-occurrence with the history (-inf where there is none) and users of each item, as of a time."""
        joined = _spread(self._index.score_all(history, time, user)[None, :], self._of_index)[0]
        users = _spread(self._index.counts(before=time, exclude_user=user)[None, :], self._of_index)[0]
        return np.where(joined > 0, joined, -np.inf), users

    def _seen(self, user: str, position: int, history: Sequence[str]) -> np.ndarray:
        own = [*history, *(self._histories.before(user, position) if self._histories else [])]
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


def _without(places: np.ndarray, seen: np.ndarray) -> Int[np.ndarray, " left"]:
    left: np.ndarray = places[~np.isin(places, seen)]
    return left


def _telling(scores: np.ndarray) -> Float[np.ndarray, "queries items"]:
    """Take the say from rows that score all items alike: their order would be that of the ids."""
    if not scores.size:
        return scores
    alike = np.ptp(scores, axis=1) <= ALIKE * np.abs(scores).max(axis=1)
    scores[alike] = -np.inf
    return scores


def _asked(part: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Return user, position, history and time of each query."""
    return part[[USER, POSITION, HISTORY, TIME]].itertuples(index=False, name=None)


def _padded(places: np.ndarray, count: int) -> Int[np.ndarray, " count"]:
    found = np.full(count, -1, dtype=np.int64)
    found[: min(len(places), count)] = places[:count]
    return found


def _columns(known: Sequence[str], items: Sequence[str]) -> Int[np.ndarray, " items"]:
    """Return the column of each item among ``known``; the one behind the last where it is not known."""
    place = {item: column for column, item in enumerate(known)}
    return np.array([place.get(item, len(known)) for item in items], dtype=np.int64)


def _spread(scores: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, "queries items"]:
    """Bring scores into the order of the catalogue; -inf where an item is not known."""
    unknown = np.full((len(scores), 1), -np.inf)
    return np.concatenate([scores.astype(np.float64), unknown], axis=1)[:, columns]
