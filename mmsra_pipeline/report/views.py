"""What pages are made of: tables with captions, charts that stand beside them, in plain words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from mmsra_pipeline.evaluation.baselines import ROW, sees_later
from mmsra_pipeline.recommendation.fusion import FUSED, WITHOUT_MODEL
from mmsra_pipeline.report.charts import Chart

OURS: Final = ("mmsrarec", FUSED)
ROWS: Final[Mapping[str, str]] = {
    "random": "chance",
    "popularity": "how many users took an item",
    "popularity_as_of": "how many users took an item before",
    "cooccurrence": "what is taken soon after the history",
    "cooccurrence_as_of": "what was taken soon after the history before",
    "sasrec": "the sequential model",
    "first_stage": "the order in which candidates reach the model",
    "content": "likeness of text and keywords to the history",
    "evidence": "a regression on just what the prompt states, without the language model",
    WITHOUT_MODEL: "the fusion without the language model",
    "mmsrarec": "p(Yes) of the language model",
    FUSED: "the fusion with the language model: what is served",
    "ceiling": "what the made-up shop decided by: nobody can rank better",
}


@dataclass(frozen=True)
class Table:
    """A table with a caption. Cells are text; the first of a row names it."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[int] = frozenset()
    """Numbers of the rows that are set off."""


@dataclass(frozen=True)
class Block:
    """A heading with words, charts and tables."""

    title: str
    words: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    """Tables that are opened by a click."""


def numbered(value: float, digits: int = 1, *, sign: bool = False) -> str:
    """Write a number; a dash where there is none.

    >>> numbered(3.14159), numbered(float("nan")), numbered(2.0, sign=True), numbered(-0.01)
    ('3.1', '-', '+2.0', '0.0')
    """
    if not math.isfinite(value):
        return "-"
    rounded = round(value, digits) + 0.0  # never -0.0
    return f"{rounded:{'+' if sign else ''}.{digits}f}"


def interval(value: float, low: float, high: float, digits: int = 1, *, sign: bool = False) -> str:
    """Write a value with its interval."""
    if not math.isfinite(value):
        return "-"
    whole = [numbered(number, digits, sign=sign) for number in (value, low, high)]
    return f"{whole[0]} [{whole[1]}, {whole[2]}]"


def metric_grid(frame: pd.DataFrame, caption: str, metrics: Sequence[str]) -> Table:
    """Return a table with a line per row and a column per metric; which rows see the future is a column."""
    rows = []
    for row in frame[ROW].unique():
        own = frame[frame[ROW] == row].set_index("metric")
        cells = [interval(*own.loc[name, ["value", "low", "high"]]) if name in own.index else "-" for name in metrics]
        rows.append([str(row), ROWS.get(str(row), ""), sees_later(str(row)), *cells])
    strong = frozenset(number for number, row in enumerate(rows) if row[0] in OURS)
    return Table(caption, ["row", "what it is", "sees the future", *map(metric_name, metrics)], rows, strong)


def metric_name(name: str) -> str:
    """Write a metric as people do.

    >>> metric_name("ndcg@5"), metric_name("auc_user")
    ('NDCG@5', 'AUC per user')
    """
    named = {"auc_user": "AUC per user", "auc_pooled": "AUC pooled"}
    return named.get(name, name.upper())
