"""Classes of signals: where a value stands among those of the whole catalogue."""

from typing import Final

import numpy as np
from jaxtyping import Float, Int

BOUNDS: Final = (0.005, 0.015, 0.04, 0.08, 0.16, 0.3, 0.5, 0.75)
"""Shares of the catalogue that rank higher: below the first a signal is of class 9, from the last on of class 1."""
NOTHING = 0  # the class of what nothing is known of


class Ordered:
    """The values of a catalogue, in order."""

    def __init__(self, catalogue: Float[np.ndarray, " catalogue"]) -> None:
        """``catalogue``: nan where nothing is known."""
        self._catalogue = catalogue
        self._known = np.sort(catalogue[~np.isnan(catalogue)])

    def classes_of(self, values: Float[np.ndarray, " items"]) -> Int[np.ndarray, " items"]:
        """Return the classes of any values, see ``classes_of``."""
        left = np.searchsorted(self._known, values, side="left")
        right = np.searchsorted(self._known, values, side="right")
        # An item of the catalogue is not equal to itself: what ranks first has a share of 0.
        return np.where(np.isnan(values), NOTHING, self._of_places(np.maximum(left, right), right - left - 1))

    def classes(self) -> Int[np.ndarray, " catalogue"]:
        """Return the classes of the catalogue's own values: as ``classes_of`` says, by comparing with their limits."""
        first = np.flatnonzero(np.append(True, self._known[1:] != self._known[:-1]))[: len(self._known)]
        ends = np.append(first[1:], len(self._known))[: len(first)]
        found = self._of_places(ends, ends - first - 1)  # of each distinct value; they do not fall
        rises = np.flatnonzero(np.diff(found)) + 1
        at = np.zeros(len(self._catalogue), dtype=np.int64)
        for limit in self._known[first[rises]]:
            at += self._catalogue >= limit
        own = np.append(found[:1], found[rises]) if len(found) else np.array([NOTHING])
        return np.where(np.isnan(self._catalogue), NOTHING, own[at])

    def _of_places(self, ends: np.ndarray, equal: np.ndarray) -> Int[np.ndarray, " values"]:
        """Return the class of values that end at a place among the known ones and have so many others beside them."""
        share = (len(self._known) - ends + np.maximum(equal, 0) / 2) / max(len(self._catalogue), 1)
        classes: np.ndarray = len(BOUNDS) + 1 - np.searchsorted(BOUNDS, share, side="right")
        return classes.astype(np.int64)


def classes_of(
    values: Float[np.ndarray, " items"], catalogue: Float[np.ndarray, " catalogue"]
) -> Int[np.ndarray, " items"]:
    """Return the classes 1 to 9 by the share of the catalogue that ranks higher, equal values counting half; 0 for nan.

    The catalogue counts whole, so a class means the same whatever is known of how many items.

    >>> classes_of(np.array([9.0, 5.0, 0.0, np.nan]), np.arange(10.0)).tolist()
    [9, 3, 1, 0]
    """
    return Ordered(catalogue).classes_of(values)
