"""Reviews and items out of columns of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mmsra_pipeline import columns as c
from mmsra_pipeline.ingest.cells import TimeReader, parse_ratings
from mmsra_pipeline.ingest.ids import NULL_WORDS, IdColumn, without_null_words
from mmsra_pipeline.ingest.learning import Learner
from mmsra_pipeline.ingest.listed_texts import is_listed, listed, pictures_named
from mmsra_pipeline.ingest.raw_tables import FILE, ITEM_FIELDS, LINE, READ_ITEMS, READ_REVIEWS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.row_checks import Flaw, empty, sound_rows
from mmsra_pipeline.ingest.text_rows import TextRows

REVIEW_FIELDS = (c.USER, c.ITEM, c.TIME, c.RATING, c.REVIEW)


@dataclass
class ReviewCells(Learner):
    """How the cells of a file's reviews are read; what the first rows showed holds for the later ones."""

    OUTER: ClassVar = frozenset({"times", "sink"})  # they go on from file to file
    times: TimeReader
    label: str
    """What rejects call the file."""
    sink: RejectSink
    """Counts every row and gets the refused ones."""
    null_words: Sequence[str] = NULL_WORDS
    decimal: str | None = None

    def __post_init__(self) -> None:
        self._ids = {name: id_column(name, self.label, self.sink) for name in (c.USER, c.ITEM)}

    def read(self, rows: TextRows, names: Mapping[str, str]) -> tuple[pa.Table, list[int]]:
        """Return the usable reviews, and their places in ``rows``; the others are refused.

        Args:
            rows: some rows of a file.
            names: their column of each of our fields; a field without one is null.

        Returns:
            a table of ``READ_REVIEWS``.
        """
        texts = _ours(rows, names, REVIEW_FIELDS, self.null_words)
        read, time_reasons = self.times.read(texts[c.TIME].to_pandas().astype("str"))
        ratings, rating_reasons = parse_ratings(texts[c.RATING].to_pandas().astype("str"), self.decimal)
        ids = {name: column.read(texts[name], rows.lines) for name, column in self._ids.items()}
        self._ids[c.USER].note_nobody(ids[c.USER][0])
        table = pa.table(
            {
                **{name: cells for name, (cells, _) in ids.items()},
                c.REVIEW: texts[c.REVIEW],
                c.TIME: pa.array(read, pa.int64(), from_pandas=True),
                c.RATING: pa.array(ratings, pa.float64(), from_pandas=True),
                LINE: pa.array(rows.lines, pa.int64()),
                "place": pa.array(range(len(rows.lines)), pa.int64()),
            }
        )
        rounded = [flaw for _, flaw in ids.values()]
        flaws = [empty(table, c.USER), empty(table, c.ITEM), *rounded, *_flaws(time_reasons), *_flaws(rating_reasons)]
        sound = sound_rows(table, flaws, self.label, rows.text_of, self.sink)
        return sound.select(READ_REVIEWS.names).cast(READ_REVIEWS), sound.column("place").to_pylist()


def id_column(name: str, label: str, sink: RejectSink) -> IdColumn:
    """Return what reads a file's column of ids and notes at the sink what is not as usual."""
    return IdColumn(name, label, lambda text: sink.note(f"{label}: {text}"))


def typed_items(
    rows: TextRows,
    names: Mapping[str, str],
    ids: IdColumn,
    label: str,
    sink: RejectSink,
    separator: str,
    null_words: Sequence[str] = NULL_WORDS,
) -> pa.Table:
    """Return the items with an id, as ``READ_ITEMS``; the others are refused."""
    texts = _ours(rows, names, ITEM_FIELDS, null_words)
    texts[c.ITEM], rounded = ids.read(texts[c.ITEM], rows.lines)
    for name in (c.CATEGORY, c.TAGS):
        joined = (None if cell is None else ", ".join(listed(cell, separator)) for cell in texts[name].to_pylist())
        texts[name] = pa.array(list(joined), pa.string())
    for name in (c.TITLE, c.DESCRIPTION):
        texts[name] = _unlisted(texts[name])
    texts[c.IMAGE] = pa.array(list(map(pictures_named, texts[c.IMAGE].to_pylist())), pa.string())
    table = pa.table({**texts, FILE: pa.repeat(label, len(rows.lines)), LINE: pa.array(rows.lines, pa.int64())})
    return sound_rows(table, [empty(table, c.ITEM), rounded], label, rows.text_of, sink).select(READ_ITEMS.names)


def _unlisted(cells: pa.Array) -> pa.Array:
    """Return texts, those that are written as lists joined by blanks."""
    if not pc.any(pc.starts_with(cells, "[")).as_py():
        return cells
    joined = (cell if cell is None or not is_listed(cell) else " ".join(listed(cell, "")) for cell in cells.to_pylist())
    return pa.array([cell or None for cell in joined], pa.string())


def _ours(
    rows: TextRows, names: Mapping[str, str], fields: Sequence[str], null_words: Sequence[str]
) -> dict[str, pa.Array]:
    nothing = pa.nulls(len(rows.lines), pa.string())
    return {
        name: without_null_words(rows.cells.column(names[name]).combine_chunks(), null_words)
        if name in names
        else nothing
        for name in fields
    }


def _flaws(reasons: pd.Series) -> list[Flaw]:
    return [(pa.array(reasons == reason), str(reason)) for reason in reasons.unique() if reason]
