"""Who took an item soon after the items of a history, as of any time: an index of pairs, for evidence and scores."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from safetensors.numpy import load_file, save_file

from mmsra_pipeline.retrieval.cooccurrence.events import Events, Interactions, find_events, known_interactions

WINDOW: Final = 20  # of evidence
ARRAYS: Final = "events.safetensors"
NAMES: Final = "names.json"


class CooccurrenceIndex:
    """Answers, as of any time, who took a candidate soon after a history's items.

    Holds one event per user and ordered pair: item a, then item b at most ``window`` interactions later, in the same
    session where there are sessions, at the time of b. An event is one user, however old, and scores are cosines. Asked
    ``before`` a time, only events (and, for popularity, interactions) earlier than it count; without a time all do.
    Events of ``exclude_user`` never count, so a training positive cannot speak for itself.
    """

    def __init__(self, known: "Interactions", events: "Events", window: int | None) -> None:
        """See ``of_training`` and ``load``. ``window``: no event spans more; None: there is no bound."""
        self.known, self.events, self.window = known, events, window
        self.items = known.items
        self._item_codes = {value: code for code, value in enumerate(known.items)}
        self._user_codes = {value: code for code, value in enumerate(known.users)}
        self._user_starts = np.searchsorted(known.user, np.arange(len(known.users) + 1))
        by_time = np.argsort(known.time, kind="stable")
        self._timeline_items, self._timeline = known.item[by_time], known.time[by_time]
        self._starts = np.searchsorted(events.first, np.arange(len(self.items) + 1))
        # A query asks for many candidates at one time: count once.
        self._counts = functools.lru_cache(maxsize=32)(self._count_before)

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
        return cls(known, find_events(known, position, window, session_hours), window)

    def within(self, window: int | None) -> Self:
        """Return the index of the same interactions with a narrower window; one that is as wide is itself.

        Raises:
            ValueError: if events of that window were not counted.
        """
        if window == self.window:
            return self
        if self.window is not None and (window is None or window > self.window):
            raise ValueError(f"events span at most {self.window} interactions, so none of {window} can be asked for")
        near = self.events.gap <= window
        return type(self)(self.known, Events(*(column[near] for column in self.events)), window)

    def in_catalogue(self, items: list[str]) -> Self:
        """Return the same index in a catalogue that holds more items, which nobody took; both are in order."""
        place = {item: code for code, item in enumerate(items)}
        codes = np.array([place[item] for item in self.items], dtype=np.int32)
        known = self.known._replace(items=items, item=codes[self.known.item])
        events = self.events._replace(first=codes[self.events.first], second=codes[self.events.second])
        return type(self)(known, events, self.window)

    def save(self, folder: Path) -> None:
        """Write the index; ``load`` reads it back. The same index gives the same bytes."""
        arrays = {f"known_{name}": getattr(self.known, name) for name in ("user", "item", "time")}
        arrays |= {f"event_{name}": column for name, column in self.events._asdict().items()}
        save_file({name: np.ascontiguousarray(column) for name, column in arrays.items()}, folder / ARRAYS)
        names = {"window": self.window, "items": self.known.items, "users": self.known.users}
        (folder / NAMES).write_text(json.dumps(names))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        arrays, names = load_file(folder / ARRAYS), json.loads((folder / NAMES).read_text())
        known = Interactions(
            names["items"], names["users"], *(arrays[f"known_{name}"] for name in ("user", "item", "time"))
        )
        events = Events(*(arrays[f"event_{name}"] for name in Events._fields))
        return cls(known, events, names["window"])

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
            events = slice(self._starts[code], self._starts[code + 1])
            allowed = self._allowed(events, before, exclude_user)
            joined = np.bincount(self.events.second[events][allowed], minlength=len(self.items))
            total += joined / np.sqrt(counts[code] * counts)
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

    def _allowed(self, events: slice, before: int | None, exclude_user: str | None) -> np.ndarray:
        allowed: np.ndarray = np.ones(events.stop - events.start, dtype=bool)
        if before is not None:
            allowed &= self.events.time[events] < before
        if exclude_user is not None:
            allowed &= self.events.user[events] != self._user_codes.get(exclude_user, -1)
        return allowed

    def _count_before(self, before: int | None) -> np.ndarray:
        end = len(self._timeline) if before is None else int(np.searchsorted(self._timeline, before))
        return np.bincount(self._timeline_items[:end], minlength=len(self.items))
