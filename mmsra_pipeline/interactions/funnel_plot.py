"""The funnel as a picture."""

import pandas as pd

from mmsra_pipeline.telemetry.plots import PANEL_WIDTH, png

COUNTED = ("users", "items", "interactions")
BAR_HEIGHT, MARGINS = 0.25, 1.1  # inches


def funnel_png(funnel: pd.DataFrame) -> bytes:
    """Draw what each step left, from top to bottom: one panel each for users, items and interactions."""
    from matplotlib.figure import Figure

    size = (PANEL_WIDTH * len(COUNTED), MARGINS + BAR_HEIGHT * len(funnel))
    figure = Figure(figsize=size, layout="constrained")
    for panel, name in zip(figure.subplots(1, len(COUNTED), sharey=True), COUNTED, strict=True):
        bars = panel.barh(range(len(funnel)), funnel[name])
        panel.bar_label(bars, labels=[f"{count:,}" for count in funnel[name]], fontsize=7, padding=2)
        panel.set_yticks(range(len(funnel)), funnel["step"], fontsize=8)
        panel.set_title(name, fontsize=10)
        panel.set_xlim(0, 1.25 * max(1, funnel[name].max()))
        panel.set_xticks([])
    figure.axes[0].invert_yaxis()
    return png(figure)
