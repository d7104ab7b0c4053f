"""Histories as matrices of item codes: training sequences as windows, and batches of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int

from mmsra_pipeline.columns import HISTORY, POSITION, SPLIT, TARGET, TRAIN, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.histories import Histories

SORTED_BATCHES = 16  # batches whose windows are sorted by length together: little padding, still random


@dataclass(frozen=True)
class TrainingSequences:
    """What each user took, oldest first, users one behind the other."""

    codes: Int[np.ndarray, " total"]
    """Item codes, from 1."""
    sizes: Int[np.ndarray, " users"]
    items: list[str]
    """The item of code 1, of code 2, and so on."""

    @property
    def targets(self) -> int:
        """Positions that are asked for: all but the first of each user."""
        return int((self.sizes - 1).sum())

    def windows(self, max_length: int, generator: np.random.Generator) -> Int[np.ndarray, "windows width"]:
        """Cut the sequences into windows of at most ``max_length`` + 1 items, padded with 0 on the right.

        Windows overlap by one item, so that each position is a target exactly once. Sequences too long for one are cut
        at random places: always cut alike, a target would follow the same stretch in every epoch, the first of a
        window a single item, and the model would learn those stretches by heart.
        """
        long = self.sizes - 1 > max_length
        shift = np.where(long, generator.integers(0, max_length, len(long)), 0)
        return cut(self.codes, self.sizes, max_length, shift)


def training_sequences(
    sequences: pd.DataFrame, items: Sequence[str] | None = None, histories: Histories | None = None
) -> TrainingSequences:
    """Take each user's training sequence: the history of the first training row and the targets of all.

    Args:
        sequences: the table; only its training rows are read.
        items: which item each code from 1 stands for. None: those that were taken, sorted.
        histories: what users took, where the rows have no histories written out.

    Raises:
        DataError: if no row of ``sequences`` is for training.
        ValueError: if an item was taken that ``items`` lacks.
    """
    rows = sequences[sequences[SPLIT] == TRAIN].sort_values([USER, POSITION])
    if rows.empty:
        raise DataError(
            f"none of the {len(sequences)} rows of `sequences` is for training, so there is nothing to learn from. "
            "Lower `interactions.user_core` and `interactions.item_core`, or give more interactions."
        )
    if histories is not None:
        return _sliced(rows, items, histories)
    owner, _ = pd.factorize(rows[USER])
    begun, sizes = flatten(rows[HISTORY][~rows[USER].duplicated()].tolist())
    entries = np.concatenate([begun.to_numpy(zero_copy_only=False), rows[TARGET].to_numpy(dtype=object)])
    owner = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), owner])
    order = np.argsort(owner, kind="stable")  # of each user the first history, then the targets
    if items is None:
        codes, found = pd.factorize(entries[order], sort=True)
        return TrainingSequences(codes + 1, np.bincount(owner), [str(item) for item in found])
    codes = _among(items, entries[order])
    return TrainingSequences(codes + 1, np.bincount(owner), list(items))


def _sliced(rows: pd.DataFrame, items: Sequence[str] | None, histories: Histories) -> TrainingSequences:
    """Take the same as one stretch of each user's interactions. ``rows`` are sorted by user and position."""
    first, last = ~rows[USER].duplicated(), ~rows[USER].duplicated(keep="last")
    begins, middles = histories.bounds(rows[first])
    _, ends = histories.bounds(rows[last])
    sizes = ends + 1 - begins  # the last target too
    asked = np.diff(np.append(np.flatnonzero(first.to_numpy()), len(rows)))
    if (ends + 1 - middles != asked).any():
        raise ValueError("the training positions of a user do not follow one another")
    place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - begins, sizes)
    entry_codes = histories.codes[place]
    if items is None:
        known = np.flatnonzero(np.bincount(entry_codes, minlength=len(histories.items)))
        names = [histories.items[code] for code in known]  # codes are in order of the names
        return TrainingSequences(np.searchsorted(known, entry_codes) + 1, sizes, names)
    present = np.flatnonzero(np.bincount(entry_codes, minlength=len(histories.items)))
    codes = np.zeros(len(histories.items), dtype=np.int64)
    codes[present] = _among(items, np.array(histories.items, dtype=object)[present])
    return TrainingSequences(codes[entry_codes] + 1, sizes, list(items))


def _among(items: Sequence[str], names: np.ndarray) -> Int[np.ndarray, " names"]:
    codes: np.ndarray = pd.Index(np.array(items, dtype=object)).get_indexer(names)
    if (codes < 0).any():
        raise ValueError(
            f"{(codes < 0).sum()} items of the training rows are not among the {len(items)} that were named"
        )
    return codes


def flatten(histories: Sequence[Sequence[str]]) -> tuple[pa.Array, Int[np.ndarray, " histories"]]:
    """Write all items one behind the other, and give each history's length.

    >>> items, sizes = flatten([["a", "b"], [], ["a"]])
    >>> items.to_pylist(), sizes.tolist()
    (['a', 'b', 'a'], [2, 0, 1])
    """
    lists = pa.array(histories, pa.large_list(pa.large_string()))
    return lists.flatten(), lists.value_lengths().to_numpy(zero_copy_only=False)


def pad(codes: Int[np.ndarray, " total"], sizes: Int[np.ndarray, " histories"], length: int) -> np.ndarray:
    """Write the codes of histories that lie one behind the other into a matrix, padded with 0 on the right.

    >>> pad(np.array([3, 1, 2]), np.array([2, 1]), 3).tolist()
    [[3, 1, 0], [2, 0, 0]]
    """
    padded = np.zeros((len(sizes), length), dtype=np.int64)
    padded[np.arange(length) < sizes[:, None]] = codes
    return padded


def cut(
    codes: Int[np.ndarray, " total"],
    sizes: Int[np.ndarray, " users"],
    max_length: int,
    shift: Int[np.ndarray, " users"],
) -> Int[np.ndarray, "windows width"]:
    """Cut sequences that lie one behind the other into windows of at most ``max_length`` + 1 items.

    The windows of a sequence end ``max_length`` apart, the last one ``shift`` items behind its end.

    >>> cut(np.array([1, 2, 3, 4, 9, 8]), np.array([4, 2]), 2, np.array([0, 0])).tolist()
    [[2, 3, 4], [1, 2, 0], [9, 8, 0]]
    >>> cut(np.array([1, 2, 3, 4, 9, 8]), np.array([4, 2]), 2, np.array([1, 0])).tolist()
    [[3, 4, 0], [1, 2, 3], [9, 8, 0]]
    """
    ends = np.cumsum(sizes)
    counts = -(-(sizes - 1 + shift) // max_length)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # of the window, from the end
    last = np.repeat(ends + shift, counts) - 1 - place * max_length
    first = np.maximum(last - max_length, np.repeat(ends - sizes, counts))
    last = np.minimum(last, np.repeat(ends, counts) - 1)
    grid = first[:, None] + np.arange(max_length + 1)
    return np.where(grid <= last[:, None], codes[np.minimum(grid, len(codes) - 1)], 0).astype(np.int64)


def shuffled_batches(
    lengths: Int[np.ndarray, " windows"], size: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Return the row numbers of one epoch in random batches whose windows are about equally long."""
    order = generator.permutation(len(lengths))
    pool = size * SORTED_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[begin : begin + size] for begin in range(0, len(part), size)]
    for index in generator.permutation(len(batches)):
        yield batches[index]
