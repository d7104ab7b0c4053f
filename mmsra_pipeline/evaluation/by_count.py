"""Results by how often training saw what came next: where content helps, and where collaborative scores do."""

import numpy as np
import pandas as pd

from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.measuring import Measured
from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.retrieval.popularity import popularity

COUNT_BIN = "count_bin"
BINS = {"0": 0, "1-2": 1, "3-5": 3, "6-14": 6, "15+": 15}
"""Name of a bin, and its smallest count."""
COLUMNS = [PROTOCOL, ROW, COUNT_BIN, "users", "metric", "value", "low", "high"]


def count_bins(counts: np.ndarray) -> np.ndarray:
    """Return the name of each count's bin.

    >>> count_bins(np.array([0, 2, 14, 15, 900])).tolist()
    ['0', '1-2', '6-14', '15+', '15+']
    """
    names = np.array(list(BINS), dtype=object)
    named: np.ndarray = names[np.searchsorted(list(BINS.values()), counts, side="right") - 1]
    return named


def by_count_table(measured: list[Measured], training: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return the metrics of single lists by the training interactions of their target, in percent.

    Args:
        measured: of :func:`measure`.
        training: rows of ``interactions`` that training may see.
        bootstrap: resamples of a bin's users.
        seed: of the resamples.

    Returns:
        ``protocol``, ``row``, ``count_bin``, ``users``, ``metric``, ``value``, ``low``, ``high``: 95 % intervals over
        users. Bins without a user have no rows.
    """
    entries = []
    for one in measured:
        bins = count_bins(popularity(training, one.targets).to_numpy())
        metrics = one.metrics[: one.per_list.shape[2]]
        for name in BINS:
            inside = one.per_list[bins == name]
            if not len(inside):
                continue
            flat = inside.reshape(len(inside), -1)
            low, high = np.percentile(resampled_means(flat, bootstrap, seed), QUANTILES, axis=0)
            keys = [(row, metric) for row in one.rows for metric in metrics]
            for (row, metric), *numbers in zip(keys, flat.mean(axis=0), low, high, strict=True):
                entries.append((one.protocol, row, name, len(inside), metric, *numbers))
    return pd.DataFrame(entries, columns=COLUMNS)
