"""Table slices in Parquet, and a DuckDB catalog of views over them.

DuckDB lets one process write a database file and shuts all others out meanwhile, so no table lives in one. A slice is
``<table>/<dataset>/<version>.parquet``; its pointer file ``current`` names the version that readers see. Everything is
written beside its place, synced and renamed, so that a reader sees the old slice or the new one, and so does whoever
starts again after a kill. A slice that is only staged lies there too, and no pointer names it: it waits for its checks.

Where the root mirrors an object store, rows go there first and the pointer last, and readers ask there for the pointer.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.storage.catalog import replace_catalog
from mmsra_pipeline.storage.files import clean_name, sweep, sync_folder, temporary, temporary_folder
from mmsra_pipeline.storage.mirror import NOTHING, Entry, Remote
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.slices import POINTER, Slice, SliceWriter, slice_of
from mmsra_pipeline.storage.table_writer import as_table

PINNED = "pinned"
KEPT_VERSIONS = 3  # a reader that holds an old catalog can still finish its query
YOUNG_SECONDS = 3600  # of an object: another machine may have put it and be about to point to it
TRIES = 3  # to read a pointer and bring its rows, which may have been replaced and dropped meanwhile


class Store:
    """Reads and replaces the slices below ``root``."""

    def __init__(
        self, root: Path, *, remote: Remote = NOTHING, memory_limit: str = "4GB", threads: int | None = 2
    ) -> None:
        """Bind a folder. ``memory_limit`` and ``threads`` are DuckDB's; None: as many as there are processors."""
        self.root = root
        self._remote = remote
        self._memory_limit = memory_limit
        self._threads = threads or len(os.sched_getaffinity(0))

    @classmethod
    def of(cls, paths: Paths, *, memory_limit: str = "4GB", threads: int | None = 2) -> "Store":
        """Return the tables of an installation."""
        return cls(paths.data, remote=paths.remote, memory_limit=memory_limit, threads=threads)

    def replace(self, table: str, dataset: str, rows: pd.DataFrame | pa.Table) -> Slice:
        """Make ``rows`` the slice that readers see from now on.

        The version is a hash of schema and content, so the same rows in the same order give the same version.
        """
        table_rows = as_table(rows)
        with self.writer(table, dataset, table_rows.schema) as writing:
            writing.write(table_rows)
        return writing.slice

    @contextlib.contextmanager
    def writer(self, table: str, dataset: str, schema: pa.Schema) -> Iterator[SliceWriter]:
        """Take rows in batches; when the block ends without an error they are the slice that readers see.

        The version is a hash of schema and content, so the same rows in the same order give the same version.
        """
        with self.staging(table, dataset, schema) as writing:
            yield writing
        self.publish([writing.slice])

    @contextlib.contextmanager
    def staging(
        self, table: str, dataset: str, schema: pa.Schema, opened: Callable[..., SliceWriter] = SliceWriter
    ) -> Iterator[SliceWriter]:
        """Take rows as ``writer`` does, but leave readers the slice that they see: ``publish`` gives them the new one.

        A slice that is never published goes as old versions go. ``opened`` makes the writer of a file and a schema.
        """
        folder = self._folder(table, dataset)
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        beside = temporary(folder)
        writing = opened(beside, schema)
        try:
            yield writing
            version = writing.close()
            path = folder / f"{version}.parquet"
            beside.replace(path)
            sync_folder(folder)
            self._remote.push(path)
            writing.slice = Slice(table, dataset, version, writing.rows, path)
        finally:
            writing.abandon()
            beside.unlink(missing_ok=True)
        self._drop_old_versions(folder, version)

    def publish(self, staged: Sequence[Slice]) -> None:
        """Make staged slices those that readers see, one directly after the other, in this order.

        Raises:
            MissingInputError: if one is gone; then none is published.
        """
        for one in staged:
            if not (self._remote.fetch(one.path) and one.path.is_file()):
                raise MissingInputError(f"{one.path} is gone before its rows were published. Materialize it again.")
        for one in staged:
            self._remote.write(one.pointer, one.pointed())
        self.refresh_catalog()

    def current(self, table: str, dataset: str) -> Slice:
        """Return the slice that readers see.

        Raises:
            MissingInputError: if the table was never published for this dataset.
        """
        for _ in range(TRIES):
            found = self._pointer(table, dataset)
            if found is None:
                break
            if self._bring(found.path):
                return found
        raise MissingInputError(
            f"table {table!r} has no rows of dataset {dataset!r} in {self._remote.address(self.root)}. "
            f"{self._refused(table, dataset)}"
            f"Run `mmsra refresh --dataset {dataset}`, or materialize the asset that writes it in the Dagster UI."
        )

    def has(self, table: str, dataset: str) -> bool:
        """Whether the table was ever published for this dataset."""
        return self._pointer(table, dataset) is not None

    def versions(self, table: str, dataset: str) -> list[Entry]:
        """Return the files of all versions that are still there, the newest first. They need not lie here yet."""
        found = self._remote.find(self._folder(table, dataset), "*.parquet")
        return sorted(found, key=lambda entry: entry.changed, reverse=True)

    def needed(self, table: str, dataset: str) -> set[str]:
        """Return the versions that must stay: the current one, and those that are pinned."""
        found = self._pointer(table, dataset)
        return self.pinned(table, dataset) | ({found.version} if found else set())

    def version(self, table: str, dataset: str, version: str) -> Path | None:
        """Return the file of a version, old or current; None if it is not there any more."""
        path = self._folder(table, dataset) / f"{clean_name(version)}.parquet"
        return path if self._bring(path) and path.is_file() else None

    def pin(self, table: str, dataset: str, versions: Collection[str]) -> None:
        """Keep these versions too, until others are named."""
        if set(versions) != self.pinned(table, dataset):
            self._remote.write(self._folder(table, dataset) / PINNED, json.dumps(sorted(versions)).encode())

    def pinned(self, table: str, dataset: str) -> set[str]:
        """Return the versions that are kept because something was made of them."""
        return set(json.loads(self._remote.read(self._folder(table, dataset) / PINNED) or b"[]"))

    def read(self, table: str, dataset: str) -> pd.DataFrame:
        """Return all rows of a slice. List columns come as numpy arrays."""
        return self.current(table, dataset).read()

    def read_arrow(self, table: str, dataset: str) -> pa.Table:
        """Return all rows of a slice as an Arrow table."""
        return self.current(table, dataset).read_arrow()

    def datasets(self, table: str) -> list[str]:
        """The datasets that have a slice of this table, in order of name."""
        return [entry.path.parent.name for entry in self._remote.find(self.root / table, f"*/{POINTER}")]

    def tables(self, dataset: str) -> list[str]:
        """The tables that have a slice of this dataset, in order of name."""
        return [entry.path.parent.parent.name for entry in self._remote.find(self.root, f"*/{dataset}/{POINTER}")]

    def remove(self, dataset: str) -> list[str]:
        """Drop all slices of a dataset, staged ones too, and give the tables that lost one."""
        files = self._remote.find(self.root, f"*/{clean_name(dataset)}/*")
        lost = sorted({entry.path.parent.parent.name for entry in files if entry.path.parent.parent.name[0] != "."})
        for table in lost:
            folder = self._folder(table, dataset)
            for path in (folder / POINTER, folder):  # no reader shall find a pointer to a file that is gone
                self._remote.delete(path)
            (folder / POINTER).unlink(missing_ok=True)
            if folder.is_dir():  # what was never wanted does not lie here
                shutil.rmtree(folder)
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
        """Rebuild ``catalog.duckdb``: one view a table, over the current slices of all datasets that lie here."""
        replace_catalog(self.root, self._here)

    def _folder(self, table: str, dataset: str) -> Path:
        return self.root / clean_name(table) / clean_name(dataset)

    def _pointer(self, table: str, dataset: str) -> Slice | None:
        """Return the current slice; with an object store its rows need not lie here yet."""
        path = self._folder(table, dataset) / POINTER
        content = self._remote.read(path)
        return None if content is None else slice_of(path, content)

    def _refused(self, table: str, dataset: str) -> str:
        """Tell a table whose rows were never published from one that was never made."""
        if self.has(table, dataset) or not (stored := self.versions(table, dataset)):
            return ""
        return f"Rows were made, but not published: see the failed checks of the asset; they lie in {stored[0].path}. "

    def _here(self, table: str) -> dict[str, Path]:
        """Return the files of the current slices, by dataset, as far as this machine knows and has them."""
        pointers = sorted((self.root / table).glob(f"*/{POINTER}"))
        slices = [slice_of(pointer, content) for pointer in pointers if (content := NOTHING.read(pointer)) is not None]
        return {part.dataset: part.path for part in slices if part.path.is_file() or not self._remote.is_store}

    def _bring(self, path: Path) -> bool:
        new = self._remote.is_store and not path.is_file()
        if (there := self._remote.fetch(path)) and new:
            self.refresh_catalog()
        return there

    def _drop_old_versions(self, folder: Path, current: str) -> None:
        table, dataset = folder.parent.name, folder.name
        old = [entry for entry in self.versions(table, dataset)[KEPT_VERSIONS:] if entry.path.stem != current]
        if self._remote.is_store:
            old = [entry for entry in old if entry.changed < time.time() - YOUNG_SECONDS]
        kept = self.needed(table, dataset) if old else set()
        for entry in old:
            if entry.path.stem not in kept:
                self._remote.delete(entry.path)
                entry.path.unlink(missing_ok=True)
