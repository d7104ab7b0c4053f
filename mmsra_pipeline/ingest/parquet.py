"""Rows of Parquet files as text, as a CSV would hold them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmsra_pipeline.columns import IMAGE, ITEM, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.column_matching import SYNONYMS, is_known, like
from mmsra_pipeline.ingest.embedded_pictures import BUFFER, holds_pictures, picture_cells, rows_at_once
from mmsra_pipeline.ingest.listed_texts import named
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.text_rows import TextRows, checked_header, of_text

CHUNK_ROWS = 50_000
FOREIGN = "\udcff"  # stands for a cell of Parquet that is not valid UTF-8; no such cell can say so


def parquet_rows(
    path: Path,
    label: str,
    list_separator: str,
    sink: RejectSink,
    *,
    stated: Sequence[str] = (),
    apart: Sequence[str] = (),
) -> Iterator[TextRows]:
    """Return the rows in chunks, at least one; those with bytes that are no UTF-8 are refused.

    Args:
        path: the file.
        label: what rejects call it.
        list_separator: goes between the entries of lists.
        sink: gets refused rows.
        stated: what the YAML says the file calls columns.
        apart: columns that, where they are lists, hold one row an entry, with the other lists of the row beside them.

    Raises:
        DataError: if the file is no Parquet.
    """
    try:
        with pq.ParquetFile(path) as file:
            header = checked_header(list(file.schema_arrow.names), path)
            start = 1
            pictures = [field.name for field in file.schema_arrow if _holds_pictures(field, stated)]
            for name in pictures:
                sink.note(
                    f"{label}: column {name!r} holds pictures themselves; they are checked and stored as files are"
                )
            for field in file.schema_arrow:
                if field.name not in pictures and is_known(field.name) and _is_object(field.type):
                    sink.note(
                        f"{label}: column {field.name!r} holds structs and is not read; write what counts as text"
                    )
            exact = {name for name in file.schema_arrow.names if like(name) in {*SYNONYMS[USER], *SYNONYMS[ITEM]}}
            lists = _lists(file.schema_arrow, apart)
            if lists:
                sink.note(f"{label}: {', '.join(lists)} are lists; each entry is read as a row of its own")
            for batch in _batches(file, path, sparing=bool(pictures)):
                lines = np.arange(start, start + batch.num_rows)
                start += batch.num_rows
                if lists:
                    batch, lines = _entries(batch, lists, lines, label, sink)
                columns = [
                    picture_cells(column, lines, label, name)
                    if name in pictures
                    else _as_text(column, list_separator, exact=name in exact)
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                ]
                foreign = {row for column in columns for row, text in enumerate(column) if text == FOREIGN}
                for row in sorted(foreign):
                    sink.see(1)
                    line = ",".join(column[row] or "" for column in columns)
                    sink.refuse(label, int(lines[row]), "is not valid UTF-8; write the text as UTF-8", line)
                rows = [row for row in range(batch.num_rows) if row not in foreign]
                cells = [[column[row] for row in rows] for column in columns]
                yield TextRows(of_text(cells, header.names), lines[rows].tolist(), header)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as Parquet: {error}. Write the file again, or name a CSV.") from None


def _batches(file: pq.ParquetFile, path: Path, *, sparing: bool) -> Iterator[pa.RecordBatch]:
    """Return the rows, at least one batch; where they hold pictures, few at once."""
    if not file.metadata.num_rows:
        yield pa.RecordBatch.from_pylist([], file.schema_arrow)
    elif not sparing:
        yield from file.iter_batches(CHUNK_ROWS)
    else:
        with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as again:
            for group in range(again.metadata.num_row_groups):
                yield from again.iter_batches(rows_at_once(again, group, path), row_groups=[group])


def _is_object(kind: pa.DataType) -> bool:
    return bool(pa.types.is_map(kind) or (pa.types.is_struct(kind) and kind.get_field_index("path") < 0))


def _holds_pictures(field: pa.Field, stated: Sequence[str]) -> bool:
    return holds_pictures(field) and (like(field.name) in SYNONYMS[IMAGE] or field.name in stated)


def _lists(schema: pa.Schema, apart: Sequence[str]) -> list[str]:
    """Return the columns that are lists, if one of ``apart`` is."""
    found = [field.name for field in schema if pa.types.is_list(field.type) or pa.types.is_large_list(field.type)]
    return found if any(like(name) in apart for name in found) else []


def _entries(
    batch: pa.RecordBatch, lists: Sequence[str], lines: np.ndarray, label: str, sink: RejectSink
) -> tuple[pa.RecordBatch, np.ndarray]:
    """Return one row an entry of the lists; rows whose lists are not of one length are refused."""
    lengths = [pc.fill_null(pc.list_value_length(batch.column(name)), 0) for name in lists]
    same = np.logical_and.reduce([lengths[0].to_numpy() == other.to_numpy() for other in lengths])
    for row in np.flatnonzero(~same).tolist():
        sink.see(1)
        sizes = ", ".join(f"{name}: {length[row].as_py()}" for name, length in zip(lists, lengths, strict=True))
        sink.refuse(
            label, int(lines[row]), f"its lists have different lengths ({sizes}); write one row an entry", sizes
        )
    kept = batch.filter(pa.array(same))
    place = np.repeat(np.arange(kept.num_rows), lengths[0].filter(pa.array(same)).to_numpy())
    columns = [
        pc.list_flatten(column) if name in lists else column.take(pa.array(place))
        for name, column in zip(kept.schema.names, kept.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=kept.schema.names), lines[same][place]


def _as_text(column: pa.Array | pa.ChunkedArray, list_separator: str, *, exact: bool = False) -> list[str | None]:
    """Text as a CSV would hold it; whole numbers lose the '.0' that a null beside them gave them.

    ``exact``: floats that are too large to be exact, as ids must be, stay in scientific notation.
    """
    kind = column.type
    values: Iterable[str | None]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = [_listed(row, list_separator) for row in _values(column)]
    elif pa.types.is_floating(kind):
        values = (_rounded(value) if exact else _number(value) for value in column.to_pylist())
    elif _is_bytes(kind):
        cells = column.to_pylist()
        values = [_decoded(cell) for cell in cells]
        if exact and any(value is None and cell for value, cell in zip(values, cells, strict=True)):
            values = [cell.hex() if cell else None for cell in cells]  # ids such as a UUID of 16 bytes
    elif pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:  # of what is no picture of an item
        return _as_text(pc.struct_field(column, "path"), list_separator)
    elif pa.types.is_nested(kind):
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


def _decoded(value: bytes | None) -> str | None:
    """Return the text of bytes, as some libraries write texts; none of those that are no UTF-8."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _listed(entries: Any, separator: str) -> str | None:
    if entries is None or entries == FOREIGN:
        return FOREIGN if entries else None
    return separator.join(named(entry) for entry in entries if entry is not None)


def _is_bytes(kind: pa.DataType) -> bool:
    of_any_size = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return bool(of_any_size or pa.types.is_fixed_size_binary(kind))


def _rounded(value: float | None) -> str | None:
    return f"{value:e}" if value is not None and abs(value) >= 2**53 and not pd.isna(value) else _number(value)


def _number(value: float | None) -> str | None:
    if value is None or pd.isna(value):
        return None
    return str(int(value)) if abs(value) < 2**63 and value == value // 1 else repr(value)
