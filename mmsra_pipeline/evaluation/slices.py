"""Results by part of the queries: how often training saw what came next, its picture, length of history, and time."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import HISTORY, IMAGE_HASH, ITEM, POSITION, TARGET, TIME, USER
from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.by_count import BINS, count_bins
from mmsra_pipeline.evaluation.differences import AGAINST, FOLLOWED_PAIRS
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.measuring import Measured
from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.retrieval.popularity import popularity

SLICE, PART = "slice", "part"
TRAINING_COUNT, HISTORY_LENGTH, PICTURE, WHEN = "training count", "history length", "picture", "time"
LENGTHS = {"1-2": 1, "3-4": 3, "5-9": 5, "10-19": 10, "20+": 20}
"""Name of a part, and its smallest history."""
THIRDS = ("first third", "middle third", "last third")
UNKNOWN_TIME = "unknown"
COLUMNS = [PROTOCOL, ROW, AGAINST, SLICE, PART, "users", "metric", "value", "low", "high"]


def query_parts(
    queries: pd.DataFrame, sequences: pd.DataFrame, training: pd.DataFrame, item_images: pd.DataFrame
) -> dict[str, tuple[list[str], np.ndarray]]:
    """Say which part of each slice each query is in.

    Args:
        queries: user_id, position and target of each.
        sequences: histories and times of queries, these among them.
        training: rows of ``interactions`` that training may see.
        item_images: pictures of the catalogue.

    Returns:
        By slice: its parts in order, and the part of each query. Times are cut into thirds of these queries.
    """
    known = sequences.drop_duplicates([USER, POSITION]).set_index([USER, POSITION])
    own = known.loc[pd.MultiIndex.from_frame(queries[[USER, POSITION]])]
    lengths = own[HISTORY].map(len).to_numpy()
    pictured = set(item_images.loc[item_images[IMAGE_HASH].notna(), ITEM])
    has = np.array(["with" if item in pictured else "without" for item in queries[TARGET]], dtype=object)
    counts = count_bins(popularity(training, queries[TARGET].tolist()).to_numpy())
    at = np.maximum(np.searchsorted(list(LENGTHS.values()), lengths, side="right") - 1, 0)
    return {
        TRAINING_COUNT: (list(BINS), counts),
        HISTORY_LENGTH: (list(LENGTHS), np.array(list(LENGTHS), dtype=object)[at]),
        PICTURE: (["with", "without"], has),
        WHEN: ([*THIRDS, UNKNOWN_TIME], _thirds(own[TIME])),
    }


def slices_table(
    measured: Sequence[Measured],
    parts: Mapping[str, Mapping[str, tuple[list[str], np.ndarray]]],
    bootstrap: int,
    seed: int,
) -> pd.DataFrame:
    """Return the metrics of single lists by slice and part, in percent, with 95 % intervals over users.

    ``FOLLOWED_PAIRS`` are compared in each part too, in points of percent, paired by user.

    Args:
        measured: of ``measure``.
        parts: of :func:`query_parts`, by protocol, in the order of its lists.
        bootstrap: resamples of a part's users.
        seed: of the resamples.

    Returns:
        Columns ``COLUMNS``; ``against`` is empty but for differences. A part without a user has no rows.
    """
    entries: list[tuple[object, ...]] = []
    for one in measured:
        metrics = one.metrics[: one.per_list.shape[2]]
        place = {row: number for number, row in enumerate(one.rows)}
        pairs = [(row, other) for row, other in FOLLOWED_PAIRS if row in place and other in place]
        minus = [one.per_list[:, place[row]] - one.per_list[:, place[other]] for row, other in pairs]
        both = np.concatenate([one.per_list, np.stack(minus, axis=1)], axis=1) if pairs else one.per_list
        names = [(row, "") for row in one.rows] + pairs
        keys = [(row, other, metric) for row, other in names for metric in metrics]
        for name, (order, own) in parts[one.protocol].items():
            for part in order:
                inside = both[own == part]
                if not len(inside):
                    continue
                flat = inside.reshape(len(inside), -1)
                low, high = np.percentile(resampled_means(flat, bootstrap, seed), QUANTILES, axis=0)
                for (row, other, metric), *numbers in zip(keys, flat.mean(axis=0), low, high, strict=True):
                    entries.append((one.protocol, row, other, name, part, len(inside), metric, *numbers))
    return pd.DataFrame(entries, columns=COLUMNS)


def _thirds(times: pd.Series) -> np.ndarray:
    """Cut times into thirds of equal count; equal times share a part."""
    numbers = times.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(numbers)
    named = np.full(len(numbers), UNKNOWN_TIME, dtype=object)
    if known.any():
        edges = np.quantile(numbers[known], [1 / 3, 2 / 3], method="lower")
        named[known] = np.array(THIRDS, dtype=object)[np.searchsorted(edges, numbers[known], side="left")]
    return named
