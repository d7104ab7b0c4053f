"""Co-occurrence of many histories with all items: what ``CooccurrenceIndex.score_all`` says, to the last bit."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.times import NEVER, before

EVENTS_TOGETHER: Final = 4_000_000  # that are held at once, and those of one query more


class Moments(NamedTuple):
    """Users at moments."""

    users: Sequence[str]
    times: Int[np.ndarray, " queries"]
    """Milliseconds; ``NEVER``: unknown, which means that everything counts."""

    @property
    def timed(self) -> Bool[np.ndarray, " queries"]:
        """Whether the time is known."""
        known: np.ndarray = self.times != NEVER
        return known


class Joined(NamedTuple):
    """Which item goes how well with which query's history; by query and item, nothing that does not."""

    query: Int[np.ndarray, " pairs"]
    code: Int[np.ndarray, " pairs"]
    """Place in ``CooccurrenceIndex.items``."""
    score: np.ndarray


class UsersAsOf:
    """Answers how many users took an item as of each query, its own user's interactions left out."""

    def __init__(self, index: CooccurrenceIndex, moments: Moments) -> None:
        times, self._row = np.unique(moments.times, return_inverse=True)
        self._items = len(index.items)
        self._before = [index.user_counts(before(time)) for time in times]
        codes, first, last = index.users_of(moments.users)
        sizes = last - first
        own = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - first, sizes)
        owner = np.repeat(np.arange(len(codes)), sizes)
        counts = ~moments.timed[owner] | (index.known.time[own] < moments.times[owner])
        self._own = np.sort(owner[counts] * self._items + index.known.item[own[counts]])

    def of(self, query: Int[np.ndarray, " pairs"], code: Int[np.ndarray, " pairs"]) -> Int[np.ndarray, " pairs"]:
        """Return the users of items, each as of its query."""
        found = np.empty(len(query), dtype=np.int64)
        row = self._row[query]
        for number, user_counts in enumerate(self._before):
            here = slice(None) if len(self._before) == 1 else np.flatnonzero(row == number)
            found[here] = user_counts[code[here]]
        key = query * self._items + code
        if len(key) > len(self._own) and (np.diff(key) > 0).all():  # look up the fewer
            at = np.minimum(np.searchsorted(key, self._own), len(key) - 1)
            np.subtract.at(found, at[key[at] == self._own], 1)
        else:
            found -= np.searchsorted(self._own, key, side="right") - np.searchsorted(self._own, key, side="left")
        return found


class ManyHistories:
    """Scores all items for some queries at a time."""

    def __init__(self, index: CooccurrenceIndex) -> None:
        self._index = index
        self._codes = pd.Index(np.array(index.items, dtype=object))
        self._events = index.event_counts()

    def codes_of(self, items: Sequence[str]) -> Int[np.ndarray, " items"]:
        """Return the code of each item, -1 of one that is not known."""
        codes: np.ndarray = self._codes.get_indexer(np.array(items, dtype=object))
        return codes

    def scores(
        self,
        codes: Int[np.ndarray, " entries"],
        sizes: Int[np.ndarray, " queries"],
        moments: Moments,
        users: UsersAsOf,
    ) -> Joined:
        """Return the summed, normalised co-occurrence of items with histories.

        Args:
            codes: of all items of the histories, one history behind the other, oldest first; -1: not known.
            sizes: items of each history.
            moments: whose histories, and as of when.
            users: of ``moments``.
        """
        ends, count = np.cumsum(sizes), len(self._index.items)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        recent = codes >= 0
        if self._index.window is not None:
            recent &= ends[owner] - np.arange(len(codes)) <= self._index.window
        pair = np.unique(owner[recent] * count + codes[recent])  # each item of a history once, in order of its code
        owner, code = pair // max(count, 1), pair % max(count, 1)
        parts = [self._part(owner[own], code[own], moments, users) for own in _blocks(owner, self._events[code])]
        return Joined(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _part(self, owner: np.ndarray, code: np.ndarray, moments: Moments, users: UsersAsOf) -> Joined:
        known, items = self._index.known, max(len(self._index.items), 1)
        user, _, _ = self._index.users_of(moments.users)
        timed, time = moments.timed[owner], moments.times[owner]
        rows, counts = self._index.rows_of(code)
        pair = np.repeat(np.arange(len(code)), counts)
        counted = known.user[rows] != user[owner[pair]]
        if timed.any():  # what follows is no earlier
            counted &= ~timed[pair] | (known.time[rows] < time[pair])
        late, counts = self._index.following(rows[counted])
        pair = np.repeat(pair[counted], counts)
        if timed.any():
            earlier = ~timed[pair] | (known.time[late] < time[pair])
            late, pair = late[earlier], pair[earlier]
        # Sums are those of one history item after the other, so each item of a history has a slot.
        slot = np.arange(len(owner)) - np.searchsorted(owner, owner)
        slots = int(slot.max(initial=0)) + 1
        key = np.sort((owner * items * slots + slot)[pair] + known.item[late].astype(np.int64) * slots)
        first = np.flatnonzero(np.diff(key, prepend=-1))
        joined = np.diff(np.append(first, len(key)))
        found, at = key[first] // slots, key[first] % slots
        query, second = found // items, found % items
        begin = np.searchsorted(owner, query) + at
        of_first = np.maximum(users.of(owner, code), 1)[begin]
        value = joined / np.sqrt(of_first * np.maximum(users.of(query, second), 1))
        change = np.diff(found, prepend=-1) != 0
        total = np.bincount(np.cumsum(change) - 1, weights=value) if len(value) else value
        return Joined(query[change], second[change], total)


def _blocks(owner: np.ndarray, events: np.ndarray) -> Iterator[slice]:
    """Return stretches of whole queries of some millions of events; at least one, maybe empty."""
    ends = np.append(np.flatnonzero(np.diff(owner)) + 1, len(owner))  # behind each query
    total = np.concatenate([[0], np.cumsum(events)])
    first = 0
    while True:
        place = int(np.searchsorted(total[ends], total[first] + EVENTS_TOGETHER, side="right"))
        following = ends[ends > first]
        if not len(following):
            if first == 0:
                yield slice(0, 0)
            return
        last = int(max(ends[place - 1] if place else 0, following[0]))
        yield slice(first, last)
        first = last
