"""Items that users take soon after each other: the neighbor table, for people and for later use."""

import itertools
from typing import Final

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import ITEM, NEIGHBOR, RANK, SCORE
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex

USERS = "users"
EVENTS_TOGETHER: Final = 4_000_000  # that are held at once, and those of one item more


def neighbors(index: CooccurrenceIndex, per_item: int) -> pd.DataFrame:
    r"""Return the items that users most often take soon after each item, best first.

    $$\text{score}(a, b) = \frac{n_{ab}}{\sqrt{n_a n_b}}$$

    $n_{ab}$ is the number of users who took b soon after a, $n_a$ that of all who took a: the cosine by which evidence,
    first stage and baseline score too (``CooccurrenceIndex.score_all``), over all of training.

    Args:
        index: of the window that is meant.
        per_item: rows an item, at most.

    Returns:
        ``item_id``, ``neighbor_id``, ``rank`` from 1, ``score`` above 0, and ``users``, n_ab; by item and rank. Equal
        scores are ordered by users, then by id.
    """
    user_counts = index.counts(before=None, exclude_user=None)
    ends = np.cumsum(index.event_counts())
    cuts = np.searchsorted(ends, np.arange(0, ends[-1] if len(ends) else 0, EVENTS_TOGETHER), side="right")
    limits = np.unique([0, *cuts.tolist(), len(index.items)])
    blocks = list(itertools.pairwise(limits.tolist())) or [(0, 0)]
    parts = [_of_items(index, user_counts, low, high, per_item) for low, high in blocks]
    first, second, rank, score, users = (np.concatenate(column) for column in zip(*parts, strict=True))
    names = np.array(index.items, dtype=object)
    table = pd.DataFrame({ITEM: names[first], NEIGHBOR: names[second], RANK: rank, SCORE: score, USERS: users})
    return table.astype({ITEM: "str", NEIGHBOR: "str", RANK: "int64", SCORE: "float64", USERS: "int64"})


def _of_items(
    index: CooccurrenceIndex, user_counts: np.ndarray, low: int, high: int, per_item: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return first, second, rank, score and users of the items of codes ``low`` to ``high`` - 1."""
    events = index.events(low, high)
    change = np.ones((2, len(events.first)), dtype=bool)  # where a pair begins, where a user of a pair does
    same = (np.diff(events.first) == 0) & (np.diff(events.second) == 0)
    change[0, 1:] = ~same
    change[1, 1:] = ~same | (np.diff(events.user) != 0)
    starts = np.flatnonzero(change[0])
    users = np.add.reduceat(change[1], starts, dtype=np.int64) if len(starts) else np.empty(0, dtype=np.int64)
    first, second = events.first[starts], events.second[starts]
    score = users / np.sqrt(user_counts[first].astype(np.float64) * user_counts[second])
    order = np.lexsort((second, -users, -score, first))
    first, second, score, users = first[order], second[order], score[order], users[order]
    rank = np.arange(len(first)) - np.searchsorted(first, first) + 1
    kept = rank <= per_item
    return first[kept], second[kept], rank[kept], score[kept], users[kept]
