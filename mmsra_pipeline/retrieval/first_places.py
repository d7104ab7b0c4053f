"""What the views of the first stage put first for many queries at once, without ordering the catalogue for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import HISTORY, TIME, USER
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.best_of_views import BestOfViews, best_of_views
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.cooccurrence.many import ManyHistories, Moments, UsersAsOf
from mmsra_pipeline.retrieval.times import milliseconds
from mmsra_pipeline.retrieval.user_encoder.windows import flatten


@dataclass(frozen=True)
class Seen:
    """The items that each query's user had taken, by query."""

    query: Int[np.ndarray, " entries"]
    place: Int[np.ndarray, " entries"]
    """In the catalogue. An item may stand here twice."""


class FirstPlaces:
    """Answers queries by places in the catalogue."""

    def __init__(
        self, encoder_items: Sequence[str], index: CooccurrenceIndex, items: Sequence[str], histories: Histories | None
    ) -> None:
        """Bind what ranks.

        Args:
            encoder_items: of each column of the encoder's scores.
            index: of co-occurrence.
            items: the catalogue.
            histories: whole histories of users.
        """
        self._places = pd.Index(np.array(items, dtype=object))
        self._index, self._many = index, ManyHistories(index)
        self._of_column, self._of_code = self._place_of(encoder_items), self._place_of(index.items)
        self._column_of = _inverse(self._of_column, len(items))
        self._code_of = _inverse(self._of_code, len(items))
        self._histories = histories
        self._of_histories = self._place_of(histories.items) if histories is not None else np.empty(0, dtype=np.int64)

    def _place_of(self, items: Sequence[str]) -> Int[np.ndarray, " items"]:
        places: np.ndarray = self._places.get_indexer(np.array(items, dtype=object))
        return places

    def of(
        self, queries: pd.DataFrame, scores: Float[np.ndarray, "queries columns"], seen: Seen, count: int
    ) -> BestOfViews:
        """Return the first ``count`` places by encoder, co-occurrence and both.

        Args:
            queries: with their histories.
            scores: of the encoder; rows in which it has no say are -inf. Written to.
            seen: what the queries' users had taken.
            count: places.
        """
        names, at, sizes = _named(queries)
        scores[:, self._of_column < 0] = -np.inf
        column = self._column_of[seen.place]
        scores[seen.query[column >= 0], column[column >= 0]] = -np.inf

        moments = Moments(queries[USER].astype("str").tolist(), milliseconds(queries[TIME]))
        users = UsersAsOf(self._index, moments)
        joined = self._many.scores(self._many.codes_of(names)[at], sizes, moments, users)
        place, items = self._of_code[joined.code], len(self._places)
        open_to = place >= 0  # both are in order of names, so places rise with codes
        key, seen_key = (joined.query * items + place)[open_to], seen.query * items + seen.place
        at = np.minimum(np.searchsorted(key, seen_key), len(key) - 1) if len(key) else np.empty(0, dtype=np.int64)
        left = np.ones(len(key), dtype=bool)
        left[at[key[at] == seen_key[: len(at)]]] = False
        open_to[open_to] = left

        def counted(query: np.ndarray, place: np.ndarray) -> np.ndarray:
            code = self._code_of[place]
            return np.where(code >= 0, users.of(query, np.maximum(code, 0)), -1)

        near = (joined.query[open_to], place[open_to], joined.score[open_to])
        return best_of_views(scores, self._of_column, near, counted, count)

    def seen(self, queries: pd.DataFrame) -> Seen:
        """Return what the user of each query had taken: what its history shows, and all that is known of before."""
        names, at, sizes = _named(queries)
        history = self._place_of(names)[at]
        owner = np.repeat(np.arange(len(queries)), sizes)
        if self._histories is not None:
            codes, more = self._histories.all_before(queries)
            history = np.concatenate([history, self._of_histories[codes]])
            owner = np.concatenate([owner, np.repeat(np.arange(len(queries)), more)])
        there = history >= 0
        owner, history = owner[there], history[there]
        order = np.argsort(owner, kind="stable")
        return Seen(owner[order], history[order])


def _named(queries: pd.DataFrame) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return distinct items, which of them stand in the histories, one behind the other, and the histories' lengths."""
    flat, sizes = flatten(queries[HISTORY].tolist())
    named = flat.dictionary_encode()
    return named.dictionary.to_pylist(), named.indices.to_numpy(), sizes


def _inverse(places: np.ndarray, count: int) -> Int[np.ndarray, " places"]:
    """Return where each place stands; -1 where it does not."""
    found = np.full(count, -1, dtype=np.int64)
    found[places[places >= 0]] = np.flatnonzero(places >= 0)
    return found
