"""Resamples of users or items, for the intervals of whatever is measured."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

QUANTILES = (2.5, 97.5)
BLOCK_CELLS = 4_000_000  # sample weights held at once


def resampled_weights(users: int, count: int, seed: int, block: int) -> Iterator[Float[np.ndarray, "samples users"]]:
    """Draw users with replacement ``count`` times; give how often each was drawn, ``block`` resamples at a time."""
    generator = np.random.default_rng(seed)
    even = np.full(users, 1 / users)
    for start in range(0, count, block):
        yield generator.multinomial(users, even, size=min(block, count - start)).astype(np.float64)


def resampled_means(
    values: Float[np.ndarray, "users columns"], count: int, seed: int
) -> Float[np.ndarray, "count columns"]:
    """Return the means over ``count`` resamples of the users, the same users in all columns."""
    users = len(values)
    block = max(1, BLOCK_CELLS // users)
    means = [weights @ values / users for weights in resampled_weights(users, count, seed, block)]
    return np.concatenate(means)
