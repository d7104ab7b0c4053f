"""Reader of ``format: tables``: interactions and items in CSV, TSV or Parquet files, pictures in a folder or by URL."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.datasets import DatasetSpec, tables_options
from mmsra_pipeline.ingest.cells import TimeReader
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.raw_tables import ITEM_FIELDS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.source_files import fitting, optional_folder, source_folder
from mmsra_pipeline.ingest.text_reviews import REVIEW_FIELDS, column_names, typed_items, typed_reviews


class TablesReader:
    """Reads a data set of ``format: tables``; see ``raw.Reader``.

    Raises:
        MissingInputError: if the folder or a file is not there.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self._options = tables_options(spec)
        self._home = source_folder(spec)
        self._where = str(spec.file or f"the YAML of {spec.name!r}")
        self._interactions = fitting(self._home, self._options.interactions, "interactions", spec)
        self._items = fitting(self._home, self._options.items, "items", spec)
        self.image_root = optional_folder(self._home / self._options.images)

    def files(self) -> list[Path]:
        """Both tables."""
        return [*self._interactions, *self._items]

    def reviews(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_REVIEWS``.

        Raises:
            DataError: if a file lacks a column that is needed.
        """
        stated = self._options.columns.model_dump(exclude_none=True)
        times = TimeReader(", ".join(path.name for path in self._interactions))
        for path in self._interactions:
            label = path.relative_to(self._home).as_posix()
            for rows in read_text_rows(path, label, self._options.list_separator, sink):
                found = rows.cells.column_names
                names = column_names(found, REVIEW_FIELDS, (c.USER, c.ITEM), stated, path, self._where)
                yield typed_reviews(rows, names, times, label, sink)[0]

    def items(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_ITEMS``.

        Raises:
            DataError: if a file lacks a column that is needed.
        """
        stated = self._options.columns.model_copy(update=self._options.item_columns.model_dump(exclude_none=True))
        for path in self._items:
            label = path.relative_to(self._home).as_posix()
            for rows in read_text_rows(path, label, self._options.list_separator, sink):
                found = rows.cells.column_names
                names = column_names(
                    found, ITEM_FIELDS, (c.ITEM,), stated.model_dump(exclude_none=True), path, self._where
                )
                yield typed_items(rows, names, label, sink, self._options.list_separator)
