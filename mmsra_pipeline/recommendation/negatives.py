"""Negatives: items that a user never took."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, TARGET, USER
from mmsra_pipeline.config.tree import NegativeShares

POPULARITY, FIRST_STAGE = 1, 2  # kinds of draws; 0 is uniform
TRIES = 50  # random draws before all remaining items are listed; only users who took nearly everything get there


def interacted_items(sequences: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Return what each user took, in any split: a held-out target is no negative either."""
    interacted: dict[str, set[str]] = {}
    for user, history, target in zip(sequences[USER], sequences[HISTORY], sequences[TARGET]):
        own = interacted.setdefault(str(user), set())
        own.update(history)
        if isinstance(target, str):
            own.add(target)
    return {user: frozenset(items) for user, items in interacted.items()}


def by_query(candidates: pd.DataFrame) -> dict[tuple[str, int], list[str]]:
    """Return the items of each user and position, in the order of the rows."""
    near: dict[tuple[str, int], list[str]] = {}
    for user, at, item in zip(candidates[USER], candidates[POSITION], candidates[ITEM]):
        near.setdefault((str(user), int(at)), []).append(str(item))
    return near


def share_of_new(users_of: Mapping[str, int], targets: pd.Series, *, own: int) -> float:
    """Return the share of positives that no other user took in training; ``own``: the user's own events among them."""
    alone = [users_of.get(str(item), 0) <= own for item in targets]
    return float(np.mean(alone)) if alone else 0.0


class NegativeSampler:
    """Draws items that a user never took: uniformly, by popularity, or among the best of the first stage."""

    def __init__(
        self,
        counts: Mapping[str, int],
        interacted: Mapping[str, frozenset[str]],
        shares: NegativeShares,
        *,
        vectors: Mapping[str, Float[np.ndarray, " dim"]] | None = None,
        rng: np.random.Generator,
        unseen: Sequence[str] | None = None,
    ) -> None:
        """Take the items to draw from, with how many users took each.

        Items that nobody took yet are not among them, nor are they drawn from the first stage: as negatives alone, they
        would teach that the new is never taken. A draw gives as many of them as there are among the positives.

        Args:
            counts: users of each item, at least 1.
            interacted: what each user took at any time. What is there and not in ``counts`` training never saw.
            shares: where negatives come from.
            vectors: of length 1; they tell near-duplicates of a positive. Without them none is known.
            rng: draws.
            unseen: what was taken and is not in ``counts``; None: what ``interacted`` has of it.
        """
        self._new = sorted((frozenset().union(*interacted.values()) if unseen is None else set(unseen)) - set(counts))
        self._counts = counts
        self._catalogue = sorted(counts)
        self._cumulative = np.array([counts[item] for item in self._catalogue], dtype=float).cumsum()
        self._interacted = interacted
        self._vectors = vectors or {}
        self._alike = shares.near_duplicate
        weights = np.array([shares.uniform, shares.popularity, shares.first_stage])
        self._kinds = (weights / weights.sum()).cumsum()
        self._rng = rng

    def draw(
        self,
        user: str,
        number: int,
        *,
        target: str | None = None,
        first_stage: Sequence[str] = (),
        new_share: float = 0.0,
    ) -> list[str]:
        """Return ``number`` different items; fewer if the user took nearly all there are.

        Args:
            user: whose items are left out.
            number: how many.
            target: the positive, of which no near-duplicate is drawn.
            first_stage: the items that a draw from the first stage may give. They are drawn at random, not by rank: the
                hardest are often what the user takes later. If none is left, the draw is uniform.
            new_share: of draws that give an item that training never saw, in [0, 1]. Where it is the share of positives
                that nobody else took, being new says nothing for or against an item.
        """
        refused = set(self._interacted.get(user, frozenset()))
        drawn: list[str] = []
        for _ in range(number):
            item = self._one(refused, target, first_stage, new_share)
            if item is None:
                break
            refused.add(item)
            drawn.append(item)
        return drawn

    def _one(self, refused: set[str], target: str | None, first_stage: Sequence[str], new_share: float) -> str | None:
        if new_share and self._new and self._rng.random() < new_share:
            item = self._new[int(self._rng.integers(len(self._new)))]
            if self._may(item, refused, target):
                return item
        kind = int(np.searchsorted(self._kinds, self._rng.random(), side="right"))
        if kind >= FIRST_STAGE:
            near = [item for item in first_stage if item in self._counts and self._may(item, refused, target)]
            if near:
                return near[int(self._rng.integers(len(near)))]
        for _ in range(TRIES):
            item = self._catalogue[self._place(kind == POPULARITY)]
            if self._may(item, refused, target):
                return item
        left = [item for item in self._catalogue if self._may(item, refused, target)]
        return left[int(self._rng.integers(len(left)))] if left else None

    def _may(self, item: str, refused: set[str], target: str | None) -> bool:
        if item in refused:
            return False
        if target is None or item not in self._vectors or target not in self._vectors:
            return True
        return float(self._vectors[item] @ self._vectors[target]) < self._alike

    def _place(self, by_popularity: bool) -> int:
        if not by_popularity:
            return int(self._rng.integers(len(self._catalogue)))
        point = self._rng.random() * self._cumulative[-1]
        return int(np.searchsorted(self._cumulative, point, side="right"))
