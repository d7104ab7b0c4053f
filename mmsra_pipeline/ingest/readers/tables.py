"""Reader of ``format: tables``: interactions and items in CSV, TSV or Parquet files, pictures in a folder or by URL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
from pydantic import Field

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import Patterns, SourceFormat
from mmsra_pipeline.config.section import Section
from mmsra_pipeline.ingest.cells import TimeReader
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.raw_tables import ITEM_FIELDS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.source_files import fitting, optional_folder, source_folder
from mmsra_pipeline.ingest.text_reviews import REVIEW_FIELDS, column_names, typed_items, typed_reviews


class ColumnNames(Section):
    """What the source calls our columns. A name that is not set is looked for as it is."""

    user_id: str | None = None
    item_id: str | None = None
    timestamp: str | None = None
    rating: str | None = None
    review: str | None = None
    title: str | None = None
    description: str | None = None
    category: str | None = None
    tags: str | None = None
    image: str | None = None


class TablesOptions(Section):
    """Options of ``format: tables``. Files are relative to ``path``; several are given as a list or a pattern."""

    interactions: Annotated[Patterns, Field(min_length=1)] = ("interactions.csv",)
    items: Annotated[Patterns, Field(min_length=1)] = ("items.csv",)
    images: str = "images"
    """Folder of the pictures; nothing outside it is read as a picture."""
    columns: ColumnNames = ColumnNames()
    item_columns: ColumnNames = ColumnNames()
    """As ``columns``, for the items file alone."""
    list_separator: str = Field(default="|", min_length=1)
    """What separates the entries of category and tags."""


class TablesReader:
    """Reads a data set of ``format: tables``; see ``raw.Reader``.

    Raises:
        MissingInputError: if the folder or a file is not there.
    """

    def __init__(self, spec: DatasetSpec) -> None:
        self._options = TablesOptions.model_validate(spec.options)
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


FORMATS: Final = (SourceFormat("tables", TablesOptions, TablesReader),)
