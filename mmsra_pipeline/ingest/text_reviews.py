"""Reviews and items out of columns of text."""

import difflib
from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.cells import TimeReader, parse_ratings
from mmsra_pipeline.ingest.raw_tables import FILE, ITEM_FIELDS, LINE, READ_ITEMS, READ_REVIEWS
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.row_checks import Flaw, empty, sound_rows
from mmsra_pipeline.ingest.text_rows import TextRows

NAME_CHARS, SHOWN_NAMES = 60, 40  # a file without a header, or of another kind, may have any
REVIEW_FIELDS = (c.USER, c.ITEM, c.TIME, c.RATING, c.REVIEW)


def typed_reviews(
    rows: TextRows, names: Mapping[str, str], times: TimeReader, label: str, sink: RejectSink
) -> tuple[pa.Table, list[int]]:
    """Return the usable reviews, and their places in ``rows``; the others are refused.

    Args:
        rows: some rows of a file.
        names: their column of each of our fields; a field without one is null.
        times: has read the rows before.
        label: what rejects call the file.
        sink: is told of every row.

    Returns:
        a table of ``READ_REVIEWS``.
    """
    texts = _ours(rows, names, REVIEW_FIELDS)
    read, time_reasons = times.read(texts[c.TIME].to_pandas().astype("str"))
    ratings, rating_reasons = parse_ratings(texts[c.RATING].to_pandas().astype("str"))
    table = pa.table(
        {
            **{name: texts[name] for name in (c.USER, c.ITEM, c.REVIEW)},
            c.TIME: pa.array(read, pa.int64(), from_pandas=True),
            c.RATING: pa.array(ratings, pa.float64(), from_pandas=True),
            LINE: pa.array(rows.lines, pa.int64()),
            "place": pa.array(range(len(rows.lines)), pa.int64()),
        }
    )
    flaws = [empty(table, c.USER), empty(table, c.ITEM), *_told(time_reasons), *_told(rating_reasons)]
    sound = sound_rows(table, flaws, label, rows.text_of, sink)
    return sound.select(READ_REVIEWS.names).cast(READ_REVIEWS), sound.column("place").to_pylist()


def typed_items(rows: TextRows, names: Mapping[str, str], label: str, sink: RejectSink, separator: str) -> pa.Table:
    """Return the items with an id, as ``READ_ITEMS``; the others are refused."""
    texts = _ours(rows, names, ITEM_FIELDS)
    for name in (c.CATEGORY, c.TAGS):
        joined = (None if cell is None else _joined(cell, separator) for cell in texts[name].to_pylist())
        texts[name] = pa.array(list(joined), pa.string())
    table = pa.table({**texts, FILE: pa.repeat(label, len(rows.lines)), LINE: pa.array(rows.lines, pa.int64())})
    return sound_rows(table, [empty(table, c.ITEM)], label, rows.text_of, sink).select(READ_ITEMS.names)


def column_names(
    found: Sequence[str],
    wanted: Sequence[str],
    needed: Sequence[str],
    stated: Mapping[str, str],
    path: object,
    where: str,
) -> dict[str, str]:
    """Return the file's column of each of our fields; of one that is optional, not stated and not there none.

    Args:
        found: the columns of the file.
        wanted: our fields.
        needed: those that must be there.
        stated: what the data set's YAML says the file calls them.
        path: of the file, for the error.
        where: the YAML, for the error.

    Raises:
        DataError: if a column is missing, with the nearest name that is there.
    """
    names = {}
    for name in wanted:
        theirs = stated.get(name, name)
        if theirs in found:
            names[name] = theirs
        elif name in stated or name in needed:
            raise DataError(_missing_column(name, theirs, found, path, where))
    return names


def _missing_column(name: str, theirs: str, found: Sequence[str], path: object, where: str) -> str:
    sought = repr(name) if theirs == name else f"{name!r} (called {theirs!r} under `columns:`)"
    close = difflib.get_close_matches(theirs, [other for other in found if len(other) <= NAME_CHARS], n=1)
    guess = close[0] if close else "THEIR_NAME"
    shown = [other if len(other) <= NAME_CHARS else f"{other[:NAME_CHARS]}…" for other in found[:SHOWN_NAMES]]
    if len(found) > SHOWN_NAMES:
        shown.append(f"and {len(found) - SHOWN_NAMES} more")
    return (
        f"{path}: column {sought} is missing. Found: {', '.join(shown) or 'none'}. "
        f"Say in {where} what the file calls it: `columns: {{{name}: {guess}}}` "
        "(`item_columns:` where the items file calls it otherwise)."
    )


def _ours(rows: TextRows, names: Mapping[str, str], fields: Sequence[str]) -> dict[str, pa.Array]:
    nothing = pa.nulls(len(rows.lines), pa.string())
    return {name: rows.cells.column(names[name]).combine_chunks() if name in names else nothing for name in fields}


def _told(reasons: pd.Series) -> list[Flaw]:
    return [(pa.array(reasons == reason), str(reason)) for reason in reasons.unique() if reason]


def _joined(cell: str, separator: str) -> str:
    return ", ".join(part.strip() for part in cell.split(separator) if part.strip())
