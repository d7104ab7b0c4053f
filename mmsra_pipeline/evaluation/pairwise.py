"""Every row against every other, paired by user, corrected for how many were compared."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.differences import AGAINST
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.measuring import FOLLOWED_METRICS, Measured
from mmsra_pipeline.resampling import QUANTILES

POWER = 1.959964 + 0.841621  # of a two-sided test at 5 % that finds a difference four times of five
POINTS = 2.0
"""The difference that ``users_needed`` is said for, in points of percent."""
EQUAL = 1e-12  # differences of shares
COLUMNS = [
    PROTOCOL, ROW, AGAINST, "users", "metric", "value", "low", "high", "p_value", "p_holm", "detectable",
    "users_needed",
]  # fmt: skip


def pairwise_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Compare every pair of rows by HR, NDCG and the AUC of single lists, in points of percent.

    The interval is that of the paired bootstrap. ``p_value`` is that of the paired t-test on the lists' differences,
    since a thousand resamples resolve no p that survives a correction for dozens of pairs; ``p_holm`` is corrected over
    the pairs of one protocol and metric (Holm, 1979).

    Returns:
        ``protocol``, ``row``, ``against``, ``users``, ``metric``, ``value`` (row less against), ``low``, ``high``,
        ``p_value``, ``p_holm``, ``detectable``: the smallest difference that so many users show four times of five at
        5 %, and ``users_needed`` to show one of ``POINTS`` points so.
    """
    entries = []
    for one in measured:
        pairs = list(combinations(range(len(one.rows)), 2))
        for column, metric in enumerate(one.metrics[: one.per_list.shape[2]]):
            if not metric.startswith(FOLLOWED_METRICS):
                continue
            found = [_compared(one, row, other, column) for row, other in pairs]
            corrected = holm(np.array([p for *_, p, _ in found]))
            for (row, other), (value, low, high, p, spread), p_holm in zip(pairs, found, corrected, strict=True):
                users = len(one.per_list)
                detectable = POWER * spread / math.sqrt(users)
                needed = max(2, math.ceil((POWER * spread / POINTS) ** 2))
                names = (one.protocol, one.rows[row], one.rows[other], users, metric)
                entries.append((*names, value, low, high, p, float(p_holm), detectable, needed))
    return pd.DataFrame(entries, columns=COLUMNS)


def holm(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Correct p-values for how many there are, by Holm's step-down procedure.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


def paired_p(differences: Float[np.ndarray, " lists"]) -> float:
    """Return the two-sided p-value of the paired t-test; 1 where all differences are 0 or there is but one.

    Differences closer than ``EQUAL`` are equal: a t of rounding alone says nothing.
    """
    from scipy import stats

    if len(differences) < 2 or np.abs(differences).max() < EQUAL:
        return 1.0
    if np.ptp(differences) < EQUAL:
        return 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _compared(one: Measured, row: int, other: int, column: int) -> tuple[float, float, float, float, float]:
    """Return the mean difference, its interval, its p-value, and the spread of the lists' differences."""
    differences = one.per_list[:, row, column] - one.per_list[:, other, column]
    samples = one.samples[:, row, column] - one.samples[:, other, column]
    low, high = np.percentile(samples, QUANTILES)
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else math.nan
    return float(differences.mean()), float(low), float(high), paired_p(differences), spread
