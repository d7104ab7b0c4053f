"""The metrics as bars with intervals."""

import pandas as pd

from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.candidates import PROTOCOL
from mmsra_pipeline.plots import HEIGHT, png


def metrics_png(metrics: pd.DataFrame) -> bytes:
    """Draw one line of panels per protocol, one panel per metric, one bar with its interval per row."""
    from matplotlib.figure import Figure

    protocols, names = list(metrics[PROTOCOL].unique()), list(metrics["metric"].unique())
    figure = Figure(figsize=(2.1 * len(names), HEIGHT * len(protocols)), layout="constrained")
    grid = figure.subplots(len(protocols), len(names), squeeze=False)
    for panels, protocol in zip(grid, protocols, strict=True):
        for panel, name in zip(panels, names, strict=True):
            part = metrics[(metrics[PROTOCOL] == protocol) & (metrics["metric"] == name)]
            error = [part["value"] - part["low"], part["high"] - part["value"]]
            panel.bar(part[ROW], part["value"], yerr=error, capsize=3, color=[f"C{i}" for i in range(len(part))])
            panel.set_ylim(0, 100)
            panel.set_title(f"{name} · {protocol}", fontsize=9)
            panel.tick_params(axis="x", rotation=60, labelsize=8)
    figure.suptitle(f"percent, {int(metrics['users'].iloc[0])} users, 95 % intervals", fontsize=10)
    return png(figure)
