"""Curves and tables as pictures, PNG bytes for asset metadata. matplotlib is imported only when one is drawn."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
PANEL_WIDTH, HEIGHT = 4.2, 3.2  # inches


def curve_png(frame: pd.DataFrame, x: str, ys: Sequence[str], title: str) -> bytes:
    """Draw one panel per column of ``ys`` over column ``x``; missing values leave gaps.

    Raises:
        ValueError: if a column is not there.
    """
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    absent = [name for name in (x, *ys) if name not in frame.columns]
    if absent or not ys:
        raise ValueError(f"cannot draw {absent or 'nothing'}: the columns are {list(frame.columns)}")
    figure = Figure(figsize=(PANEL_WIDTH * len(ys), HEIGHT), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(ys), squeeze=False)[0], ys, strict=True):
        panel.plot(frame[x], pd.to_numeric(frame[name]), marker="o" if len(frame) < 40 else None, markersize=3)
        panel.set_xlabel(x)
        panel.set_title(name, fontsize=10)
        panel.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11)
    return png(figure)


def png(figure: "Figure") -> bytes:
    """Return a figure as PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()
