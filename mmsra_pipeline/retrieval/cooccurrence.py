"""Items that users take soon after each other: the neighbor table, and evidence for one candidate as of a time."""

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import duckdb
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import ITEM, NEIGHBOR, POSITION, RANK, SCORE, TIME, USER
from mmsra_pipeline.config import CooccurrenceConfig
from mmsra_pipeline.retrieval.times import NEVER, milliseconds

Popularity = Literal["very high", "high", "medium", "low", "new"]
CLASSES: tuple[tuple[float, Popularity], ...] = ((0.05, "very high"), (0.15, "high"), (0.40, "medium"))
NEIGHBOR_SQL = """
with support as (select item_id, count(*) as users from training group by item_id),
pairs as (
    select a.item_id, b.item_id as neighbor_id, count(distinct a.user_id) as users
    from training a join training b
      on a.user_id = b.user_id and b.position > a.position and b.position <= a.position + $window
    where a.item_id <> b.item_id
    group by all
    having count(distinct a.user_id) >= $min_users
),
scored as (
    select p.item_id, p.neighbor_id, p.users, p.users / sqrt(i.users * n.users) as score
    from pairs p join support i on i.item_id = p.item_id join support n on n.item_id = p.neighbor_id
)
select item_id, neighbor_id,
       row_number() over (partition by item_id order by score desc, users desc, neighbor_id) as rank,
       score, users
from scored
qualify rank <= $per_item
order by item_id, rank
"""


class Evidence(NamedTuple):
    """What others' histories say for one candidate after one history."""

    history_items: int
    """Items of the history soon after which somebody took the candidate."""
    users: int
    """Users who did so."""
    popularity: Popularity
    """Class of the candidate by the share of items that more users took: very high below 5 %, high below 15 %, medium
    below 40 %, low above; new: nobody took it."""


def cooccurrence_neighbors(training: pd.DataFrame, config: CooccurrenceConfig) -> pd.DataFrame:
    """Give the items that users most often take soon after each item, best first.

    ``users`` took the neighbor at most ``config.window`` interactions after the item. The score is
    users / sqrt(users of the item · users of the neighbor), in [0, 1]; equal scores are ordered by users, then by id.

    Args:
        training: rows of ``interactions`` that training may see.
        config: window, minimum support and length of a list.
    """
    columns = training[[USER, ITEM, POSITION]]
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.register("training", columns)
        parameters = {
            "window": config.window, "min_users": config.min_users, "per_item": config.neighbors_per_item
        }  # fmt: skip
        found = connection.execute(NEIGHBOR_SQL, parameters).df()
    return found[[ITEM, NEIGHBOR, RANK, SCORE, "users"]]


class CooccurrenceIndex:
    """Answers, as of any time, who took a candidate soon after a history's items.

    Holds one event per user and ordered pair: item a, then item b at most ``config.window`` interactions later, at the
    time of b. Asked ``before`` a time, only events (and, for popularity, interactions) earlier than it count; without
    a time all do. Events of ``exclude_user`` never count, so a training positive cannot speak for itself.
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
        self._set_events(_pairs(user, item, ordered[POSITION].to_numpy(), self._own_times, config.window))
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

        H is the last ``config.window`` items of the history: what comes next is outside the window of older ones.
        """
        counts = np.maximum(self.counts(before=before, exclude_user=exclude_user), 1)
        total = np.zeros(len(self.items))
        for item in sorted(set(history[-self._window :])):
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


def _pairs(user: np.ndarray, item: np.ndarray, position: np.ndarray, time: np.ndarray, window: int) -> _Pairs:
    """Join each interaction with those of the same user at most ``window`` positions later (rows by user, position)."""
    parts = []
    for gap in range(1, min(window, max(len(user) - 1, 0)) + 1):
        joined = (user[:-gap] == user[gap:]) & (position[gap:] - position[:-gap] <= window)
        early, late = np.flatnonzero(joined), np.flatnonzero(joined) + gap
        parts.append((item[early], item[late], user[early], time[late]))
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return _Pairs(empty, empty, empty, np.empty(0, dtype=type(NEVER)))
    return _Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))
