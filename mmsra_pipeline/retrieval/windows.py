"""Training sequences as one matrix of windows, and batches of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from mmsra_pipeline.columns import HISTORY, POSITION, SPLIT, TARGET, TRAIN, USER
from mmsra_pipeline.errors import DataError

SORTED_BATCHES = 16  # batches whose windows are sorted by length together: little padding, still random


@dataclass(frozen=True)
class Windows:
    """Stretches of training sequences. ``codes`` rows hold item codes from 1, padded with 0 on the right."""

    codes: Int[np.ndarray, "windows width"]
    items: list[str]

    @property
    def lengths(self) -> Int[np.ndarray, " windows"]:
        """Items in each window."""
        lengths: np.ndarray = (self.codes > 0).sum(axis=1)
        return lengths


def training_windows(sequences: pd.DataFrame, max_length: int) -> Windows:
    """Cut each user's training sequence into windows of at most ``max_length`` + 1 items.

    Windows are aligned to the end of a sequence and overlap by one item, so that each training position is a target
    exactly once. A user's sequence is the history of the first training row and the targets of all.

    Raises:
        DataError: if no row of ``sequences`` is for training.
    """
    rows = sequences[sequences[SPLIT] == TRAIN].sort_values([USER, POSITION])
    if rows.empty:
        raise DataError(
            f"none of the {len(sequences)} rows of `sequences` is for training, so there is nothing to learn from. "
            "Lower `interactions.user_core` and `interactions.item_core`, or give more interactions."
        )
    taken: list[str] = []
    sizes: list[int] = []
    for _, group in rows.groupby(USER, sort=True):
        sequence = [*group[HISTORY].iloc[0], *group[TARGET]]
        taken += sequence
        sizes.append(len(sequence))
    codes, items = pd.factorize(np.array(taken, dtype=object), sort=True)
    return Windows(cut(codes + 1, np.array(sizes), max_length), [str(item) for item in items])


def cut(codes: Int[np.ndarray, " total"], sizes: Int[np.ndarray, " users"], max_length: int) -> np.ndarray:
    """Cut sequences that lie one behind the other in ``codes`` into windows.

    >>> cut(np.array([1, 2, 3, 4, 9, 8]), np.array([4, 2]), 2).tolist()
    [[2, 3, 4], [1, 2, 0], [9, 8, 0]]
    """
    ends = np.cumsum(sizes)
    counts = -(-(sizes - 1) // max_length)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # of the window, from the end
    last = np.repeat(ends, counts) - 1 - place * max_length
    first = np.maximum(last - max_length, np.repeat(ends - sizes, counts))
    grid = first[:, None] + np.arange(max_length + 1)
    return np.where(grid <= last[:, None], codes[np.minimum(grid, len(codes) - 1)], 0).astype(np.int64)


def shuffled_batches(
    lengths: Int[np.ndarray, " windows"], size: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Give the row numbers of one epoch in random batches whose windows are about equally long."""
    order = generator.permutation(len(lengths))
    pool = size * SORTED_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[begin : begin + size] for begin in range(0, len(part), size)]
    for index in generator.permutation(len(batches)):
        yield batches[index]
