"""What is served against the best row that ranks without the language model, in one sentence."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mmsra_pipeline.evaluation.baselines import CEILING, OURS, ROW
from mmsra_pipeline.evaluation.differences import AGAINST
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.recommendation.fusion import FUSED

NOT_COMPARED = (OURS, FUSED, CEILING)
"""Rows that need the language model's answer, and the one that knows how the lists were made."""


class Verdict(NamedTuple):
    """What is served against the best other row, under one protocol."""

    protocol: str
    metric: str
    row: str
    against: str
    value: float
    """Points of percent."""
    low: float
    """Of the 95 % interval, paired by user."""
    high: float


def verdicts(metrics: pd.DataFrame, differences: pd.DataFrame | None) -> list[Verdict]:
    """Compare what is served with the best row that ranks without the language model, under each protocol, by HR.

    The best is chosen on the lists that it is judged on, which is to its advantage. Nothing is returned of a protocol
    where they were not compared.

    Args:
        metrics: the table ``metrics``.
        differences: the table ``differences``, if it was made.
    """
    if differences is None:
        return []
    found = []
    for protocol, group in metrics[metrics["metric"].str.startswith("hr@")].groupby(PROTOCOL, sort=False):
        others = group[~group[ROW].isin(NOT_COMPARED)]
        if others.empty:
            continue
        metric, best = max(others[["value", "metric", ROW]].itertuples(index=False), key=lambda one: one[0])[1:]
        same = differences[(differences[PROTOCOL] == protocol) & (differences["metric"] == metric)]
        pair = same[(same[ROW] == FUSED) & (same[AGAINST] == best)]
        for value, low, high in pair[["value", "low", "high"]].to_numpy(dtype=np.float64).round(4).tolist():
            found.append(Verdict(str(protocol), str(metric), FUSED, str(best), value, low, high))
    return found


def said(found: Sequence[Verdict]) -> str:
    """Write the verdicts as one sentence."""
    if not found:
        return f"{FUSED}, what is served, was not compared with rows that rank without the language model."
    parts = [
        f"{one.value:+.1f} points [{one.low:+.1f}, {one.high:+.1f}] from {one.against} under {one.protocol} negatives "
        f"({_meaning(one)})"
        for one in found
    ]
    return (
        f"{found[0].row}, what is served, against the best other row that ranks without the language model, in "
        f"{found[0].metric.upper()}: {'; '.join(parts)}."
    )


def _meaning(one: Verdict) -> str:
    if one.low <= 0 <= one.high:
        return "it may be chance"
    return "these users show a gain" if one.value > 0 else "these users show a loss"
