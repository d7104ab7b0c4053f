"""Orders of the catalogue: by one score, by several rankings, with places for cold items."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

RECIPROCAL_OFFSET = 60  # of reciprocal rank fusion (Cormack et al., SIGIR 2009)
ALIKE = 1e-6  # scores that differ by less than this share of the largest are rounding


def fuse(rankings: Sequence[Int[np.ndarray, " ranked"]], order: Int[np.ndarray, " items"]) -> Int[np.ndarray, " items"]:
    """Order places by the sum of reciprocal ranks over several rankings, equal ones as they stand in ``order``.

    >>> fuse([np.array([0, 1, 2]), np.array([2, 0])], np.arange(5)).tolist()
    [0, 2, 1, 3, 4]
    """
    total = np.zeros(order.max(initial=-1) + 1)
    for places in rankings:
        total[places] += 1.0 / (RECIPROCAL_OFFSET + np.arange(1, len(places) + 1))
    best: np.ndarray = order[np.argsort(-total[order], kind="stable")]
    return best


def ranking(score: Float[np.ndarray, " items"], order: Int[np.ndarray, " left"]) -> Int[np.ndarray, " ranked"]:
    """Return the places of ``order`` that a score ranks (-inf: not), the highest first, equal ones as they stand there.

    >>> ranking(np.array([3.0, 9.0, -np.inf, 3.0]), np.array([3, 2, 0])).tolist()
    [3, 0]
    """
    known = order[~np.isneginf(score[order])]
    places: np.ndarray = known[np.argsort(-score[known], kind="stable")]
    return places


def with_cold(
    order: Int[np.ndarray, " places"], cold: Int[np.ndarray, " cold"], share: float, count: int
) -> Int[np.ndarray, " best"]:
    """Return the first ``count`` of ``order`` with cold items at a share of the places, evenly: a prefix has its share.

    >>> with_cold(np.array([1, 2, 3, 4, 9, 8]), np.array([8, 9]), share=0.4, count=5).tolist()
    [1, 2, 8, 3, 9]
    """
    number = np.arange(len(cold) if share else 0)
    ranks = np.ceil((number + 1) / share - ALIKE).astype(np.int64) if len(number) else number  # from 1
    start = order[:count]
    # A rank behind all that there is means: at the end.
    joined = np.insert(start, np.minimum(ranks - 1 - number, len(start)), cold[: len(number)])
    _, first = np.unique(joined, return_index=True)
    best: np.ndarray = joined[np.sort(first)][:count]
    return best
