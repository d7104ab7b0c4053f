"""Table slices in Parquet, and a DuckDB catalog of views over them.

DuckDB lets one process write a database file and shuts all others out meanwhile, so no table lives in one. A slice is
``<table>/<dataset>/<version>.parquet``; its pointer file ``current`` names the version that readers see. Everything is
written beside its place, synced and renamed, so that a reader sees the old slice or the new one, and so does whoever
starts again after a kill.
"""

import contextlib
import fcntl
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.files import clean_name, sweep, sync_folder, temporary, temporary_folder, write_atomically
from mmsra_pipeline.table_writer import TableWriter, as_table

CATALOG = "catalog.duckdb"
PINNED = "pinned"
KEPT_VERSIONS = 3  # a reader that holds an old catalog can still finish its query


@dataclass(frozen=True)
class Slice:
    """One version of the rows of one table and dataset."""

    table: str
    dataset: str
    version: str
    rows: int
    path: Path


class SliceWriter(TableWriter):
    """Takes the rows of a slice; ``slice`` is there once the block of ``Store.writer`` has ended."""

    slice: Slice


class Store:
    """Reads and replaces the slices below ``root``."""

    def __init__(self, root: Path, *, memory_limit: str = "4GB", threads: int = 2) -> None:
        self.root = root
        self._memory_limit = memory_limit
        self._threads = threads

    def replace(self, table: str, dataset: str, rows: pd.DataFrame | pa.Table) -> Slice:
        """Make ``rows`` the slice that readers see from now on.

        The version is a hash of schema and content, so the same rows in the same order give the same version.
        """
        table_rows = as_table(rows)
        with self.writer(table, dataset, table_rows.schema) as writing:
            writing.write(table_rows)
        return writing.slice

    @contextlib.contextmanager
    def writer(self, table: str, dataset: str, schema: pa.Schema) -> Iterator["SliceWriter"]:
        """Take rows in batches; when the block ends without an error they are the slice that readers see.

        The version is a hash of schema and content, so the same rows in the same order give the same version.
        """
        folder = self._folder(table, dataset)
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        beside = temporary(folder)
        writing = SliceWriter(beside, schema)
        try:
            yield writing
            version = writing.close()
            path = folder / f"{version}.parquet"
            beside.replace(path)
            sync_folder(folder)
            pointer = {"version": version, "rows": writing.rows}
            write_atomically(folder / "current", json.dumps(pointer).encode())
            writing.slice = Slice(table, dataset, version, writing.rows, path)
        finally:
            writing.abandon()
            beside.unlink(missing_ok=True)
        self._drop_old_versions(folder, version)
        self.refresh_catalog()

    def current(self, table: str, dataset: str) -> Slice:
        """Give the slice that readers see.

        Raises:
            MissingInputError: if the table was never written for this dataset.
        """
        pointer = self._folder(table, dataset) / "current"
        try:
            found = json.loads(pointer.read_text())
        except FileNotFoundError:
            raise MissingInputError(
                f"table {table!r} has no rows of dataset {dataset!r} in {self.root}. "
                f"Run `mmsra refresh --dataset {dataset}`, or materialize the asset that writes it in the Dagster UI."
            ) from None
        path = pointer.parent / f"{found['version']}.parquet"
        return Slice(table, dataset, found["version"], found["rows"], path)

    def has(self, table: str, dataset: str) -> bool:
        """Whether the table was ever written for this dataset."""
        return (self._folder(table, dataset) / "current").is_file()

    def versions(self, table: str, dataset: str) -> list[Path]:
        """Give the files of all versions that are still there, the newest first."""
        found = self._folder(table, dataset).glob("*.parquet")
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def pin(self, table: str, dataset: str, versions: Collection[str]) -> None:
        """Keep these versions too, until others are named."""
        if set(versions) != self.pinned(table, dataset):
            write_atomically(self._folder(table, dataset) / PINNED, json.dumps(sorted(versions)).encode())

    def pinned(self, table: str, dataset: str) -> set[str]:
        """Give the versions that are kept because something was made of them."""
        try:
            return set(json.loads((self._folder(table, dataset) / PINNED).read_text()))
        except FileNotFoundError:
            return set()

    def read(self, table: str, dataset: str) -> pd.DataFrame:
        """Give all rows of a slice. List columns come as numpy arrays."""
        frame: pd.DataFrame = self.read_arrow(table, dataset).to_pandas()
        return frame

    def read_arrow(self, table: str, dataset: str) -> pa.Table:
        """Give all rows of a slice as an Arrow table."""
        return pq.read_table(self.current(table, dataset).path, partitioning=None)

    def datasets(self, table: str) -> list[str]:
        """The datasets that have a slice of this table, in order of name."""
        return sorted(path.parent.name for path in (self.root / table).glob("*/current"))

    def remove(self, dataset: str) -> list[str]:
        """Drop all slices of a dataset and give the tables that lost one."""
        lost = []
        for pointer in sorted(self.root.glob(f"*/{clean_name(dataset)}/current")):
            lost.append(pointer.parent.parent.name)
            pointer.unlink()  # first, so that no reader finds a pointer to a file that is gone
            for path in pointer.parent.iterdir():
                path.unlink()
            pointer.parent.rmdir()
        self.refresh_catalog()
        return lost

    @contextlib.contextmanager
    def duckdb(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an in-memory DuckDB for relational work, bounded in memory and threads."""
        with temporary_folder(self.root) as spill:
            settings: dict[str, str | bool | int | float | list[str]] = {
                "memory_limit": self._memory_limit,
                "threads": self._threads,
                "temp_directory": str(spill),
            }
            with duckdb.connect(config=settings) as connection:
                # Under `python -c` and in notebooks it would be printed, among what a command prints.
                connection.execute("set enable_progress_bar = false")
                yield connection

    def refresh_catalog(self) -> None:
        """Rebuild ``catalog.duckdb``: one view a table, over the current slices of all datasets."""
        with _locked(self._made_root() / ".catalog.lock"):
            sweep(self.root)
            building = temporary(self.root)
            with duckdb.connect(str(building)) as connection:
                for folder in sorted(path for path in self.root.iterdir() if path.is_dir() and path.name[0] != "."):
                    slices = [self.current(folder.name, dataset) for dataset in self.datasets(folder.name)]
                    if slices:
                        connection.execute(_view(folder.name, slices))
            building.replace(self.root / CATALOG)

    def _made_root(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        return self.root

    def _folder(self, table: str, dataset: str) -> Path:
        return self.root / clean_name(table) / clean_name(dataset)

    def _drop_old_versions(self, folder: Path, current: str) -> None:
        kept = {current} | self.pinned(folder.parent.name, folder.name)
        for path in self.versions(folder.parent.name, folder.name)[KEPT_VERSIONS:]:
            if path.stem not in kept:
                path.unlink(missing_ok=True)


def _view(table: str, slices: list[Slice]) -> str:
    parts = [
        f"select {_quoted(part.dataset)} as dataset, * "
        f"from read_parquet({_quoted(str(part.path))}, hive_partitioning=false)"
        for part in slices
    ]
    return f'create view "{table}" as ' + " union all by name ".join(parts)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
