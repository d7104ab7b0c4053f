"""Writes the rows of one table batch by batch, in memory that does not grow with the table.

Rows are cut into groups of ``GROUP_ROWS``, whatever batches they come in, so that file and hash tell the content alone.
"""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmsra_pipeline.storage.hashing import Digest, running_hash

GROUP_ROWS = 32_768  # while a group is written its rows are in memory, and who makes them has to wait
HEAD_ROWS = 5


class TableWriter:
    """Appends rows to a Parquet file that is complete only after ``close``."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self.head = schema.empty_table()
        """The first rows, to be shown."""
        self._schema = schema.remove_metadata()
        self._digest = running_hash(str(self._schema).encode())
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._handle = path.open("wb")
        self._sink = pa.PythonFile(self._handle, mode="w")
        self._parquet = pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def write(self, rows: pa.Table | pa.RecordBatch | pd.DataFrame) -> None:
        """Append rows, whose columns and types must be those of the schema.

        Raises:
            pyarrow.ArrowInvalid: if they are not.
        """
        for batch in as_table(rows, self._schema).to_batches():
            if self.head.num_rows < HEAD_ROWS:
                self.head = pa.concat_tables([self.head, pa.Table.from_batches([batch])]).slice(0, HEAD_ROWS)
            self._pending.append(batch)
            self._pending_rows += batch.num_rows
            while self._pending_rows >= GROUP_ROWS:
                self._write_group(GROUP_ROWS)

    def close(self) -> str:
        """Write what is left, bring it to the disk, and give the hash of schema and rows."""
        self._write_rest()
        self._parquet.close()
        self._sync()
        return self._digest.hexdigest()[:16]

    def _write_rest(self) -> None:
        if self._pending_rows:
            self._write_group(self._pending_rows)

    def _sync(self) -> None:
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self._handle.close()

    def abandon(self) -> None:
        """Close the file as it is; after ``close`` nothing is left to do."""
        with contextlib.suppress(OSError, ValueError):  # the disk may be full, and the file is thrown away
            self._parquet.close()
        with contextlib.suppress(OSError):
            self._handle.close()

    def _write_group(self, count: int) -> None:
        table = pa.Table.from_batches(self._pending, self._schema)
        group = pa.Table.from_batches([_own(table.slice(0, count))], self._schema)
        rest = table.slice(count)
        self._pending, self._pending_rows = rest.to_batches(), rest.num_rows
        self._hash(group)
        self._parquet.write_table(group, row_group_size=count)
        self.rows += count

    def _hash(self, group: pa.Table) -> None:
        with pa.ipc.new_stream(pa.PythonFile(_Digest(self._digest), mode="w"), group.schema) as stream:
            stream.write_table(group)


def as_table(rows: pa.Table | pa.RecordBatch | pd.DataFrame, schema: pa.Schema | None = None) -> pa.Table:
    """Return rows as an Arrow table, of ``schema`` where it is given and without metadata."""
    if isinstance(rows, pd.DataFrame):
        rows = pa.Table.from_pandas(rows, schema, preserve_index=False)
    elif isinstance(rows, pa.RecordBatch):
        rows = pa.Table.from_batches([rows])
    table = rows.replace_schema_metadata(None)
    return table if schema is None or table.schema == schema else table.cast(schema)


def _own(table: pa.Table) -> pa.RecordBatch:
    """Copy rows into one batch that starts at offset 0: how the rows came together must not change its bytes."""
    if table.num_rows == 0:
        return pa.RecordBatch.from_pylist([], table.schema)
    columns = [pa.concat_arrays([*column.chunks, pa.array([], column.type)]) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


class _Digest(io.RawIOBase):
    """Hashes what is written to it."""

    def __init__(self, digest: Digest) -> None:
        self._digest = digest

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._digest.update(content)
        return len(content)
