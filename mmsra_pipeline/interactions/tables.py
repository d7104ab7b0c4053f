"""Reader of ``format: tables``: an interactions file, an items file (CSV, TSV or Parquet) and a folder of pictures."""

import csv
import difflib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mmsra_pipeline import columns as c
from mmsra_pipeline.datasets import ColumnNames, DatasetSpec, tables_options
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.interactions.delimited import LINE, TextTable, read_text_table
from mmsra_pipeline.interactions.pictures import find_images, hash_images
from mmsra_pipeline.interactions.raw import ORDER, RawData, item_table, review_table
from mmsra_pipeline.interactions.rejects import Reject, rejects_table
from mmsra_pipeline.interactions.values import parse_ratings, parse_times

REVIEW_COLUMNS = (c.USER, c.ITEM, c.TIME, c.RATING, c.REVIEW)
ITEM_COLUMNS = (c.ITEM, c.TITLE, c.DESCRIPTION, c.CATEGORY, c.TAGS, c.IMAGE)
logger = logging.getLogger(__name__)


def read_tables(spec: DatasetSpec) -> RawData:
    """Read a data set of ``format: tables``.

    Raises:
        MissingInputError: if the folder or a file is not there.
        DataError: if a file lacks a column that is needed, or has no usable row.
    """
    options = tables_options(spec)
    home = source_folder(spec)
    where = str(spec.file or f"the YAML of {spec.name!r}")
    reviews, bad_reviews = read_reviews(
        home / options.interactions, options.interactions, options.columns, where, options.list_separator
    )
    names = _overridden(options.columns, options.item_columns)
    items, bad_items = read_items(home / options.items, options.items, names, where, options.list_separator)
    root = home / options.images
    image_root = root if root.is_dir() else None
    if items[c.IMAGE].isna().all():
        items[c.IMAGE] = find_images(items[c.ITEM], image_root)
    items[c.IMAGE_HASH] = hash_images(items[c.IMAGE], image_root)
    rejects = rejects_table(bad_reviews + bad_items)
    logger.info("%s: %d reviews, %d items, %d rejected rows", spec.name, len(reviews), len(items), len(rejects))
    return RawData(reviews, items, rejects, image_root)


def tables_files(spec: DatasetSpec) -> list[Path]:
    """All source files of a data set: both tables and every file in the picture folder."""
    options = tables_options(spec)
    home = source_folder(spec)
    images = home / options.images
    pictures = sorted(path for path in images.rglob("*") if path.is_file()) if images.is_dir() else []
    return [home / options.interactions, home / options.items, *pictures]


def source_folder(spec: DatasetSpec) -> Path:
    """Give the folder of the source files.

    Raises:
        MissingInputError: if it is not there.
    """
    if spec.path is None or not spec.path.is_dir():
        raise MissingInputError(
            f"dataset {spec.name!r}: its folder {spec.path} is not there. "
            f"Put the files there, or correct `path:` in {spec.file or 'its YAML'}."
        )
    return spec.path


def read_reviews(
    path: Path, label: str, names: ColumnNames, where: str, list_separator: str = "|"
) -> tuple[pd.DataFrame, list[Reject]]:
    """Read interactions: a table as ``RawData.reviews``, and the rows that cannot be used.

    Raises:
        DataError: if the user or item column is missing, or no row is usable.
    """
    source = read_text_table(path, label, list_separator)
    rows = _renamed(source, REVIEW_COLUMNS, (c.USER, c.ITEM), names, path, where)
    times, time_flaws = parse_times(rows[c.TIME])
    ratings, rating_flaws = parse_ratings(rows[c.RATING])
    reason = _first_reason(_empty(rows[c.USER], c.USER), _empty(rows[c.ITEM], c.ITEM), time_flaws, rating_flaws)
    rows[c.TIME], rows[c.RATING], rows[ORDER] = times, ratings, range(len(rows))
    kept = rows[reason == ""]
    if kept.empty:
        raise DataError(f"{path}: has no usable row.{_example(source, reason, label)} Mend the file.")
    return review_table(kept), source.rejects + _rejected(source, reason, label)


def read_items(
    path: Path, label: str, names: ColumnNames, where: str, list_separator: str = "|"
) -> tuple[pd.DataFrame, list[Reject]]:
    """Read items: a table as ``RawData.items`` without hashes, and the rows that cannot be used.

    Of several rows with one id the first is kept.

    Raises:
        DataError: if the item column is missing.
    """
    source = read_text_table(path, label, list_separator)
    rows = _renamed(source, ITEM_COLUMNS, (c.ITEM,), names, path, where)
    repeated = rows[c.ITEM].notna() & rows[c.ITEM].duplicated()
    again = pd.Series("", index=rows.index, dtype="str").mask(repeated, "item_id stands in an earlier row")
    reason = _first_reason(_empty(rows[c.ITEM], c.ITEM), again)
    kept = rows[reason == ""].copy()
    for name in (c.CATEGORY, c.TAGS):
        kept[name] = kept[name].map(lambda cell: _joined(cell, list_separator), na_action="ignore")
    return item_table(kept), source.rejects + _rejected(source, reason, label)


def _joined(cell: str, separator: str) -> str:
    return ", ".join(part.strip() for part in cell.split(separator) if part.strip())


def _overridden(names: ColumnNames, changes: ColumnNames) -> ColumnNames:
    return names.model_copy(update=changes.model_dump(exclude_none=True))


def _renamed(
    source: TextTable, wanted: Sequence[str], needed: Sequence[str], names: ColumnNames, path: Path, where: str
) -> pd.DataFrame:
    """Give the wanted columns under our names; one that is optional, not named in the YAML and not there is null."""
    rows = pd.DataFrame({LINE: source.rows[LINE]})
    for name in wanted:
        stated = getattr(names, name)
        theirs = stated or name
        if theirs in source.rows:
            rows[name] = source.rows[theirs]
        elif stated or name in needed:
            raise DataError(_missing_column(name, theirs, source.names, path, where))
        else:
            rows[name] = pd.Series(None, index=rows.index, dtype="str")
    return rows


def _missing_column(name: str, theirs: str, found: list[str], path: Path, where: str) -> str:
    sought = repr(name) if theirs == name else f"{name!r} (called {theirs!r} under `columns:`)"
    close = difflib.get_close_matches(theirs, found, n=1)
    guess = close[0] if close else "THEIR_NAME"
    return (
        f"{path}: column {sought} is missing. Found: {', '.join(found) or 'none'}. "
        f"Say in {where} what the file calls it: `columns: {{{name}: {guess}}}` "
        "(`item_columns:` where the items file calls it otherwise)."
    )


def _empty(cells: pd.Series, name: str) -> pd.Series:
    return pd.Series("", index=cells.index, dtype="str").mask(cells.isna(), f"{name} is empty")


def _first_reason(*reasons: pd.Series) -> pd.Series:
    first = reasons[0]
    for other in reasons[1:]:
        first = first.where(first != "", other)
    return first


def _rejected(source: TextTable, reason: pd.Series, label: str) -> list[Reject]:
    flawed = source.rows[reason != ""]
    texts = [_as_row(values) for values in flawed[source.names].itertuples(index=False)]
    return [Reject(label, int(line), why, text) for line, why, text in zip(flawed[LINE], reason[reason != ""], texts)]


def _as_row(values: Sequence[Any]) -> str:
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow("" if pd.isna(value) else value for value in values)
    return row.getvalue()


def _example(source: TextTable, reason: pd.Series, label: str) -> str:
    rejects = sorted(source.rejects + _rejected(source, reason, label))
    if not rejects:
        return ""
    return f" {len(rejects)} rows were refused, the first in line {rejects[0].line}: {rejects[0].reason}."
