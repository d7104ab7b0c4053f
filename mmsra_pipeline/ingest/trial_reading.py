"""The first rows of a data set, read as a run would read them, and what is to be seen of them beforehand."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.ingest.picture_paths import FolderIndex, ItemPictures
from mmsra_pipeline.ingest.raw_tables import READ_ITEMS, READ_REVIEWS
from mmsra_pipeline.ingest.reading import reader_of
from mmsra_pipeline.ingest.rejects import REJECTS, RejectSink

FIRST_ROWS = 200_000


@dataclass(frozen=True)
class Trial:
    """What the first rows of a data set are."""

    files: list[Path]
    reviews: pa.Table
    """Columns of ``READ_REVIEWS``."""
    items: pa.Table
    """Columns of ``READ_ITEMS``."""
    rejects: pa.Table
    notes: list[str]
    """What was not as usual and was detected in the files."""
    only_reviewed: list[str]
    """Items of reviews that no row describes, in order."""
    only_described: list[str]
    pictured: int
    """Items that have a picture in the folder."""
    folder: str
    """What lies in the picture folder; empty if there is none."""
    whole: bool
    """Whether all rows were read, not only the first."""


def read_first_rows(spec: DatasetSpec, workdir: Path, most: int = FIRST_ROWS) -> Trial:
    """Read the first rows of reviews and of items; nothing is stored.

    Raises:
        MissingInputError: if source files are not there.
        DataError: if they cannot be used.
    """
    reader = reader_of(spec, workdir)
    refused: list[pa.Table] = [REJECTS.empty_table()]
    sink = RejectSink(refused.append)
    reviews, all_reviews = _first(reader.reviews(sink), READ_REVIEWS, most)
    items, all_items = _first(reader.items(sink), READ_ITEMS, most)
    sink.flush()
    reviewed, described = set(reviews.column(c.ITEM).to_pylist()), set(items.column(c.ITEM).to_pylist())
    root = reader.image_root
    pictures = ItemPictures(root)
    named = dict(zip(items.column(c.ITEM).to_pylist(), items.column(c.IMAGE).to_pylist(), strict=True))
    found = sum(pictures.has_file(item, named.get(item)) for item in reviewed | described)
    return Trial(
        files=reader.files(),
        reviews=reviews,
        items=items,
        rejects=pa.concat_tables(refused),
        notes=sink.notes,
        only_reviewed=sorted(reviewed - described),
        only_described=sorted(described - reviewed),
        pictured=found,
        folder=FolderIndex(root).summary(root.name) if root else "",
        whole=all_reviews and all_items,
    )


def _first(tables: object, schema: pa.Schema, most: int) -> tuple[pa.Table, bool]:
    found = [schema.empty_table()]
    for table in tables:  # type: ignore[attr-defined]  # an iterator of a reader
        found.append(table.select(schema.names).cast(schema))
        if sum(map(len, found)) >= most:
            return pa.concat_tables(found), False
    return pa.concat_tables(found), True
