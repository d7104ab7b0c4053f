"""Reads a data set of any format into tables."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import source_formats
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.marks import Mark, Marks
from mmsra_pipeline.ingest.picture_paths import ItemPictures, hash_image
from mmsra_pipeline.ingest.prefetching import prefetched
from mmsra_pipeline.ingest.raw_tables import ITEM_FIELDS, ITEMS, LINE_HASH, ORDER, READ_ITEMS, REVIEWS, Reader
from mmsra_pipeline.ingest.rejects import NOTHING_NEW, REJECTS, REPEATED, TEXT_CHARS, RejectSink

Sink = Callable[[pa.Table], None]
ROWS_AT_ONCE = 50_000
AHEAD = 16  # tables of some MB: a group of rows is written in one go, and reading goes on meanwhile
logger = logging.getLogger(__name__)

TEXTS = ", ".join(f"arg_min({name}, place) as {name}" for name in ITEM_FIELDS[1:])  # it passes over nulls
KEPT_ITEMS = f"""
    select item_id, {TEXTS}, arg_min(file, place) as file, arg_min(line, place) as line, min(place) as place
    from found
    group by item_id
    order by place
"""
REPEATED_ITEMS = f"""
    select file, line, $reason as reason, left(concat_ws(' ', item_id, title), {TEXT_CHARS}) as text
    from found
    qualify row_number() over (partition by item_id order by place) > 1
"""


@dataclass(frozen=True)
class Loaded:
    """What came of loading a data set."""

    rows: int
    """Rows of the source: each was kept or refused. A picture of an item that no row describes is one."""
    reviews: int
    items: int
    rejects: int
    repeated: int
    """Those of ``rejects`` that only repeat an item, or a header."""
    damaged: tuple[str, ...]
    """Source files that could not be read to their end, each with the place and the reason."""
    notes: tuple[str, ...] = ()
    """What was not as usual and was detected in the files themselves."""
    marks: Marks | None = field(default=None, compare=False, repr=False)
    """Where a later reading can go on."""

    @property
    def bad_share(self) -> float:
        """Share of the source's rows that were refused for a fault."""
        return (self.rejects - self.repeated) / max(self.rows, 1)


@dataclass(frozen=True)
class RawData:
    """A small data set as read, in memory."""

    reviews: pd.DataFrame
    """Columns of ``raw.REVIEWS``."""
    items: pd.DataFrame
    """Columns of ``raw.ITEMS``."""
    rejects: pd.DataFrame
    """Columns of ``rejects.REJECTS``."""
    image_root: Path | None
    """Folder that ``items.image`` is relative to; None if the data set has none."""
    loaded: Loaded


class Earlier(Protocol):
    """What an earlier reading had read, of which this one reads the rest (``resuming.Resumption``)."""

    @property
    def mark(self) -> Mark:
        """How far it came."""

    def restore(self, connection: duckdb.DuckDBPyConnection, pictures: ItemPictures) -> None:
        """Fill the table ``refused``, and show the pictures the items of the reviews."""


def load(
    spec: DatasetSpec,
    workdir: Path,
    connection: duckdb.DuckDBPyConnection,
    reviews: Sink,
    items: Sink,
    rejects: Sink,
    earlier: Earlier | None = None,
) -> Loaded:
    """Read a data set in one pass and hand its rows on, in memory that does not grow with it.

    Args:
        spec: what to read. What is made by code is first made below ``workdir``.
        workdir: for what is made by code.
        connection: finds items that come several times; the first value counts, field by field.
        reviews: is given tables of ``raw.REVIEWS`` in the order of the source.
        items: is given tables of ``raw.ITEMS``, no id twice.
        rejects: is given tables of ``rejects.REJECTS`` in order of file and line.
        earlier: reviews are read behind its mark alone; all else is as if all were read.

    Raises:
        MissingInputError: if source files are not there.
        DataError: if they cannot be used, or no review can.
    """
    reader = reader_of(spec, workdir)
    connection.execute("create or replace table refused (file text, line bigint, reason text, text text)")
    refusing = connection.cursor()  # reading runs in a thread of its own
    sink = RejectSink(lambda table: _insert(refusing, "refused", table))
    pictures = ItemPictures(reader.image_root)
    begin = earlier.mark if earlier else None
    kept, marks = begin.reviews if begin else 0, Marks(sink, begin)
    if earlier:
        earlier.restore(connection, pictures)
    marking = getattr(reader, "reviews_from", None)  # not all readers can go on from a mark
    found_reviews = marking(begin, marks, sink) if marking else reader.reviews(sink)
    for table in prefetched(marks.counted(found_reviews), AHEAD):
        order = pa.array(np.arange(kept, kept + table.num_rows, dtype=np.int64))
        if LINE_HASH not in table.column_names:
            table = table.append_column(LINE_HASH, pa.nulls(table.num_rows, pa.int64()))
        reviews(table.append_column(ORDER, order).select(REVIEWS.names).cast(REVIEWS))
        pictures.note_reviewed(table.column(c.ITEM))
        kept += table.num_rows
    if not kept:
        sink.flush()
        raise DataError(_nothing_usable(spec, connection))
    found = _load_items(reader, sink, connection, items, pictures)
    sink.flush()
    connection.execute(f"insert into refused {REPEATED_ITEMS}", {"reason": REPEATED})
    ordered = connection.sql("select * from refused order by file, line, reason, text")
    for batch in ordered.to_arrow_reader(ROWS_AT_ONCE):
        rejects(pa.Table.from_batches([batch]).cast(REJECTS))
    refused, repeated = connection.execute(
        "select count(*), count(*) filter (list_contains($nothing_new, reason)) from refused",
        {"nothing_new": list(NOTHING_NEW)},
    ).fetchone() or (0, 0)
    connection.execute("drop table refused; drop table found")
    logger.info("%s: %d rows: %d reviews, %d items, %d rejected", spec.name, sink.rows, kept, found, refused)
    return Loaded(sink.rows, kept, found, refused, repeated, tuple(sink.damaged), tuple(sink.notes), marks)


def read_dataset(spec: DatasetSpec, workdir: Path) -> RawData:
    """Read a data set into memory; as ``load`` otherwise."""
    reviews, items, rejects = [REVIEWS.empty_table()], [ITEMS.empty_table()], [REJECTS.empty_table()]
    with duckdb.connect() as connection:
        loaded = load(spec, workdir, connection, reviews.append, items.append, rejects.append)
    frames = [pa.concat_tables(tables).to_pandas(types_mapper=_nullable) for tables in (reviews, items, rejects)]
    return RawData(frames[0], frames[1], frames[2], image_root=image_root(spec, workdir), loaded=loaded)


def image_root(spec: DatasetSpec, workdir: Path) -> Path | None:
    """Return the folder of a data set's pictures; None if it has none."""
    return reader_of(spec, workdir).image_root


def reader_of(spec: DatasetSpec, workdir: Path) -> Reader:
    """Return what reads a data set. What is made by code is first made below ``workdir``.

    Raises:
        MissingInputError: if source files are not there.
    """
    form = source_formats()[spec.format]
    reader: Reader = form.reader(spec, workdir) if form.made_by_code else form.reader(spec)
    return reader


def files_reader(spec: DatasetSpec) -> Reader:
    """Return what reads a data set that is not made by code."""
    reader: Reader = source_formats()[spec.format].reader(spec)
    return reader


def _load_items(
    reader: Reader, sink: RejectSink, connection: duckdb.DuckDBPyConnection, items: Sink, pictures: ItemPictures
) -> int:
    """Hand on each item, with its picture, and give their number. Leaves the table ``found``.

    Of several rows of an item the first that says something counts, field by field.
    """
    columns = ", ".join(f"{field.name} {'bigint' if field.type == pa.int64() else 'text'}" for field in READ_ITEMS)
    connection.execute(f"create or replace table found ({columns}, place bigint)")
    place = 0
    for table in prefetched(reader.items(sink)):
        places = pa.array(range(place, place + table.num_rows), pa.int64())
        _insert(connection, "found", table.append_column("place", places))
        place += table.num_rows
    kept = 0
    for batch in connection.sql(KEPT_ITEMS).to_arrow_reader(ROWS_AT_ONCE):
        table = _with_pictures(pa.Table.from_batches([batch]), pictures)
        pictures.note_found(table.column(c.ITEM).to_pylist())
        items(table)
        kept += table.num_rows
    alone = pictures.alone()
    sink.see(len(alone))
    items(_with_pictures(pa.Table.from_pylist([{c.ITEM: item} for item in alone], READ_ITEMS), pictures))
    return kept + len(alone)


def _with_pictures(table: pa.Table, pictures: ItemPictures) -> pa.Table:
    """Return items as ``ITEMS``, with their pictures and the hashes of those that are files."""
    ids, named = table.column(c.ITEM).to_pylist(), table.column(c.IMAGE).to_pylist()
    images = [pictures.of(item, name) for item, name in zip(ids, named)]
    hashes = [hash_image(image, pictures.root) for image in images]
    texts = {name: table.column(name) for name in ITEMS.names if name in table.column_names}
    return pa.table(texts | {c.IMAGE: pa.array(images, pa.string()), c.IMAGE_HASH: pa.array(hashes, pa.string())}).cast(
        ITEMS
    )


def _insert(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("arriving", table)
    connection.execute(f"insert into {name} select * from arriving")
    connection.unregister("arriving")


def _nothing_usable(spec: DatasetSpec, connection: duckdb.DuckDBPyConnection) -> str:
    count = (connection.execute("select count(*) from refused").fetchone() or (0,))[0]
    first = connection.execute("select file, line, reason, text from refused order by file, line limit 1").fetchone()
    why = (
        f" {count} rows were refused, the first in {first[0]}, line {first[1]}: {first[2]}. "
        f"That row: {first[3][:120]!r}."
        if first
        else " The files hold no row beside the header."
    )
    return f"dataset {spec.name!r} in {spec.path}: no usable review.{why} Fix the files, or correct the YAML."


def _nullable(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype | None:
    return (
        pd.Int64Dtype()
        if kind == pa.int64()
        else pd.StringDtype(na_value=float("nan"))
        if kind == pa.string()
        else None
    )
