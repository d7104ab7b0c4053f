"""The panel of keywords: measures with 95 % intervals over items, as a table, as text, and as a picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.telemetry.plots import HEIGHT, PANEL_WIDTH, png

MEASURE = "measure"
COLUMNS = [MEASURE, "value", "low", "high", "n"]
CONFIDENCES = {"picture": "confidence_image", "text": "confidence_text"}
ROW_HEIGHT, MARGIN = 0.22, 0.9  # inches


def panel_table(
    measures: Mapping[str, Float[np.ndarray, " items"]], counts: Mapping[str, float], *, bootstrap: int, seed: int
) -> pd.DataFrame:
    """Return the means of measures with their 95 % intervals, and counts without.

    Args:
        measures: one number an item, nan for items that a measure says nothing of. Those over the same items are
            resampled together, so that differences are paired.
        counts: of the whole catalogue.
        bootstrap: resamples of the items.
        seed: of the resamples.

    Returns:
        Columns ``COLUMNS``; n is how many items a measure is over. A measure of no item is nan.
    """
    found: dict[str, tuple[float, float, float, int]] = {}
    together: dict[bytes, list[str]] = {}
    for name, values in measures.items():
        together.setdefault(np.isfinite(values).tobytes(), []).append(name)
    for names in together.values():
        stacked = np.stack([measures[name] for name in names], axis=1)
        stacked = stacked[np.isfinite(stacked[:, 0])]
        nothing = np.full(len(names), np.nan)
        mean = stacked.mean(axis=0) if len(stacked) else nothing
        low, high = (
            np.percentile(resampled_means(stacked, bootstrap, seed), QUANTILES, axis=0)
            if len(stacked)
            else (nothing, nothing)
        )
        for place, name in enumerate(names):
            found[name] = (float(mean[place]), float(low[place]), float(high[place]), len(stacked))
    rows: list[tuple[Any, ...]] = [(name, *found[name]) for name in measures]
    items = max((len(values) for values in measures.values()), default=0)
    rows += [(name, value, np.nan, np.nan, items) for name, value in counts.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def value_of(panel: pd.DataFrame, measure: str) -> float:
    """Return the value of a measure; nan if it was not measured."""
    values = panel.loc[panel[MEASURE] == measure, "value"]
    return float(values.iloc[0]) if len(values) else float("nan")


def said_of(panel: pd.DataFrame, measure: str) -> str:
    """Say a measure in words, such as 'format_rate 0.990 [0.980, 1.000] of 100 items'."""
    rows = panel[panel[MEASURE] == measure]
    if rows.empty or not rows["n"].iloc[0]:
        return f"{measure}: nothing to measure"
    return f"{measure} {_numbers(rows.iloc[0])} of {rows['n'].iloc[0]} items"


def format_panel(panel: pd.DataFrame) -> str:
    """Write the panel as plain text; measures of no item are left out."""
    measured = panel[panel["n"] > 0]
    width = max((len(name) for name in measured[MEASURE]), default=0)
    lines = [f"{row[MEASURE]:<{width}} {_numbers(row)}  n={row['n']}" for _, row in measured.iterrows()]
    return "\n".join(["means over items [95 % interval]; ' - ' are differences, paired by item", *lines])


def panel_markdown(panel: pd.DataFrame) -> str:
    """Write the panel as a Markdown table; measures of no item are left out."""
    measured = panel[panel["n"] > 0]
    lines = [f"| {row[MEASURE]} | {_numbers(row)} | {row['n']} |" for _, row in measured.iterrows()]
    return "\n".join(["| measure | value [95 % interval] | items |", "| --- | --- | --- |", *lines])


def panel_json(panel: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the panel as JSON content: measure, value, low, high (null where there is none) and n."""
    return [
        {MEASURE: name, "value": rounded(value), "low": rounded(low), "high": rounded(high), "n": int(count)}
        for name, value, low, high, count in panel[COLUMNS].itertuples(index=False)
    ]


def worst_items(quality: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the rows with the highest retrieval rank and those with the lowest confidence, in turn, each once.

    An item's confidence is the lower of its two. Items of which neither is known come last.
    """
    lowest = quality[list(CONFIDENCES.values())].min(axis=1)
    by_rank = quality["retrieval_rank"].sort_values(ascending=False, kind="stable").index
    by_confidence = lowest.dropna().sort_values(kind="stable").index
    pairs = zip(by_rank, [*by_confidence, *[None] * (len(by_rank) - len(by_confidence))], strict=True)
    turns = dict.fromkeys(row for pair in pairs for row in pair if row is not None)
    return quality.loc[list(turns)[:count]]


def rounded(value: float) -> float | None:
    """Return a number as JSON content; None for nan."""
    return round(float(value), 4) if np.isfinite(value) else None


def panel_png(panel: pd.DataFrame) -> bytes:
    """Draw measures in [0, 1] on the left and differences on the right, as points with their intervals."""
    from matplotlib.figure import Figure

    whole = panel[np.isfinite(panel["low"].to_numpy(dtype=np.float64))]
    different = whole[MEASURE].str.contains(" - ", regex=False)
    parts = {"share, or mean, of items": whole[~different], "difference, paired by item": whole[different]}
    rows = max(len(part) for part in parts.values())
    figure = Figure(figsize=(2 * PANEL_WIDTH, max(HEIGHT, ROW_HEIGHT * rows + MARGIN)), layout="constrained")
    for drawn, (title, part) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts.items(), strict=True):
        places = np.arange(len(part))
        error = np.maximum([part["value"] - part["low"], part["high"] - part["value"]], 0)
        drawn.errorbar(part["value"], places, xerr=error, fmt="o", markersize=4, ecolor="0.5", capsize=2, linewidth=1)
        drawn.axvline(0, color="0.6", linewidth=1)
        drawn.set_yticks(places, part[MEASURE], fontsize=7)
        drawn.set_ylim(max(len(part), 1) - 0.5, -0.5)
        drawn.set_title(title, fontsize=9)
        drawn.grid(axis="x", alpha=0.3)
    return png(figure)


def _numbers(row: "pd.Series[Any]") -> str:
    if not np.isfinite(row["low"]):
        return f"{row['value']:.4g}"
    sign = "+" if " - " in row[MEASURE] else ""
    value, low, high = (f"{row[name]:{sign}.3f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
