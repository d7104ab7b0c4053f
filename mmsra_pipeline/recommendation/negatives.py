"""Negatives: items that a user never took."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import HISTORY, TARGET, USER

TRIES = 50  # random draws before all remaining items are listed; only users who took nearly everything get there


def taken_items(sequences: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Give what each user took, in any split: a held-out target is no negative either."""
    taken: dict[str, set[str]] = {}
    for user, history, target in zip(sequences[USER], sequences[HISTORY], sequences[TARGET]):
        own = taken.setdefault(str(user), set())
        own.update(history)
        if isinstance(target, str):
            own.add(target)
    return {user: frozenset(items) for user, items in taken.items()}


class NegativeSampler:
    """Draws items that a user never took, by popularity or uniformly."""

    def __init__(
        self,
        counts: Mapping[str, int],
        taken: Mapping[str, frozenset[str]],
        *,
        popularity_share: float,
        rng: np.random.Generator,
    ) -> None:
        """Take the items to draw from, with how many users took each.

        Items that nobody took yet are not among them: as negatives alone, they would teach that the new is never
        taken.
        """
        self._catalogue = sorted(counts)
        self._cumulative = np.array([counts[item] for item in self._catalogue], dtype=float).cumsum()
        self._taken = taken
        self._popularity_share = popularity_share
        self._rng = rng

    def draw(self, user: str, number: int) -> list[str]:
        """Give ``number`` different items; fewer if the user took nearly all there are."""
        refused = set(self._taken.get(user, frozenset()))
        drawn: list[str] = []
        for _ in range(number):
            item = self._one(refused)
            if item is None:
                break
            refused.add(item)
            drawn.append(item)
        return drawn

    def _one(self, refused: set[str]) -> str | None:
        by_popularity = self._rng.random() < self._popularity_share
        for _ in range(TRIES):
            item = self._catalogue[self._place(by_popularity)]
            if item not in refused:
                return item
        left = [item for item in self._catalogue if item not in refused]
        return left[int(self._rng.integers(len(left)))] if left else None

    def _place(self, by_popularity: bool) -> int:
        if not by_popularity:
            return int(self._rng.integers(len(self._catalogue)))
        point = self._rng.random() * self._cumulative[-1]
        return int(np.searchsorted(self._cumulative, point, side="right"))
