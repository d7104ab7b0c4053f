"""Who took an item soon after the items of a history, as of any time: an index of pairs, for evidence and scores."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from safetensors.numpy import load_file, save_file

from mmsra_pipeline.retrieval.cooccurrence.events import Events, Interactions, following, known_interactions, visit_ends
from mmsra_pipeline.retrieval.cooccurrence.user_counts import counts_by_time

WINDOW: Final = 20  # of evidence
ARRAYS: Final = "interactions.safetensors"
NAMES: Final = "names.json"


class CooccurrenceIndex:
    """Answers, as of any time, who took a candidate soon after a history's items.

    An event is one per user and ordered pair: item a, then item b at most ``window`` interactions later, in the same
    session where there are sessions, at the time of b. It counts as one user, however old, and scores are cosines.
    Asked ``before`` a time, only events (and, for popularity, interactions) earlier than it count; without a time all
    do. Events of ``exclude_user`` never count, so a training positive cannot speak for itself.

    No event is stored: there are some ten times as many as interactions. The index knows the rows in which an item was
    taken, and what follows a row stands behind it.
    """

    def __init__(self, known: "Interactions", position: np.ndarray, ends: np.ndarray, window: int | None) -> None:
        """See ``of_training`` and ``load``.

        Args:
            known: the interactions.
            position: of each row in its user's history.
            ends: the row behind the visit of each row.
            window: no event spans more; None: there is no bound.
        """
        self.known, self.window = known, window
        self._wide: CooccurrenceIndex | None = None
        self.items = known.items
        self._position, self._ends = position, ends
        self._item_codes = {value: code for code, value in enumerate(known.items)}
        self._user_codes = {value: code for code, value in enumerate(known.users)}
        self._user_starts = np.searchsorted(known.user, np.arange(len(known.users) + 1))
        self._by_item = np.argsort(known.item, kind="stable").astype(np.int32)
        sizes = np.bincount(known.item, minlength=len(self.items))
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        # A gap in positions is a row that training may not see; without any, rows need not be compared by position.
        self._whole = bool(((np.diff(position) == 1) | (np.diff(known.user) != 0)).all())
        self._counts = counts_by_time(known)

    @classmethod
    def of_training(cls, training: pd.DataFrame, window: int | None, session_hours: float | None = None) -> Self:
        """Count the interactions that training may see.

        Args:
            training: rows of ``interactions``.
            window: interactions that lie at most this far apart in a history co-occur; None: however far.
            session_hours: a longer time between two interactions ends a session, and only those of one session
                co-occur; None: a history is one session.

        Raises:
            DataError: if there are sessions to find in data without times.
        """
        known, position = known_interactions(training)
        return cls(known, position.astype(np.int32), visit_ends(known, session_hours), window)

    def within(self, window: int | None) -> Self:
        """Return the index of the same interactions with a narrower window; one that is as wide is itself.

        Raises:
            ValueError: if events of that window were not counted.
        """
        if window == self.window:
            return self
        if self.window is not None and (window is None or window > self.window):
            raise ValueError(f"events span at most {self.window} interactions, so none of {window} can be asked for")
        narrower = copy.copy(self)
        narrower.window = window
        narrower._wide = self  # lives as long: who asks for it again need not load it
        return narrower

    def save(self, folder: Path) -> None:
        """Write the index; ``load`` reads it back. The same index gives the same bytes."""
        arrays = {name: getattr(self.known, name) for name in ("user", "item", "time")}
        arrays |= {"position": self._position, "end": self._ends}
        save_file({name: np.ascontiguousarray(column) for name, column in arrays.items()}, folder / ARRAYS)
        names = {"window": self.window, "items": self.known.items, "users": self.known.users}
        (folder / NAMES).write_text(json.dumps(names))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        arrays, names = load_file(folder / ARRAYS), json.loads((folder / NAMES).read_text())
        known = Interactions(names["items"], names["users"], *(arrays[name] for name in ("user", "item", "time")))
        return cls(known, arrays["position"], arrays["end"], names["window"])

    def events(self, first: int, last: int) -> Events:
        """Return the events of the items of codes ``first`` to ``last`` - 1."""
        rows = self._by_item[self._starts[first] : self._starts[last]].astype(np.int64)
        late, counts = self.following(rows)
        early, known = np.repeat(rows, counts), self.known
        gap = (self._position[late] - self._position[early]).astype(np.int32)
        found = Events(known.item[early], known.item[late], known.user[late], known.time[late], gap)
        order = np.lexsort((found.gap, found.user, found.second, found.first))
        return Events(*(column[order] for column in found))

    def event_counts(self) -> Int[np.ndarray, " items"]:
        """Return how many events begin with each item."""
        rows = np.arange(len(self.known.item), dtype=np.int64)
        last = self._ends.astype(np.int64)
        if self.window is not None:
            last = np.minimum(last, rows + self.window + 1)
        counted: np.ndarray = np.bincount(self.known.item, weights=last - rows - 1, minlength=len(self.items)).astype(
            np.int64
        )
        return counted

    def score(
        self,
        history: Sequence[str],
        candidates: Sequence[str],
        before: int | None = None,
        exclude_user: str | None = None,
    ) -> Float[np.ndarray, " candidates"]:
        """Return each candidate's summed, normalised co-occurrence with the history; 0 for unknown candidates."""
        every = np.append(self.score_all(history, before, exclude_user), 0.0)  # the last place: unknown
        return every[[self._item_codes.get(item, -1) for item in candidates]]

    def score_all(
        self, history: Sequence[str], before: int | None = None, exclude_user: str | None = None
    ) -> Float[np.ndarray, " items"]:
        r"""Return $\sum_{a \in H} n(a, c) / \sqrt{n(a)\, n(c)}$ for every item c, in the order of ``items``.

        H is the last ``window`` items of the history: what comes next is outside the window of older ones. A
        history has no times, so that a session that has ended meanwhile still speaks.
        """
        counts = np.maximum(self.counts(before=before, exclude_user=exclude_user), 1)
        total = np.zeros(len(self.items))
        recent = history if self.window is None else history[-self.window :]
        for item in sorted(set(recent)):
            code = self._item_codes.get(item)
            if code is None:
                continue
            joined = np.bincount(self._items_after(code, before, exclude_user), minlength=len(self.items))
            there = np.flatnonzero(joined)
            total[there] += joined[there] / np.sqrt(counts[code] * counts[there])
        return total

    def counts(self, *, before: int | None, exclude_user: str | None) -> Int[np.ndarray, " items"]:
        """Users who took each item, in the order of ``items``."""
        counts: np.ndarray = self._counts(before).copy()
        user = self._user_codes.get(exclude_user) if exclude_user is not None else None
        if user is not None:
            own = slice(self._user_starts[user], self._user_starts[user + 1])
            earlier = self.known.time[own] < before if before is not None else slice(None)
            np.subtract.at(counts, self.known.item[own][earlier], 1)
        return counts

    def _items_after(self, code: int, before: int | None, exclude_user: str | None) -> Int[np.ndarray, " events"]:
        """Return the items of the events that begin with an item, those that count."""
        rows = self._by_item[self._starts[code] : self._starts[code + 1]].astype(np.int64)
        if before is not None:  # what follows is no earlier
            rows = rows[self.known.time[rows] < before]
        if exclude_user is not None:
            rows = rows[self.known.user[rows] != self._user_codes.get(exclude_user, -1)]
        late, _ = self.following(rows)
        if before is not None:
            late = late[self.known.time[late] < before]
        items: np.ndarray = self.known.item[late]
        return items

    def rows_of(self, codes: Int[np.ndarray, " codes"]) -> tuple[np.ndarray, Int[np.ndarray, " codes"]]:
        """Return the rows in which items were taken, those of the first code first, and how often each was."""
        first, counts = self._starts[codes], self._starts[codes + 1] - self._starts[codes]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - first, counts)
        return self._by_item[place].astype(np.int64), counts

    def users_of(self, users: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the code of each user, -1 of one who is not there, its first row, and the row behind its last."""
        codes = np.array([self._user_codes.get(user, -1) for user in users], dtype=np.int64)
        first, last = (np.where(codes < 0, 0, self._user_starts[codes + shift]) for shift in (0, 1))
        return codes, first, last

    def user_counts(self, before: int | None) -> Int[np.ndarray, " items"]:
        """Return the users who took each item before a time; not to be written to."""
        return self._counts(before)

    def following(self, rows: Int[np.ndarray, " rows"]) -> tuple[np.ndarray, Int[np.ndarray, " rows"]]:
        """Return the rows that follow in the window, and how many follow each."""
        late, counts = following(rows, self._ends, self.window)
        if self._whole or self.window is None:
            return late, counts
        near = self._position[late] - self._position[np.repeat(rows, counts)] <= self.window
        owner = np.repeat(np.arange(len(rows)), counts)[near]
        return late[near], np.bincount(owner, minlength=len(rows))
