"""How far probabilities are from what happened."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Measures of probabilities against what happened; nan where there are none."""

    ece: float
    """Expected calibration error over bins of equal count: the mean distance of p from the share, 0 to 1."""
    ece_equal_width: float
    """The same over bins of equal width; with rare outcomes nearly all lies in the first."""
    brier: float
    """Mean squared distance of p from 0 or 1."""
    mean_p: float
    share: float
    """Of what happened."""
    n: int


def calibration(p: Float[np.ndarray, " rows"], happened: Bool[np.ndarray, " rows"]) -> Calibration:
    """Measure probabilities.

    Raises:
        ValueError: if one is not from 0 to 1.
    """
    if len(p) == 0:
        return Calibration(*(float("nan"),) * 5, 0)
    return Calibration(
        ece=_error(p, happened, equal_count_bins(p)),
        ece_equal_width=_error(p, happened, equal_width_bins(p)),
        brier=float(((p - happened) ** 2).mean()),
        mean_p=float(p.mean()),
        share=float(happened.mean()),
        n=len(p),
    )


def reliability(p: Float[np.ndarray, " rows"], happened: Bool[np.ndarray, " rows"]) -> pd.DataFrame:
    """Give, for bins of equal count, how sure p was and how often it happened.

    Returns:
        ``bin`` from 0, ``n``, ``mean_p``, ``share``, and ``low``, ``high`` of the share: 95 % intervals (Wilson, 1927),
        as if candidates were independent.
    """
    rows = pd.DataFrame({"bin": equal_count_bins(p), "p": p, "happened": np.asarray(happened, dtype=np.float64)})
    table = rows.groupby("bin").agg(n=("p", "size"), mean_p=("p", "mean"), share=("happened", "mean")).reset_index()
    z2 = 1.959964**2 / table["n"]
    middle = (table["share"] + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * table["share"] * (1 - table["share"]) + z2**2 / 4) / (1 + z2)
    return table.assign(low=(middle - half).clip(lower=0), high=middle + half)


def equal_count_bins(p: Float[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """Number each row's bin from 0, by p; equal p share a bin, so that there may be fewer than ten.

    >>> equal_count_bins(np.array([0.1, 0.1, 0.1, 0.9])).tolist()
    [0, 0, 0, 1]
    """
    _refuse(p)
    edges = np.quantile(p, np.arange(1, BINS) / BINS, method="higher") if len(p) else np.empty(0)
    _, numbers = np.unique(np.searchsorted(edges, p, side="left"), return_inverse=True)
    return numbers


def equal_width_bins(p: Float[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """Number each row's tenth of the range from 0 to 1."""
    _refuse(p)
    tenths: np.ndarray = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    return tenths


def _error(p: np.ndarray, happened: np.ndarray, bins: np.ndarray) -> float:
    return float(np.abs(np.bincount(bins, p) - np.bincount(bins, happened.astype(np.float64))).sum() / len(p))


def _refuse(p: np.ndarray) -> None:
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a probability is not from 0 to 1")
