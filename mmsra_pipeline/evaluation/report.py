"""What was measured, as text of at most 100 columns and as JSON."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmsra_pipeline.evaluation.baselines import ROW, SEE_LATER, SEE_LATER_BY_ENCODER, sees_later
from mmsra_pipeline.evaluation.by_count import COUNT_BIN
from mmsra_pipeline.evaluation.differences import AGAINST
from mmsra_pipeline.evaluation.lists import PROTOCOL

WIDTH = 100  # columns of a terminal that text is written for
COMPACT = ("hr@", "ndcg@", "auc_user")  # the metrics of differences that text has room for
SEES_LATER = "sees_later"
Cell = Callable[[float, float, float, int], str]
"""Writes value, low and high, the interval with so many decimals."""


def metrics_json(
    dataset: str,
    metrics: pd.DataFrame,
    differences: pd.DataFrame | None = None,
    by_count: pd.DataFrame | None = None,
    recall: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return all that was measured as JSON content; each metric has value, low and high. Null: not measured yet.

    ``rows`` has an entry per row and protocol, with ``sees_later`` as ``baselines.sees_later`` says it;
    ``differences`` per protocol, row and the row it is compared with, ``by_count`` per protocol, row and bin,
    ``first_stage`` per row.
    """
    return {
        "dataset": dataset,
        "rows": [_with_sees_later(entry) for entry in _entries(metrics, [ROW, PROTOCOL, "users"])],
        "differences": None if differences is None else _entries(differences, [PROTOCOL, ROW, AGAINST, "users"]),
        "by_count": None if by_count is None else _entries(by_count, [PROTOCOL, ROW, COUNT_BIN, "users"]),
        "first_stage": None if recall is None else _entries(_as_metrics(recall), [ROW, "users"]),
    }


def format_all(
    dataset: str,
    metrics: pd.DataFrame,
    differences: pd.DataFrame | None,
    by_count: pd.DataFrame | None,
    recall: pd.DataFrame | None,
) -> str:
    """Write all that was measured as plain text, and what was not."""
    fix = f"not measured yet. Run `mmsra refresh --dataset {dataset}`."
    return "\n\n".join(
        [
            format_metrics(metrics),
            f"differences: {fix}" if differences is None else format_differences(differences),
            f"by training count: {fix}" if by_count is None else format_by_count(by_count),
            f"first stage: {fix}" if recall is None else format_recall(recall),
        ]
    )


def format_metrics(metrics: pd.DataFrame) -> str:
    """Write the metrics as plain text, one table per protocol, and which rows see later interactions of others."""
    tables = []
    for protocol, group in metrics.groupby(PROTOCOL, sort=False):
        users = int(group["users"].iloc[0])
        title = f"{protocol} negatives, {users} users, percent [95 % interval]"
        tables.append("\n".join([title, *_grid(group, group[ROW], _percent)]))
    return "\n\n".join(tables) + _who_sees_later(list(metrics[ROW].unique()))


def format_differences(differences: pd.DataFrame) -> str:
    """Write the differences as plain text, one table per protocol; of the metrics only some, and none to chance."""
    compared = differences[differences["metric"].str.startswith(COMPACT) & (differences[AGAINST] != "random")]
    tables = []
    for protocol, group in compared.groupby(PROTOCOL, sort=False):
        users = int(group["users"].iloc[0])
        title = f"differences, {protocol} negatives, {users} users, points [95 % interval, paired by user]"
        tables.append("\n".join([title, *_grid(group, group[ROW] + " - " + group[AGAINST], _points)]))
    return "\n\n".join(tables) or "differences: no rows to compare"


def format_by_count(by_count: pd.DataFrame) -> str:
    """Write HR by how often training saw the target as plain text, one table per protocol."""
    tables = []
    for protocol, group in by_count[by_count["metric"].str.startswith("hr@")].groupby(PROTOCOL, sort=False):
        named = group.assign(metric=group[COUNT_BIN] + " (n=" + group["users"].astype(str) + ")")
        title = f"{group['metric'].iloc[0]}, {protocol} negatives, by how often training saw what came next"
        tables.append("\n".join([f"{title}, percent [95 % interval]", *_grid(named, named[ROW], _percent)]))
    return "\n\n".join(tables)


def format_recall(table: pd.DataFrame) -> str:
    """Write the recall of the first stage as plain text."""
    title = f"first stage, whole catalogue, {int(table['n'].iloc[0])} users, percent [95 % interval]"
    return "\n".join([title, *_grid(_as_metrics(table), table[ROW], _percent)])


def _who_sees_later(rows: Sequence[str]) -> str:
    """Say which rows count what other users took after the query, where the split leaves such in training."""
    whole = [row for row in SEE_LATER if row in rows]
    part = [row for row in SEE_LATER_BY_ENCODER if row in rows]
    notes = [f"All of training counts, later than the query or not: {', '.join(whole)}."] if whole else []
    notes += [f"In part, by the sequential model: {', '.join(part)}."] if part else []
    return "".join(f"\n{note}" for note in notes)


def _with_sees_later(entry: dict[str, Any]) -> dict[str, Any]:
    """Add to what was measured of a row, behind its name, whether it counts what others took after the query."""
    return {ROW: entry[ROW], SEES_LATER: sees_later(str(entry[ROW])), **entry}


def _entries(metrics: pd.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    """Return one entry per combination of ``keys``, of which "users" is one, with each metric's value, low and high."""
    entries: list[dict[str, Any]] = []
    for names, group in metrics.groupby(keys, sort=False):
        entry: dict[str, Any] = dict(zip(keys, names, strict=True))
        entry["users"] = int(entry["users"])
        for metric, *numbers in group[["metric", "value", "low", "high"]].itertuples(index=False):
            entry[metric] = dict(zip(("value", "low", "high"), (round(float(x), 4) for x in numbers), strict=True))
        entries.append(entry)
    return entries


def _as_metrics(table: pd.DataFrame) -> pd.DataFrame:
    named = table.rename(columns={"recall": "value", "n": "users"})
    return named.assign(metric=[f"recall@{k}" for k in table["k"]])


def _percent(value: float, low: float, high: float, decimals: int) -> str:
    return f"{value:.1f} [{low:.{decimals}f}-{high:.{decimals}f}]"


def _points(value: float, low: float, high: float, decimals: int) -> str:
    return f"{value:+.1f} [{low:+.{decimals}f}, {high:+.{decimals}f}]"


def _grid(metrics: pd.DataFrame, labels: pd.Series, cell: Cell) -> list[str]:
    """Return lines of text: one per label, in columns by ``metric`` the ``value`` with its interval."""
    for decimals in (1, 0):
        text = _lines(metrics, labels, cell, decimals)
        if max(len(line) for line in text) <= WIDTH:
            break
    return text


def _lines(metrics: pd.DataFrame, labels: pd.Series, cell: Cell, decimals: int) -> list[str]:
    names = list(metrics["metric"].unique())
    cells = [["", *names]]
    for label, group in metrics.groupby(labels, sort=False):
        numbers = group[["value", "low", "high"]].to_numpy(dtype=np.float64)
        found = {metric: cell(value, low, high, decimals)
                 for metric, (value, low, high) in zip(group["metric"], numbers, strict=True)}  # fmt: skip
        cells.append([str(label), *(found.get(name, "-") for name in names)])
    widths = [max(len(line[column]) for line in cells) for column in range(len(names) + 1)]
    return [" ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells]
