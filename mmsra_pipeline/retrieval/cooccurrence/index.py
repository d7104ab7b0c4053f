"""Who took an item soon after the items of a history, as of any time: an index of pairs, for evidence and scores."""

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import ITEM, POSITION, TIME, USER
from mmsra_pipeline.config.tree import CooccurrenceConfig
from mmsra_pipeline.retrieval.times import HOUR, NEVER, milliseconds, require_times

Popularity = Literal["very high", "high", "medium", "low", "new"]
CLASSES: tuple[tuple[float, Popularity], ...] = ((0.05, "very high"), (0.15, "high"), (0.40, "medium"))


class Evidence(NamedTuple):
    """What others' histories say for one candidate after one history."""

    history_items: int
    """Items of the history soon after which somebody took the candidate."""
    users: int
    """Users who did so."""
    popularity: Popularity
    """Class of the candidate by the share of items that more users took: very high below 5 %, high below 15 %, medium
    below 40 %, low above; new: nobody took it."""


class CooccurrenceIndex:
    """Answers, as of any time, who took a candidate soon after a history's items.

    Holds one event per user and ordered pair: item a, then item b at most ``config.window`` interactions later, and in
    the same session where ``config.session_hours`` is set, at the time of b. These two settings are all it reads: an
    event is one user, however old, and scores are cosines. Asked ``before`` a time, only events (and, for popularity,
    interactions) earlier than it count; without a time all do. Events of ``exclude_user`` never count, so a training
    positive cannot speak for itself.

    Raises:
        DataError: if there are sessions to find in data without times.
    """

    def __init__(self, training: pd.DataFrame, config: CooccurrenceConfig) -> None:
        self._window = config.window
        ordered = training.sort_values([USER, POSITION])
        item, items = pd.factorize(ordered[ITEM], sort=True)
        user, users = pd.factorize(ordered[USER], sort=True)
        self.items: list[str] = [str(value) for value in items]
        self._item_codes = {value: code for code, value in enumerate(self.items)}
        self._user_codes = {str(value): code for code, value in enumerate(users)}
        self._user_starts = np.searchsorted(user, np.arange(len(users) + 1))
        self._own_items, self._own_times = item, milliseconds(ordered[TIME])
        by_time = np.argsort(self._own_times, kind="stable")
        self._timeline_items, self._timeline = item[by_time], self._own_times[by_time]
        visit = _visits(user, self._own_times, config.session_hours)
        self._set_events(_pairs(visit, user, item, ordered[POSITION].to_numpy(), self._own_times, config.window))
        # A query asks for many candidates at one time: count once.
        self._counts = functools.lru_cache(maxsize=32)(self._count_before)

    def evidence(
        self, history: Sequence[str], candidate: str, *, before: int | None, exclude_user: str | None
    ) -> Evidence:
        """Give what the others' histories say for a candidate that follows ``history``.

        Args:
            history: item ids in any order; unknown ones say nothing.
            candidate: an item id, known or not.
            before: milliseconds; None: everything counts (serving, or data without times).
            exclude_user: whose own events and interactions do not count.
        """
        code = self._item_codes.get(candidate)
        if code is None:
            return Evidence(0, 0, "new")
        joined = [self._pair_users(self._item_codes[item], code, before, exclude_user)
                  for item in sorted(set(history)) if item in self._item_codes]  # fmt: skip
        some = [users for users in joined if len(users)]
        users = len(np.unique(np.concatenate(some))) if some else 0
        return Evidence(len(some), users, self.popularity_class(candidate, before=before, exclude_user=exclude_user))

    def score(
        self,
        history: Sequence[str],
        candidates: Sequence[str],
        before: int | None = None,
        exclude_user: str | None = None,
    ) -> Float[np.ndarray, " candidates"]:
        """Give each candidate's summed, normalised co-occurrence with the history; 0 for unknown candidates."""
        every = np.append(self.score_all(history, before, exclude_user), 0.0)  # the last place: unknown
        return every[[self._item_codes.get(item, -1) for item in candidates]]

    def score_all(
        self, history: Sequence[str], before: int | None = None, exclude_user: str | None = None
    ) -> Float[np.ndarray, " items"]:
        r"""Give $\sum_{a \in H} n(a, c) / \sqrt{n(a)\, n(c)}$ for every item c, in the order of ``items``.

        H is the last ``config.window`` items of the history: what comes next is outside the window of older ones. A
        history has no times, so that a session that has ended meanwhile still speaks.
        """
        counts = np.maximum(self.counts(before=before, exclude_user=exclude_user), 1)
        total = np.zeros(len(self.items))
        recent = history if self._window is None else history[-self._window :]
        for item in sorted(set(recent)):
            code = self._item_codes.get(item)
            if code is None:
                continue
            events = slice(self._starts[code], self._starts[code + 1])
            allowed = self._allowed(events, before, exclude_user)
            joined = np.bincount(self._second[events][allowed], minlength=len(self.items))
            total += joined / np.sqrt(counts[code] * counts)
        return total

    def counts(self, *, before: int | None, exclude_user: str | None) -> Int[np.ndarray, " items"]:
        """Users who took each item, in the order of ``items``."""
        counts: np.ndarray = self._counts(before).copy()
        user = self._user_codes.get(exclude_user) if exclude_user is not None else None
        if user is not None:
            own = slice(self._user_starts[user], self._user_starts[user + 1])
            earlier = self._own_times[own] < before if before is not None else slice(None)
            np.subtract.at(counts, self._own_items[own][earlier], 1)
        return counts

    def popularity_class(self, item: str, *, before: int | None, exclude_user: str | None) -> Popularity:
        """Give the popularity of an item as a word; see ``Evidence``."""
        code = self._item_codes.get(item)
        counts = self.counts(before=before, exclude_user=exclude_user)
        if code is None or counts[code] == 0:
            return "new"
        share = np.count_nonzero(counts > counts[code]) / np.count_nonzero(counts)
        return next((name for bound, name in CLASSES if share < bound), "low")

    def _set_events(self, pairs: "_Pairs") -> None:
        order = np.lexsort((pairs.user, pairs.second, pairs.first))
        self._second, self._event_user, self._event_time = (
            pairs.second[order], pairs.user[order], pairs.time[order]
        )  # fmt: skip
        self._starts = np.searchsorted(pairs.first[order], np.arange(len(self.items) + 1))

    def _pair_users(self, first: int, second: int, before: int | None, exclude_user: str | None) -> np.ndarray:
        start, end = self._starts[first], self._starts[first + 1]
        low, high = start + np.searchsorted(self._second[start:end], [second, second + 1])
        events = slice(low, high)
        users: np.ndarray = self._event_user[events][self._allowed(events, before, exclude_user)]
        return users

    def _allowed(self, events: slice, before: int | None, exclude_user: str | None) -> np.ndarray:
        allowed: np.ndarray = np.ones(events.stop - events.start, dtype=bool)
        if before is not None:
            allowed &= self._event_time[events] < before
        if exclude_user is not None:
            allowed &= self._event_user[events] != self._user_codes.get(exclude_user, -1)
        return allowed

    def _count_before(self, before: int | None) -> np.ndarray:
        end = len(self._timeline) if before is None else int(np.searchsorted(self._timeline, before))
        return np.bincount(self._timeline_items[:end], minlength=len(self.items))


class _Pairs(NamedTuple):
    first: np.ndarray
    second: np.ndarray
    user: np.ndarray
    time: np.ndarray


def _visits(user: np.ndarray, time: np.ndarray, session_hours: float | None) -> np.ndarray:
    """Number the stretches of rows within which pairs are joined: users, or sessions (rows by user, position)."""
    if session_hours is None:
        return user
    require_times(int((time == NEVER).sum()), len(time))
    new = np.ones(len(user), dtype=np.int64)
    new[1:] = (np.diff(user) != 0) | (np.diff(time) > session_hours * HOUR)
    return np.cumsum(new)


def _pairs(
    visit: np.ndarray, user: np.ndarray, item: np.ndarray, position: np.ndarray, time: np.ndarray, window: int | None
) -> _Pairs:
    """Join each row with those of the same visit at most ``window`` positions later (rows by user, position)."""
    parts = []
    for gap in range(1, min(window or len(user), len(user) - 1) + 1):
        joined = visit[:-gap] == visit[gap:]
        if window is not None:
            joined &= position[gap:] - position[:-gap] <= window
        early = np.flatnonzero(joined)
        if not len(early):  # nor is anything joined over a wider gap
            break
        late = early + gap
        parts.append((item[early], item[late], user[early], time[late]))
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return _Pairs(empty, empty, empty, np.empty(0, dtype=type(NEVER)))
    return _Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))
