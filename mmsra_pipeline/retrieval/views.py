"""What the first stage says of queries: by one view, by all, of some places or of the whole catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from mmsra_pipeline.retrieval.first_places import Seen
from mmsra_pipeline.retrieval.orders import fuse


@dataclass(frozen=True)
class Views:
    """How each view orders the catalogue for one query, as places in ``FirstStage.items``, the best first.

    What the user had taken is in none. ``encoder`` and ``cooccurrence`` have the items that they know something of,
    ``popular`` has all, by users as of the query, and ``cold`` cold items by how their keywords fit the history.
    """

    user: str
    position: int
    encoder: Int[np.ndarray, " known"]
    cooccurrence: Int[np.ndarray, " joined"]
    popular: Int[np.ndarray, " items"]
    cold: Int[np.ndarray, " cold"]


@dataclass(frozen=True)
class Best:
    """The first places of some queries, as places in ``FirstStage.items``; -1 behind the last."""

    queries: pd.DataFrame
    encoder: Int[np.ndarray, "queries count"]
    cooccurrence: Int[np.ndarray, "queries count"]
    fused: Int[np.ndarray, "queries count"]
    """Encoder and co-occurrence, what neither knows by popularity."""
    first_stage: Int[np.ndarray, "queries count"]
    """With the places of cold items."""
    seen: Seen
    """What the users had taken."""


@dataclass(frozen=True)
class Ranks:
    """How the first stage ranks the catalogue for one query."""

    user: str
    position: int
    items: Sequence[str]
    """The catalogue."""
    places: Mapping[str, int]
    """Of each item in it."""
    order: Int[np.ndarray, " items"]
    rank: Int[np.ndarray, " catalogue"]
    """From 1; 0: not recommended."""

    def of(self, item: str) -> int | None:
        """Return the rank of an item, from 1; None where it is not recommended."""
        place = self.places.get(item)
        return int(self.rank[place]) or None if place is not None else None

    def best(self, count: int) -> list[str]:
        """Return the first items."""
        return [self.items[place] for place in self.order[:count].tolist()]


def fused(views: Views) -> Int[np.ndarray, " items"]:
    """Order the catalogue by encoder and co-occurrence, what neither knows by popularity."""
    return fuse([views.encoder, views.cooccurrence], views.popular)
