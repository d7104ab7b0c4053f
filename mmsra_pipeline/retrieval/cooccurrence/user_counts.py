"""How many users had taken each item by any time."""

import functools
from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Int

from mmsra_pipeline.retrieval.cooccurrence.events import Interactions

MARK: Final = 262_144  # interactions between two stored counts of all items
KEPT: Final = 32  # times whose counts are kept: a query asks for many candidates at one time

Counts = Callable[[int | None], Int[np.ndarray, " items"]]


def counts_by_time(known: Interactions) -> Counts:
    """Return what gives, of a time or of all (None), the users who took each item earlier; not to be written to."""
    return functools.lru_cache(maxsize=KEPT)(_UserCounts(known).before)


class _UserCounts:
    """Counts all items at every ``MARK``-th interaction in order of time, so that none need begin at the first.

    It is an object of its own, not a part of the index that asks it: a cache of the index's own methods would be a
    cycle, and at a million users a gigabyte would wait for the garbage collector each time.
    """

    def __init__(self, known: Interactions) -> None:
        order = np.argsort(known.time, kind="stable")
        self._items, self._times = known.item[order], known.time[order]
        self._count, self._step = len(known.items), MARK
        parts = [part for part in np.split(self._items, range(MARK, len(order), MARK)) if len(part) == MARK]
        counted = [np.bincount(part, minlength=self._count) for part in parts]
        self._marks = np.cumsum(counted, axis=0, dtype=np.int32)

    def before(self, time: int | None) -> Int[np.ndarray, " items"]:
        end = len(self._times) if time is None else int(np.searchsorted(self._times, time))
        mark = end // self._step
        counts: np.ndarray = np.bincount(self._items[mark * self._step : end], minlength=self._count)
        return counts + self._marks[mark - 1] if mark else counts
