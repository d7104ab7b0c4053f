"""Rows of a file as columns of text, whatever the file is."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmsra_pipeline.errors import DataError


@dataclass(frozen=True)
class TextRows:
    """Some well-formed rows of a file: columns of text, null where empty, and the line where each row begins."""

    cells: pa.Table
    lines: list[int]
    """The line where each row begins; in Parquet files the 1-based row."""

    def text_of(self, row: int) -> str:
        """Return a row as a CSV would have it."""
        sink = io.StringIO()
        values = (column[row].as_py() for column in self.cells.columns)
        csv.writer(sink, lineterminator="").writerow("" if value is None else value for value in values)
        return sink.getvalue()


def of_text(columns: Iterable[list[str | None]], names: Sequence[str]) -> pa.Table:
    """Return columns of text as a table."""
    return pa.table([pa.array(column, pa.string()) for column in columns], names=list(names))


def is_utf8(text: str) -> bool:
    """Whether a text that was decoded with surrogates for foreign bytes was valid UTF-8."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def checked_header(names: list[str], path: Path) -> list[str]:
    """Return the names of a file's columns.

    Raises:
        DataError: if one is there twice, or is no text.
    """
    if not all(map(is_utf8, names)):
        raise DataError(f"{path}: the header is not valid UTF-8. Save the file as UTF-8.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{path}: the header names {repeated[0][:60]!r} more than once. Rename one of them.")
    return names
