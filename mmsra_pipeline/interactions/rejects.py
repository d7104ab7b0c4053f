"""Rows that are kept out of the pipeline, each with its place and the reason."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

TEXT_CHARS = 300
COLUMNS = ("file", "line", "reason", "text")


class Reject(NamedTuple):
    """One row that cannot be used."""

    file: str
    """Path below the data set's folder."""
    line: int
    """1-based line at which the row begins; in Parquet files the 1-based row."""
    reason: str
    text: str
    """The row, cut after ``TEXT_CHARS`` characters."""


def rejects_table(rejects: Iterable[Reject]) -> pd.DataFrame:
    """Rejects as a table, in order of file and line. Bytes that are no UTF-8 show as U+FFFD."""
    rows = sorted(reject._replace(text=_printable(reject.text)) for reject in rejects)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"file": "str", "line": "int64", "reason": "str", "text": "str"})


def _printable(text: str) -> str:
    return text[:TEXT_CHARS].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
