"""The conditional logit of lists of which one candidate each was taken, fitted by Newton's method."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

ITERATIONS = 100
SETTLED = 1e-10  # of the loss: what a step may still gain when it is the last
ARMIJO = 1e-4
HALVINGS = 40

Evaluated = tuple[float, np.ndarray, np.ndarray]
"""Loss, gradient and Hessian."""


class ListwiseLogit:
    r"""Lists with one target each, to which coefficients are fitted again and again with other weights of the lists.

    Minimises $-\sum_l v_l \log \mathrm{softmax}(X_l w)_{\mathrm{target}(l)} + \frac{\lambda}{2} |w|^2$ (McFadden 1974).
    It is convex, and there are few features: Newton's method takes a handful of steps, and a warm start two.
    """

    def __init__(
        self,
        features: Float[np.ndarray, "rows features"],
        lists: Int[np.ndarray, " rows"],
        is_target: Bool[np.ndarray, " rows"],
    ) -> None:
        """Take rows in any order; lists are numbered from 0 without a gap.

        Raises:
            ValueError: if a list has not exactly one target, or if a feature is no finite number.
        """
        count = int(lists.max()) + 1 if len(lists) else 0
        targets = np.bincount(lists[is_target], minlength=count)
        if (targets != 1).any():
            wrong = int(np.flatnonzero(targets != 1)[0])
            raise ValueError(f"list {wrong} has {targets[wrong]} targets; each list fitted to needs exactly one")
        if not np.isfinite(features).all():
            raise ValueError("a feature is no finite number")
        order = np.argsort(lists, kind="stable")
        self._features, self._lists = np.asarray(features, dtype=np.float64)[order], lists[order]
        self._starts = np.searchsorted(self._lists, np.arange(count))
        self._targets = np.flatnonzero(is_target[order])

    def fit(
        self,
        regularization: float,
        weights: Float[np.ndarray, " lists"] | None = None,
        start: Float[np.ndarray, " features"] | None = None,
    ) -> Float[np.ndarray, " features"]:
        """Return the coefficients.

        Args:
            regularization: weight of half the squared coefficients, in lists; above 0.
            weights: how often each list counts; without them once.
            start: coefficients to begin at, such as those of nearly the same weights.
        """
        counted = np.ones(len(self._starts)) if weights is None else weights
        begin = np.zeros(self._features.shape[1]) if start is None else start
        if not len(self._starts) or not len(begin):
            return np.zeros(self._features.shape[1])
        return minimum(lambda found: self._evaluated(found, counted, regularization), begin)

    def _evaluated(self, found: np.ndarray, weights: np.ndarray, regularization: float) -> Evaluated:
        scores = self._features @ found
        highest = np.maximum.reduceat(scores, self._starts)
        raised = np.exp(scores - highest[self._lists])
        total = np.add.reduceat(raised, self._starts)
        share = raised / total[self._lists]
        log_share = scores[self._targets] - highest - np.log(total)
        loss = -float(weights @ log_share) + regularization / 2 * float(found @ found)
        weighted = self._features * share[:, None]
        means = np.add.reduceat(weighted, self._starts, axis=0)
        gradient = weights @ (means - self._features[self._targets]) + regularization * found
        hessian = (weighted * weights[self._lists, None]).T @ self._features - (means * weights[:, None]).T @ means
        return loss, gradient, hessian + regularization * np.eye(len(found))


def minimum(evaluate: Callable[[np.ndarray], Evaluated], start: np.ndarray) -> np.ndarray:
    """Find the minimum of a strictly convex function by Newton's method with halved steps."""
    found = np.array(start, dtype=np.float64)
    loss, gradient, hessian = evaluate(found)
    for _ in range(ITERATIONS):
        step = np.linalg.solve(hessian, gradient)
        gain = float(gradient @ step)
        scale = 1.0
        for _ in range(HALVINGS):
            tried = evaluate(found - scale * step)
            if tried[0] <= loss - ARMIJO * scale * gain:
                break
            scale /= 2
        else:  # rounding hides what is left to gain
            return found
        found = found - scale * step
        loss, gradient, hessian = tried
        if gain < SETTLED:
            break
    return found
