"""Rows of Parquet files as text, as a CSV would hold them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.text_rows import TextRows, checked_header, of_text

CHUNK_ROWS = 50_000
FOREIGN = "\udcff"  # stands for a cell of Parquet that is not valid UTF-8; no such cell can say so


def parquet_rows(path: Path, label: str, list_separator: str, sink: RejectSink) -> Iterator[TextRows]:
    """Return the rows in chunks, at least one; those with bytes that are no UTF-8 are refused.

    Raises:
        DataError: if the file is no Parquet.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = checked_header(list(file.schema_arrow.names), path)
            start, empty = 1, file.schema_arrow.empty_table().to_batches() or [file.schema_arrow.empty_table()]
            for batch in file.iter_batches(CHUNK_ROWS) if file.metadata.num_rows else empty:
                columns = [_as_text(batch.column(name), list_separator) for name in names]
                foreign = {row for column in columns for row, text in enumerate(column) if text == FOREIGN}
                for row in sorted(foreign):
                    sink.see(1)
                    line = ",".join(column[row] or "" for column in columns)
                    sink.refuse(label, start + row, "is not valid UTF-8", line)
                rows = [row for row in range(batch.num_rows) if row not in foreign]
                cells = [[column[row] for row in rows] for column in columns]
                yield TextRows(of_text(cells, names), [start + row for row in rows])
                start += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as Parquet: {error}. Write the file again, or name a CSV.") from None


def _as_text(column: pa.Array | pa.ChunkedArray, list_separator: str) -> list[str | None]:
    """Text as a CSV would hold it; whole numbers lose the '.0' that a null beside them gave them."""
    kind = column.type
    values: Iterable[str | None]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = [_listed(row, list_separator) for row in _values(column)]
    elif pa.types.is_floating(kind):
        values = map(_number, column.to_pylist())
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = [None] * len(column)  # no column of ours; only text, numbers, times and lists can be one
    else:
        values = _values(pc.cast(column, pa.string()))
    return [value.strip() or None if value is not None else None for value in values]


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the cells as Python has them, ``FOREIGN`` for those with bytes that are no UTF-8."""
    try:
        found: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        found = [_value(cell) for cell in column]
    return found


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return FOREIGN


def _listed(entries: Any, separator: str) -> str | None:
    if entries is None or entries == FOREIGN:
        return FOREIGN if entries else None
    return separator.join(str(entry) for entry in entries if entry is not None)


def _number(value: float | None) -> str | None:
    if value is None or pd.isna(value):
        return None
    return str(int(value)) if abs(value) < 2**63 and value == value // 1 else repr(value)
