r"""Ranking metrics of lists with one positive each, under ties by expected rank.

A positive with $g$ higher and $e$ equal negatives has each of the ranks $g+1 \dots g+e+1$ with the same probability;
every metric is its expectation over them. So a scorer that says the same of all candidates earns what a random one
earns, and the order of the candidates in a table means nothing.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class Placed:
    """For each list: how many negatives score higher than its positive, how many the same, and how many there are."""

    higher: Int[np.ndarray, " lists"]
    equal: Int[np.ndarray, " lists"]
    negatives: Int[np.ndarray, " lists"]


def placed(
    lists: Int[np.ndarray, " rows"], is_target: Bool[np.ndarray, " rows"], scores: Float[np.ndarray, " rows"]
) -> Placed:
    """Place the positives of lists that are numbered from 0 in ``lists``.

    Raises:
        ValueError: if a list has not exactly one positive, or has no negative.
    """
    count = int(lists.max()) + 1 if len(lists) else 0
    positives = np.bincount(lists[is_target], minlength=count)
    negatives = np.bincount(lists[~is_target], minlength=count)
    if (positives != 1).any() or (negatives < 1).any():
        wrong = int(np.flatnonzero((positives != 1) | (negatives < 1))[0])
        raise ValueError(
            f"list {wrong} has {positives[wrong]} positives and {negatives[wrong]} negatives; "
            "each needs exactly one positive and at least one negative"
        )
    reached = np.empty(count)
    reached[lists[is_target]] = scores[is_target]
    others = lists[~is_target]
    higher = np.bincount(others[scores[~is_target] > reached[others]], minlength=count)
    equal = np.bincount(others[scores[~is_target] == reached[others]], minlength=count)
    return Placed(higher, equal, negatives)


def hr(at: Placed, k: int) -> Float[np.ndarray, " lists"]:
    """HR@k: the probability that the positive is among the first k.

    >>> hr(Placed(np.array([0]), np.array([20]), np.array([20])), 5) * 21
    array([5.])
    """
    return _expected(at, np.ones(k))


def ndcg(at: Placed, k: int) -> Float[np.ndarray, " lists"]:
    r"""NDCG@k: $1 / \log_2(r + 1)$ if rank $r \le k$, else 0. With one positive the ideal DCG is 1.

    >>> ndcg(Placed(np.array([2]), np.array([0]), np.array([20])), 5)
    array([0.5])
    """
    return _expected(at, 1 / np.log2(np.arange(1, k + 1) + 1))


def mrr(at: Placed, k: int) -> Float[np.ndarray, " lists"]:
    """MRR@k: 1 / r if rank r ≤ k, else 0.

    >>> mrr(Placed(np.array([1]), np.array([0]), np.array([20])), 5)
    array([0.5])
    """
    return _expected(at, 1 / np.arange(1, k + 1))


def auc_user(at: Placed) -> Float[np.ndarray, " lists"]:
    """AUC within each list: the share of its negatives that score lower, ties count half.

    >>> auc_user(Placed(np.array([5]), np.array([2]), np.array([20])))
    array([0.7])
    """
    auc: np.ndarray = 1 - (at.higher + 0.5 * at.equal) / at.negatives
    return auc


class PooledAuc:
    """AUC over all lists at once: the probability that any positive scores higher than any negative, ties half.

    It is not the mean of ``auc_user``: it also asks that scores of different users are comparable. Sorted once, it can
    be had for any weights of the lists in linear time, which makes the bootstrap cheap.
    """

    def __init__(
        self,
        lists: Int[np.ndarray, " rows"],
        is_target: Bool[np.ndarray, " rows"],
        scores: Float[np.ndarray, " rows"],
    ) -> None:
        negatives = scores[~is_target]
        order = np.argsort(negatives, kind="stable")
        positives = scores[is_target]
        self._owner = lists[~is_target][order]
        self._lists = lists[is_target]
        self._lower = np.searchsorted(negatives[order], positives, side="left")
        self._not_higher = np.searchsorted(negatives[order], positives, side="right")

    def value(self, weights: Float[np.ndarray, "samples lists"]) -> Float[np.ndarray, " samples"]:
        """Give the AUC where list i counts ``weights[:, i]`` times."""
        below = np.zeros((len(weights), len(self._owner) + 1))
        np.cumsum(weights[:, self._owner], axis=1, out=below[:, 1:])
        won = (below[:, self._lower] + below[:, self._not_higher]) / 2
        own = weights[:, self._lists]
        auc: np.ndarray = (won * own).sum(axis=1) / (own.sum(axis=1) * below[:, -1])
        return auc


def _expected(at: Placed, gains: Float[np.ndarray, " k"]) -> Float[np.ndarray, " lists"]:
    """Mean gain over the ranks that the positive may have; ``gains[r - 1]`` is earned at rank r, 0 beyond."""
    total = np.concatenate([[0.0], np.cumsum(gains)])
    first = np.minimum(at.higher, len(gains))
    last = np.minimum(at.higher + at.equal + 1, len(gains))
    expected: np.ndarray = (total[last] - total[first]) / (at.equal + 1)
    return expected
