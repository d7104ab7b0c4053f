"""Reader of ``format: tables``: interactions and items in CSV, TSV or Parquet files, pictures in a folder or by URL."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import pyarrow as pa
from pydantic import Field

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import Patterns, SourceFormat
from mmsra_pipeline.config.section import Section
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.cells import TimeReader
from mmsra_pipeline.ingest.column_matching import SYNONYMS, column_names, like
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.dialect import DialectOptions, sniff
from mmsra_pipeline.ingest.ids import NULL_WORDS
from mmsra_pipeline.ingest.marks import Mark, Marks, State, files_behind
from mmsra_pipeline.ingest.raw_tables import ITEM_FIELDS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.source_files import fitting, picture_folder, source_folder
from mmsra_pipeline.ingest.text_reviews import REVIEW_FIELDS, ReviewCells, id_column, typed_items
from mmsra_pipeline.ingest.text_rows import Behind, TextRows

NAMED_FILES = 5


class ColumnNames(Section):
    """What the source calls our columns, or their places from 1 on where it has no header.

    A name that is not set is looked for as it is, then without regard to case, blanks and signs, then as others call
    it.
    """

    user_id: str | int | None = None
    item_id: str | int | None = None
    timestamp: str | int | None = None
    rating: str | int | None = None
    review: str | int | None = None
    title: str | int | None = None
    description: str | int | None = None
    category: str | int | None = None
    tags: str | int | None = None
    image: str | int | None = None


class TablesOptions(DialectOptions):
    """Options of ``format: tables``. Files are relative to ``path``; several are given as a list or a pattern."""

    interactions: Annotated[Patterns, Field(min_length=1)] = ("interactions.csv",)
    items: Annotated[Patterns, Field(min_length=1)] = ("items.csv",)
    images: str = "images"
    """Folder of the pictures; nothing outside it is read as a picture."""
    columns: ColumnNames = ColumnNames()
    item_columns: ColumnNames = ColumnNames()
    """As ``columns``, for the items file alone."""
    item_files: DialectOptions | None = None
    """``delimiter``, ``header``, ``encoding``, ``quote`` and ``decimal`` of the items files, where theirs differ."""
    time_format: str | None = None
    """``day-first``, ``month-first``, ``excel`` (days since 1899-12-30), or a pattern such as '%d.%m.%Y %H:%M'."""
    null_words: tuple[str, ...] = NULL_WORDS
    """Cells that stand for nothing."""
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
        self.image_root = picture_folder(self._home, self._options.images, stated="images" in spec.options, spec=spec)

    def files(self) -> list[Path]:
        """Both tables."""
        return [*self._interactions, *self._items]

    def review_files(self) -> list[tuple[Path, str]]:
        """Return the interactions files and what rejects call them."""
        return [(path, self._label(path)) for path in self._interactions]

    def reviews(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_REVIEWS``.

        Raises:
            DataError: if a file lacks a column that is needed.
        """
        return self.reviews_from(None, Marks(sink), sink)

    def reviews_from(self, begin: Mark | None, marks: Marks, sink: RejectSink) -> Iterator[pa.Table]:
        """Return what ``reviews`` returns behind a mark."""
        stated = self._options.columns.model_dump(exclude_none=True)
        options = self._options
        items = (like(str(stated.get(c.ITEM, c.ITEM))), *SYNONYMS[c.ITEM])
        source = ", ".join(path.name for path in self._interactions[:NAMED_FILES])
        said: list[str] = []  # of times, whose notes name several files

        def say(text: str) -> None:
            if text not in said:
                said.append(text)
            sink.note(f"{source}: {text}")

        def state() -> dict[str, Any]:
            return {"source": source, "said": list(said), "times": times.state()}

        times = TimeReader(source, form=options.time_format, decimal=options.decimal, say=say)
        if begin is not None:
            said += begin.state["said"]
            times.go_on(begin.state["times"])
            sink.rename({f"{begin.state['source']}: {text}": f"{source}: {text}" for text in said})
        for path, label in self._present(self._interactions, sink, begin):
            cells = ReviewCells(times, label, sink, options.null_words, options.decimal)
            behind = None
            if begin is not None and begin.label == label:
                cells.go_on(begin.state["cells"])
                behind = _behind(begin)
            for rows in self._rows(path, label, sink, self._options, stated, items, behind):
                names = column_names(
                    rows.header, REVIEW_FIELDS, (c.USER, c.ITEM), stated, path, self._where, _said(label, sink)
                )
                yield cells.read(rows, names)[0]
                if rows.behind is not None:
                    marks.note(label, rows.behind.place, partial(_within, state, cells, rows.behind))
            marks.end(label, state)

    def goes_on(self, mark: Mark) -> bool:
        """Whether the file is written as it was: how, is seen in its first megabyte, and that may be new in part."""
        behind = _behind(mark)
        if behind is None:
            return True
        path = next(path for path, label in self.review_files() if label == mark.label)
        stated = self._options.columns.model_dump(exclude_none=True).values()
        try:
            return behind.dialect == repr(sniff(path, self._options, None, [str(name) for name in stated]))
        except DataError:  # reading all of it says so
            return False

    def items(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_ITEMS``.

        Raises:
            DataError: if a file lacks a column that is needed.
        """
        own = self._options.item_columns.model_dump(exclude_none=True)
        stated = self._options.columns.model_dump(exclude_none=True) | own
        options = self._options.item_files or self._options
        separator, words = self._options.list_separator, self._options.null_words
        # Not said among the reviews: what marks there carry depends on the files of reviews alone.
        if self.image_root is not None and self.image_root.name != Path(self._options.images).name:
            sink.note(f"the folder {self.image_root.name} is read as that of the pictures")
        for path, label in self._present(self._items, sink):
            ids = id_column(c.ITEM, label, sink)
            for rows in self._rows(path, label, sink, options, stated):
                names = column_names(rows.header, ITEM_FIELDS, (c.ITEM,), stated, path, self._where, _said(label, sink))
                yield typed_items(rows, names, ids, label, sink, separator, words)

    def _label(self, path: Path) -> str:
        return path.relative_to(self._home).as_posix()

    def _present(
        self, paths: Sequence[Path], sink: RejectSink, begin: Mark | None = None
    ) -> Iterator[tuple[Path, str]]:
        """Return files and what rejects call them; of several, those that hold nothing are passed over."""
        for path, label in files_behind([(path, self._label(path)) for path in paths], begin):
            if len(paths) > 1 and not path.stat().st_size:
                sink.note(f"{label}: is empty")
            else:
                yield path, label

    def _rows(
        self,
        path: Path,
        label: str,
        sink: RejectSink,
        options: DialectOptions,
        stated: Mapping[str, str | int],
        apart: Sequence[str] = (),
        behind: Behind | None = None,
    ) -> Iterator[TextRows]:
        names = [str(name) for name in stated.values()]
        separator = self._options.list_separator
        return read_text_rows(path, label, separator, sink, options=options, stated=names, apart=apart, behind=behind)


def _within(state: State, cells: ReviewCells, behind: Behind) -> dict[str, Any]:
    """Return what is known within a file."""
    return {**state(), "cells": cells.state(), "dialect": behind.dialect, "records": behind.state()}


def _behind(mark: Mark) -> Behind | None:
    known = mark.state
    return Behind(mark.place, known["dialect"], lambda: known["records"]) if mark.place else None


def _said(label: str, sink: RejectSink) -> Callable[[str], None]:
    return lambda text: sink.note(f"{label}: {text}")


FORMATS: Final = (SourceFormat("tables", TablesOptions, TablesReader),)
