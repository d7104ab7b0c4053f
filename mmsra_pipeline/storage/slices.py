"""One version of the rows of one table and data set, and the pointer that names the version that readers see."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from mmsra_pipeline.storage.table_writer import TableWriter

POINTER = "current"


@dataclass(frozen=True)
class Slice:
    """One version of the rows of one table and dataset."""

    table: str
    dataset: str
    version: str
    rows: int
    path: Path

    @property
    def pointer(self) -> Path:
        """The file that names the slice that readers see."""
        return self.path.parent / POINTER

    def pointed(self) -> bytes:
        """Return the content of the pointer to this slice."""
        return json.dumps({"version": self.version, "rows": self.rows}).encode()

    def read_arrow(self) -> pa.Table:
        """Return all rows as an Arrow table."""
        return pq.read_table(self.path, partitioning=None)

    def read(self) -> pd.DataFrame:
        """Return all rows. List columns come as numpy arrays."""
        frame: pd.DataFrame = self.read_arrow().to_pandas()
        return frame

    def head(self, count: int) -> pd.DataFrame:
        """Return the first rows, without reading the others."""
        frame: pd.DataFrame = ds.dataset(self.path, format="parquet").head(count).to_pandas()
        return frame

    def where(self, column: str, values: Collection[str]) -> pd.DataFrame:
        """Return the rows that have one of the values in a column of text; only they are held."""
        wanted = ds.field(column).cast(pa.string()).isin(pa.array(sorted(values), pa.string()))
        frame: pd.DataFrame = ds.dataset(self.path, format="parquet").to_table(filter=wanted).to_pandas()
        return frame


class SliceWriter(TableWriter):
    """Takes the rows of a slice; ``slice`` is there once the block of ``Store.writer`` or ``Store.staging`` ended."""

    slice: Slice


def slice_of(pointer: Path, content: bytes) -> Slice:
    """Return the slice that a pointer of that content names."""
    found: dict[str, Any] = json.loads(content)
    path = pointer.parent / f"{found['version']}.parquet"
    return Slice(pointer.parent.parent.name, pointer.parent.name, found["version"], found["rows"], path)
