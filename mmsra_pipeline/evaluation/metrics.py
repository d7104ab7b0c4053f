r"""Ranking metrics of lists with one positive each, under ties by expected rank.

A positive with $g$ higher and $e$ equal negatives has each of the ranks $g+1 \dots g+e+1$ with the same probability;
every metric is its expectation over them. So a scorer that says the same of all candidates earns what a random one
earns, and the order of the candidates in a table means nothing.
"""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

SQUARE_LISTS = 3000  # up to which a matrix of lists by lists is held, 72 MB


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

    It is not the mean of ``auc_user``: it also asks that scores of different users are comparable. It can be had for
    any weights of the lists, which makes the bootstrap cheap: of up to ``SQUARE_LISTS`` lists by a product with the
    matrix of how many negatives of list j the positive of list i beats; of more lists, where that matrix were too
    large, in linear time over the sorted negatives. Both are exact.
    """

    def __init__(
        self,
        lists: Int[np.ndarray, " rows"],
        is_target: Bool[np.ndarray, " rows"],
        scores: Float[np.ndarray, " rows"],
    ) -> None:
        order = np.argsort(scores[~is_target], kind="stable")
        self._negatives = scores[~is_target][order]
        self._owner = lists[~is_target][order]
        count = int(is_target.sum())
        self._positives = np.empty(count)
        self._positives[lists[is_target]] = scores[is_target]
        self._sizes = np.bincount(self._owner, minlength=count).astype(np.float64)

    def value(self, weights: Float[np.ndarray, "samples lists"]) -> Float[np.ndarray, " samples"]:
        """Return the AUC where list i counts ``weights[:, i]`` times."""
        if len(self._positives) <= SQUARE_LISTS:
            won = ((weights @ self._beaten) * weights).sum(axis=1)
        else:
            won = (self._below(weights) * weights).sum(axis=1)
        auc: np.ndarray = won / (weights.sum(axis=1) * (weights @ self._sizes))
        return auc

    @functools.cached_property
    def _beaten(self) -> Float[np.ndarray, "lists lists"]:
        """How many negatives of list j the positive of list i beats, ties half, at place [j, i]."""
        count = len(self._positives)
        order = np.lexsort((self._negatives, self._owner))
        negatives, starts = self._negatives[order], np.searchsorted(self._owner[order], np.arange(count + 1))
        beaten = np.empty((count, count))
        for number in range(count):
            own = negatives[starts[number] : starts[number + 1]]
            lower = np.searchsorted(own, self._positives, side="left")
            beaten[number] = (lower + np.searchsorted(own, self._positives, side="right")) / 2
        return beaten

    def _below(self, weights: np.ndarray) -> Float[np.ndarray, "samples lists"]:
        """How many negatives each positive beats, ties half, in linear time."""
        below = np.zeros((len(weights), len(self._owner) + 1))
        np.cumsum(weights[:, self._owner], axis=1, out=below[:, 1:])
        lower = np.searchsorted(self._negatives, self._positives, side="left")
        not_higher = np.searchsorted(self._negatives, self._positives, side="right")
        won: np.ndarray = (below[:, lower] + below[:, not_higher]) / 2
        return won


def _expected(at: Placed, gains: Float[np.ndarray, " k"]) -> Float[np.ndarray, " lists"]:
    """Mean gain over the ranks that the positive may have; ``gains[r - 1]`` is earned at rank r, 0 beyond."""
    total = np.concatenate([[0.0], np.cumsum(gains)])
    first = np.minimum(at.higher, len(gains))
    last = np.minimum(at.higher + at.equal + 1, len(gains))
    expected: np.ndarray = (total[last] - total[first]) / (at.equal + 1)
    return expected
