"""Pictures that lie within Parquet files: where each is, and its bytes. Libraries of data sets keep them so."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.storage.hashing import content_hash

REFERENCE = re.compile(r"parquet:([0-9a-f]{64}):(\d{1,15}):([^:\s]+):([^:\s]+)")
TOGETHER = 32 << 20  # bytes of pictures that are read at once, by what the file says of itself
MOST_ROWS = 1000
GROUP_BYTES = 8 << 30  # of a column in one row group; more, and a page of it may not fit into memory
BUFFER = 1 << 20


class Embedded(NamedTuple):
    """The place of a picture within a Parquet file."""

    sha256: str
    """Of its bytes."""
    row: int
    """1-based."""
    file: str
    """Its path below the data set's folder."""
    column: str

    def reference(self) -> str:
        """Return it as the cell of an item's picture."""
        return f"parquet:{self.sha256}:{self.row}:{quote(self.file)}:{quote(self.column)}"


def embedded(cell: str) -> Embedded | None:
    """Return the place that a cell names; None if it names a file or a URL.

    >>> embedded(Embedded("0" * 64, 3, "data/a b.parquet", "image").reference()).file
    'data/a b.parquet'
    """
    found = REFERENCE.fullmatch(cell)
    return Embedded(found[1], int(found[2]), unquote(found[3]), unquote(found[4])) if found else None


def holds_pictures(field: pa.Field) -> bool:
    """Whether the type of a column can hold pictures: bytes, or a struct of bytes and path, or lists of these."""
    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_bytes(kind.field(place).type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def picture_cells(column: pa.Array, lines: Collection[int], file: str, name: str) -> list[str | None]:
    """Return, of each cell, the place of its picture; of one without bytes the path that it names, if any."""
    cells: list[str | None] = []
    for scalar, line in zip(column, lines, strict=True):
        value = _plain(scalar)
        content = picture_bytes(value)
        if content is None:
            cells.append(_path(value))
        else:
            cells.append(Embedded(content_hash(content), int(line), file, name).reference())
    return cells


def picture_bytes(value: Any) -> bytes | None:
    """Return the bytes of a cell's picture, of several the first; None if there are none, or they are a text."""
    if isinstance(value, list):
        return next((found for found in map(picture_bytes, value) if found is not None), None)
    if isinstance(value, dict):
        content = value.get("bytes")
        return content if isinstance(content, bytes) and content else None
    return value if isinstance(value, bytes) and value and not _is_text(value) else None


def rows_of_pictures(path: Path, column: str, rows: Collection[int]) -> Iterator[tuple[int, bytes | None]]:
    """Return the bytes of some rows of a column, in order of the rows; of a row without a picture None.

    Args:
        path: a Parquet file.
        column: its name.
        rows: 1-based; those beyond the file's end are not given.

    Raises:
        DataError: if the file cannot be read.
    """
    wanted = set(rows)
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False) as file:
            start = 1
            for group in range(file.metadata.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                if wanted.isdisjoint(range(start, end)):
                    start = end
                    continue
                for batch in file.iter_batches(rows_at_once(file, group, path), row_groups=[group], columns=[column]):
                    for line, scalar in enumerate(batch.column(column), start=start):
                        if line in wanted:
                            yield line, picture_bytes(_plain(scalar))
                    start += batch.num_rows
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: not readable as Parquet: {error}. Write the file again.") from None


def rows_at_once(file: pq.ParquetFile, group: int, path: Path) -> int:
    """Return how many rows of a group may be in memory together, by the sizes that the file states.

    Raises:
        DataError: if a column of one group is too large to be unpacked.
    """
    found = file.metadata.row_group(group)
    sizes: list[int] = [found.column(place).total_uncompressed_size for place in range(found.num_columns)]
    if max(sizes, default=0) > GROUP_BYTES:
        raise DataError(
            f"{path}: row group {group} holds {max(sizes) >> 20} MiB in one column. Write the file in smaller row "
            "groups, or the pictures as files."
        )
    rows: int = found.num_rows
    return max(1, min(MOST_ROWS, TOGETHER * max(rows, 1) // max(sum(sizes), 1)))


def _plain(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:  # of the path beside the bytes
        return {"bytes": scalar["bytes"].as_py()} if isinstance(scalar, pa.StructScalar) else None


def _path(value: Any) -> str | None:
    if isinstance(value, list):
        return next((path for path in map(_path, value) if path), None)
    if isinstance(value, dict):
        value = value.get("path")
    if isinstance(value, bytes) and _is_text(value):
        value = value.decode()
    return (value.strip() or None) if isinstance(value, str) else None


def _is_text(content: bytes) -> bool:
    """Whether bytes are a name or a URL, as some libraries write texts. No picture is free of NULs and valid UTF-8."""
    if b"\0" in content[:64] or len(content) > 10_000:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
