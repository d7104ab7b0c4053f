"""Slices that mostly grow at their end: a new version takes over the groups of rows that it shares with the old one.

Groups are taken over as the compressed bytes that they are; their digests are known, so nothing of them is read. What
results has the version that writing all rows anew would give: a digest over the digests of the groups.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmsra_pipeline.storage.hashing import joined_hash, running_hash
from mmsra_pipeline.storage.slices import SliceWriter
from mmsra_pipeline.storage.table_writer import GROUP_ROWS, HEAD_ROWS

MAGIC: Final = b"PAR1"
END: Final = 8  # bytes behind the footer: its length, and the magic
COPIED_AT_ONCE: Final = 4 << 20


@dataclass(frozen=True)
class Beginning:
    """The first rows of a slice, with which another begins."""

    path: Path
    """The slice, as a ``GrowingWriter`` wrote it."""
    rows: int
    groups: tuple[str, ...]
    """Digests of all groups of the slice."""


class GrowingWriter(SliceWriter):
    """Takes the rows of a slice behind those with which it begins; ``groups`` are for the ``Beginning`` of the next.

    Raises:
        ValueError: if the old slice has other columns, or fewer rows.
    """

    def __init__(self, path: Path, schema: pa.Schema, beginning: Beginning | None = None) -> None:
        """``beginning``: None if nothing can be taken over."""
        super().__init__(path, schema)
        self.groups: list[str] = []
        """Digests of the groups written so far."""
        self._known: pq.FileMetaData | None = None
        if beginning is not None:
            try:
                self._begin(beginning)
            except BaseException:
                self.abandon()
                raise

    def close(self) -> str:
        """Write what is left, bring it to the disk, and give the hash of schema and rows."""
        self._write_rest()
        data_end = self._handle.tell()
        self._parquet.close()
        if self._known is not None:  # the writer's own footer knows the new groups alone
            self._known.append_row_groups(self._parquet.writer.metadata)
            self._handle.seek(data_end)
            self._handle.truncate()
            self._handle.write(_footer_bytes(self._known))
        self._sync()
        return joined_hash(part.encode() for part in (str(self._schema), *self.groups))[:16]

    def _hash(self, group: pa.Table) -> None:
        self._digest = running_hash()
        super()._hash(_canonical(group))
        self.groups.append(self._digest.hexdigest())

    def _begin(self, beginning: Beginning) -> None:
        """Take over the whole groups of the beginning as they are; the rows behind them come as if they were new."""
        whole, rest = divmod(beginning.rows, GROUP_ROWS)
        with pq.ParquetFile(beginning.path) as old:
            known = old.metadata
            if old.schema_arrow.remove_metadata() != self._schema or known.num_rows < beginning.rows:
                raise ValueError(f"{beginning.path} has not {beginning.rows} rows of {self._schema.names}")
            if whole:
                self.head = _bare(old.read_row_group(0)).slice(0, HEAD_ROWS)
                self._take_over(beginning.path, known, whole)
                self.groups += beginning.groups[:whole]
                self.rows += whole * GROUP_ROWS
            if rest:
                self.write(_bare(old.read_row_group(whole)).slice(0, rest))

    def _take_over(self, path: Path, known: pq.FileMetaData, whole: int) -> None:
        """Copy the bytes of the first groups to the places that they had; the magic before them is written already."""
        ends = [begin for group in range(whole, known.num_row_groups) if (begin := _begin_of(known.row_group(group)))]
        with path.open("rb") as old:
            end = min(ends, default=path.stat().st_size - END - known.serialized_size)
            left = end - old.seek(len(MAGIC))
            while left:
                piece = old.read(min(left, COPIED_AT_ONCE))
                if not piece:
                    raise OSError(f"{path} ends before its groups of rows do")
                self._sink.write(piece)  # by the stream that counts the places of the groups to come
                left -= len(piece)
        self._known = _first_groups(path, known, whole)


def _begin_of(group: pq.RowGroupMetaData) -> int:
    """Return the byte at which a group of rows begins; 0 if it has none."""
    columns = [group.column(place) for place in range(group.num_columns)]
    places = [min(filter(None, (one.dictionary_page_offset, one.data_page_offset))) for one in columns]
    return int(min(places, default=0))


def _first_groups(path: Path, known: pq.FileMetaData, whole: int) -> pq.FileMetaData:
    """Return what a footer says of the first groups alone. Arrow joins footers, but does not cut them."""
    if whole == known.num_row_groups:
        return known
    from fastparquet.cencoding import from_buffer

    with path.open("rb") as old:
        old.seek(-END - known.serialized_size, io.SEEK_END)
        footer = from_buffer(old.read(known.serialized_size), "FileMetaData")
    footer.row_groups = footer.row_groups[:whole]
    footer.num_rows = whole * GROUP_ROWS
    content = bytes(footer.to_bytes())
    return pq.read_metadata(io.BytesIO(MAGIC + content + struct.pack("<I", len(content)) + MAGIC))


def _footer_bytes(known: pq.FileMetaData) -> bytes:
    sink = io.BytesIO()
    known.write_metadata_file(sink)
    return sink.getvalue().removeprefix(MAGIC)


def _canonical(group: pa.Table) -> pa.Table:
    """Return rows whose bytes tell the rows alone: behind a null may be anything, and a file does not keep it."""
    columns = {name: group.column(name) for name in group.column_names}
    nulls = {f"{name} is null": pc.is_null(column) for name, column in columns.items() if column.null_count}
    return pa.table({name: pc.fill_null(column, _empty(column.type)) for name, column in columns.items()} | nulls)


def _empty(kind: pa.DataType) -> pa.Scalar:
    return pa.scalar("" if pa.types.is_string(kind) else 0, kind)


def _bare(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)
