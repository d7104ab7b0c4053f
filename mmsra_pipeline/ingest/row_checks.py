"""Which rows of a table are sound; the others go to the sink with the first reason that applies."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmsra_pipeline import columns as c
from mmsra_pipeline.ingest.raw_tables import LINE
from mmsra_pipeline.ingest.rejects import RejectSink

LATEST_MS = 7_258_118_400_000  # 2200-01-01
Flaw = tuple[pa.Array | pa.ChunkedArray, str]
"""Of each row whether it is flawed, and the reason."""


def sound_rows(
    table: pa.Table, flaws: Sequence[Flaw], file: str, text_of: Callable[[int], str | bytes], sink: RejectSink
) -> pa.Table:
    """Return the rows without a flaw; refuse the others.

    Args:
        table: has a column ``line``.
        flaws: in the order in which they are reported.
        file: what rejects call the source.
        text_of: gives the source's text of a row by its place in the table.
        sink: counts every row, and gets the refused ones with their reason.
    """
    sink.see(table.num_rows)
    reasons = np.full(table.num_rows, -1)
    for number, (flawed, _) in reversed(list(enumerate(flaws))):
        reasons[np.asarray(pc.fill_null(flawed, False)).astype(bool)] = number
    refused = np.flatnonzero(reasons >= 0)
    if not len(refused):
        return table
    lines = table.column(LINE)
    for row in refused.tolist():
        sink.refuse(file, lines[row].as_py(), flaws[reasons[row]][1], text_of(row))
    return table.filter(pa.array(reasons < 0))


def empty(table: pa.Table, name: str) -> Flaw:
    """Whether a text is missing."""
    cells = table.column(name)
    return pc.or_kleene(pc.is_null(cells), pc.equal(cells, "")), f"{name} is empty"


def time_flaws(milliseconds: pa.ChunkedArray) -> list[Flaw]:
    """Whether a time of float64 milliseconds is missing, or none that can be."""
    rounded = pc.floor(milliseconds)
    within = pc.and_kleene(pc.greater_equal(milliseconds, 0), pc.less_equal(milliseconds, LATEST_MS))
    return [
        (pc.is_null(milliseconds), f"{c.TIME} is missing"),
        (pc.invert(within), f"{c.TIME} does not lie between 1970 and 2200"),
        (pc.not_equal(rounded, milliseconds), f"{c.TIME} is no whole number"),
    ]
