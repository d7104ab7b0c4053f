"""Rows of CSV, TSV and Parquet files as text, with the line where each begins.

One bad line must cost one row. A quote that is never closed would make the csv module swallow the rest of the file, so
a record may span at most ``RECORD_LINES`` lines; else its first line is rejected and reading goes on with the next.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.interactions.rejects import TEXT_CHARS, Reject

RECORD_LINES = 500
LINE = "__line"  # no source calls a column so
csv.field_size_limit(2**31 - 1)  # a record is bounded by its lines


@dataclass(frozen=True)
class TextTable:
    """The well-formed rows of a file: text columns (null where empty) and ``LINE``; and the ill-formed ones."""

    rows: pd.DataFrame
    rejects: list[Reject]

    @property
    def names(self) -> list[str]:
        """The file's own columns."""
        return [name for name in self.rows.columns if name != LINE]


def read_text_table(path: Path, label: str, list_separator: str) -> TextTable:
    """Read a CSV, TSV (by its ending) or Parquet file; ``label`` is what rejects call it.

    Raises:
        MissingInputError: if the file is not there.
        DataError: if it has no header, a repeated column, or is not what its ending says.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there. Put the file there, or correct its name in the dataset's YAML.")
    if path.suffix.lower() in {".parquet", ".pq"}:
        return _read_parquet(path, list_separator)
    return _read_delimited(path, label, "\t" if path.suffix.lower() == ".tsv" else ",")


def read_lines(path: Path) -> list[str]:
    """Lines without their ends; bytes that are no UTF-8 become lone surrogates (see ``is_utf8``).

    Raises:
        DataError: if the file is UTF-16.
    """
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: is UTF-16, not UTF-8. Save it as UTF-8.")
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return [line.removesuffix("\r") for line in text.split("\n")]


def is_utf8(text: str) -> bool:
    """Whether a line of ``read_lines`` was valid UTF-8."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def split_records(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """Give for each record the 1-based line where it begins and its fields; None if its quotes are wrong.

    Empty lines are no records. Quotes follow RFC 4180.
    """
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if not line.strip():
            continue
        if '"' not in line:
            yield start + 1, line.split(delimiter)
            continue
        reader = csv.reader(
            (lines[place] + "\n" for place in range(start, min(start + RECORD_LINES, len(lines)))),
            delimiter=delimiter,
            strict=True,
        )
        try:
            fields = next(reader)
        except csv.Error:
            yield start + 1, None
            continue
        at = start + reader.line_num
        yield start + 1, fields


def _read_delimited(path: Path, label: str, delimiter: str) -> TextTable:
    lines = read_lines(path)
    records = split_records(lines, delimiter)
    _, header = next(records, (0, None))
    if header is None:
        raise DataError(f"{path}: has no header line. Its first line must name the columns.")
    names = _checked_header([name.strip() for name in header], path)
    starts: list[int] = []
    rows: list[list[str]] = []
    rejects: list[Reject] = []
    for start, fields in records:
        reason = _flaw(fields, names)
        if fields is None or reason:
            rejects.append(Reject(label, start, reason, lines[start - 1][:TEXT_CHARS]))
        else:
            starts.append(start)
            rows.append(fields)
    return TextTable(_text_frame(names, rows, starts), rejects)


def _flaw(fields: list[str] | None, names: list[str]) -> str:
    if fields is None:
        return f"a quote is not closed within {RECORD_LINES} lines, or is followed by text"
    if len(fields) != len(names):
        return f"has {len(fields)} fields, the header has {len(names)}"
    if not all(is_utf8(value) for value in fields):
        return "is not valid UTF-8"
    return ""


def _checked_header(names: list[str], path: Path) -> list[str]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{path}: the header names {', '.join(map(repr, repeated))} more than once. Rename one of them."
        )
    return names


def _text_frame(names: list[str], rows: list[list[str]], starts: list[int]) -> pd.DataFrame:
    columns = zip(*rows) if rows else [[] for _ in names]
    table = {
        name: pd.Series([value.strip() or None for value in column], dtype="str")
        for name, column in zip(names, columns)
    }
    return pd.DataFrame({**table, LINE: pd.Series(starts, dtype="int64")})


def _read_parquet(path: Path, list_separator: str) -> TextTable:
    try:
        table = pq.read_table(path, partitioning=None)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not readable as Parquet: {error}. Write the file again, or name a CSV.") from None
    names = _checked_header(table.column_names, path)
    columns = {name: _as_text(table.column(name), list_separator) for name in names}
    frame = pd.DataFrame({**columns, LINE: pd.Series(range(1, table.num_rows + 1), dtype="int64")})
    return TextTable(frame, [])


def _as_text(column: pa.ChunkedArray, list_separator: str) -> pd.Series:
    """Text as a CSV would hold it; whole numbers lose the '.0' that a null beside them gave them."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = [None if row is None else list_separator.join(str(part) for part in row) for row in column.to_pylist()]
    elif pa.types.is_floating(kind):
        values = [None if x is None or x != x else str(int(x)) if x == x // 1 else repr(x) for x in column.to_pylist()]
    elif pa.types.is_struct(kind) or pa.types.is_binary(kind):
        values = [None] * len(column)  # no column of ours; only text, numbers, times and lists can be one
    else:
        values = pc.cast(column, pa.string()).to_pylist()
    return pd.Series([value.strip() or None if value is not None else None for value in values], dtype="str")
