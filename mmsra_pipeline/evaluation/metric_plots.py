"""What was measured as pictures: points with intervals, one line a row, on white, so that they read in any theme."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.telemetry.plots import HEIGHT, PANEL_WIDTH, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT, MARGIN = 0.24, 0.8  # inches


def metrics_png(metrics: pd.DataFrame) -> bytes:
    """Draw one line of panels per protocol, one panel per metric, in it one point with its interval per row."""
    from matplotlib.figure import Figure

    protocols, names, rows = (list(metrics[column].unique()) for column in (PROTOCOL, "metric", ROW))
    height = max(HEIGHT, ROW_HEIGHT * len(rows) + MARGIN)
    figure = Figure(figsize=(2.4 * len(names), height * len(protocols)), layout="constrained")
    grid = figure.subplots(len(protocols), len(names), squeeze=False, sharey=True, sharex="col")
    for panels, protocol in zip(grid, protocols, strict=True):
        for panel, name in zip(panels, names, strict=True):
            part = metrics[(metrics[PROTOCOL] == protocol) & (metrics["metric"] == name)]
            _points(panel, part.set_index(ROW).reindex(rows).reset_index(), ROW)
            panel.set_title(f"{name} · {protocol}", fontsize=9)
            panel.tick_params(axis="x", labelbottom=True)
    figure.suptitle(f"percent, {int(metrics['users'].iloc[0])} users, 95 % intervals", fontsize=10)
    return png(figure)


def fusion_png(reliability: pd.DataFrame, coefficients: pd.DataFrame) -> bytes:
    """Draw how sure the fusion was against what happened, and what each signal weighs.

    Args:
        reliability: as ``calibration.reliability`` gives it; may be empty.
        coefficients: kind, feature, value, low, high; one panel per kind.
    """
    from matplotlib.figure import Figure

    kinds = list(coefficients["kind"].unique())
    height = max(HEIGHT, ROW_HEIGHT * int(coefficients["kind"].value_counts().max()) + MARGIN)
    figure = Figure(figsize=(PANEL_WIDTH * (1 + len(kinds)), height), layout="constrained")
    first, *panels = figure.subplots(1, 1 + len(kinds), squeeze=False)[0]
    top = float(np.nanmax([*reliability["mean_p"], *reliability["high"], 0.05]))
    first.plot([0, top], [0, top], color="0.6", linewidth=1)
    error = [reliability["share"] - reliability["low"], reliability["high"] - reliability["share"]]
    first.errorbar(reliability["mean_p"], reliability["share"], yerr=error, fmt="o-", markersize=4, capsize=2)
    first.set_xlabel("p, mean of a tenth of the candidates")
    first.set_ylabel("share that came next")
    first.set_title("served lists, users not seen", fontsize=9)
    first.grid(alpha=0.3)
    for panel, kind in zip(panels, kinds, strict=True):
        _points(panel, coefficients[coefficients["kind"] == kind].reset_index(drop=True), "feature")
        panel.axvline(0, color="0.6", linewidth=1)
        panel.set_title(f"weights · {kind}", fontsize=9)
    return png(figure)


def _points(panel: "Axes | Any", part: pd.DataFrame, label: str) -> None:
    """Draw value, low and high of each line of ``part``, the first on top."""
    places = np.arange(len(part))
    error = [part["value"] - part["low"], part["high"] - part["value"]]
    panel.errorbar(part["value"], places, xerr=np.maximum(error, 0), fmt="none", ecolor="0.5", capsize=2, linewidth=1)
    panel.scatter(part["value"], places, c=[f"C{place}" for place in places], s=18, zorder=3)
    panel.set_yticks(places, part[label], fontsize=8)
    panel.set_ylim(len(part) - 0.5, -0.5)
    panel.grid(axis="x", alpha=0.3)
