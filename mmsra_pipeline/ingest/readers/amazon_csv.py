"""Amazon's ratings as CSV: without header (2014, 2018), or the benchmark files of 2023, also with histories."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.ingest.cells import UNITS, TimeReader
from mmsra_pipeline.ingest.column_matching import column_names
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.raw_tables import READ_REVIEWS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.text_reviews import ReviewCells
from mmsra_pipeline.ingest.text_rows import TextRows

HISTORY = "history"
HEADERLESS = {c.USER: "user", c.ITEM: "item", c.RATING: "rating", c.TIME: "timestamp"}
BENCHMARK = {c.USER: "user_id", c.ITEM: "parent_asin", c.RATING: "rating", c.TIME: "timestamp"}


@dataclass(frozen=True)
class CsvForm:
    """How a generation writes ratings."""

    names: tuple[str, ...] | None
    """Columns in their order; None if the file has a header."""
    milliseconds: int
    """In a unit of its times."""


def read_csv_reviews(path: Path, label: str, form: CsvForm, sink: RejectSink, *, history: bool) -> Iterator[pa.Table]:
    """Return tables of ``READ_REVIEWS``.

    Args:
        path: the file.
        label: what rejects call it.
        form: how it is written.
        sink: counts every row and gets the refused ones.
        history: give the items of the column ``history`` too, before the row's own and at its time: files of validation
            and test rows alone have the earlier ones nowhere else.

    Raises:
        DataError: if a column is missing.
    """
    unit = next(unit for unit in UNITS if unit.per_millisecond * form.milliseconds == 1)
    cells = ReviewCells(TimeReader(label, stated=True, unit=unit), label, sink)
    for rows in read_text_rows(path, label, "|", sink, names=form.names):
        own = form.names is not None and rows.header.names == list(form.names)
        stated = BENCHMARK if form.names is None else HEADERLESS if own else {}
        names = column_names(
            rows.header, tuple(BENCHMARK), tuple(BENCHMARK), stated, path, "the data set's YAML",
            lambda text: sink.note(f"{label}: {text}"),
        )  # fmt: skip
        table, places = cells.read(rows, names)
        yield _with_histories(table, rows, places) if history and HISTORY in rows.cells.column_names else table


def _with_histories(table: pa.Table, rows: TextRows, places: list[int]) -> pa.Table:
    histories = rows.cells.column(HISTORY).to_pylist()
    expanded = []
    for review, place in zip(table.to_pylist(), places):
        earlier = (histories[place] or "").split()
        expanded += [{c.USER: review[c.USER], c.ITEM: item, c.TIME: review[c.TIME]} for item in earlier]
        expanded.append(review)
    return pa.Table.from_pylist(expanded, READ_REVIEWS)
