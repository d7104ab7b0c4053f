"""Metadata of Amazon items as a table: what libraries of data sets write when asked for CSV or Parquet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.containers import PARQUET, begin_of
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.ids import NULL_WORDS
from mmsra_pipeline.ingest.listed_texts import structure
from mmsra_pipeline.ingest.raw_tables import FILE, LINE, READ_ITEMS
from mmsra_pipeline.ingest.readers.amazon_meta import MetaForm, item_key, item_of
from mmsra_pipeline.ingest.rejects import RejectSink

ROWS = 10_000
IDS = ("parent_asin", "asin")


def read_meta_table(path: Path, label: str, form: MetaForm, sink: RejectSink) -> Iterator[pa.Table]:
    """Return tables of ``READ_ITEMS`` of a CSV or Parquet file whose columns are the keys of the metadata.

    Raises:
        DataError: if no column holds the id.
    """
    parquet = begin_of(path, len(PARQUET)) == PARQUET
    key = None
    for lines, rows in _parquet(path, label) if parquet else _delimited(path, label, sink):
        sink.see(len(rows))
        items = []
        for line, row in zip(lines, rows, strict=True):
            key = key or item_key(row, form, label, sink)
            item = item_of(row, form, key)
            if isinstance(item, str):
                sink.refuse(label, line, item, str(row))
            else:
                items.append(item | {FILE: label, LINE: line})
        yield pa.Table.from_pylist(items, READ_ITEMS)


def _parquet(path: Path, label: str) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    try:
        with pq.ParquetFile(path) as file:
            _check(file.schema_arrow.names, path)
            start = 1
            for batch in file.iter_batches(ROWS):
                yield list(range(start, start + batch.num_rows)), batch.to_pylist()
                start += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{label}: not readable as Parquet: {error}. Write the file again.") from None


def _delimited(path: Path, label: str, sink: RejectSink) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    for rows in read_text_rows(path, label, "|", sink):
        _check(rows.header.names, path)
        yield rows.lines, [{name: _value(cell) for name, cell in row.items()} for row in rows.cells.to_pylist()]


def _check(names: list[str], path: Path) -> None:
    if not set(IDS) & set(names):
        raise DataError(
            f"{path}: has no column parent_asin or asin, so it is no metadata of items. Found: {', '.join(names[:20])}."
            " Name the right file in the data set's YAML: `meta: FILE_NAME`."
        )


def _value(cell: str | None) -> Any:
    """Return what a cell holds: a list or dict where it is written as one."""
    if cell is None or cell in NULL_WORDS:
        return None
    return structure(cell) if cell.startswith(("[", "{")) else cell
