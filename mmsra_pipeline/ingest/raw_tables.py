"""What every reader gives, and what is made of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.ingest.rejects import RejectSink

ORDER = "order"  # place of a review in its source: the tie-break of equal times
LINE_HASH = "line_hash"  # of a review's line as it stands: reviews that differ in what is not read are no duplicates
FILE, LINE = "file", "line"
ITEM_FIELDS = (c.ITEM, c.TITLE, c.DESCRIPTION, c.CATEGORY, c.TAGS, c.IMAGE)
ITEM_COLUMNS = (*ITEM_FIELDS, c.IMAGE_HASH)
REVIEWS = pa.schema(
    {
        c.USER: pa.string(),
        c.ITEM: pa.string(),
        c.TIME: pa.int64(),  # milliseconds since 1970 UTC; null in data without times
        c.RATING: pa.float64(),  # null if none
        c.REVIEW: pa.string(),  # null if none
        ORDER: pa.int64(),
        LINE_HASH: pa.int64(),  # null where a line of the source has no more than the columns above
    }
)
READ_REVIEWS = pa.schema([field for field in REVIEWS if field.name not in (ORDER, LINE_HASH)])
ITEMS = pa.schema({name: pa.string() for name in ITEM_COLUMNS})
"""Entries of category and tags are joined by ', '. ``image`` is a name below the picture folder, or URLs."""
READ_ITEMS = pa.schema({**{name: pa.string() for name in ITEM_FIELDS}, FILE: pa.string(), LINE: pa.int64()})
"""As a reader finds items: one id may come several times, and pictures are not looked for yet."""


class Reader(Protocol):
    """Reads the files of one data set in one pass, in memory that does not grow with them.

    Every source row is either in a table that is given or refused at the sink, with its place and a reason.
    """

    @property
    def image_root(self) -> Path | None:
        """Folder of the pictures; None if the data set has none."""

    def files(self) -> list[Path]:
        """All source files but the pictures."""

    def reviews(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_REVIEWS``, with ``LINE_HASH`` where there is one, in the order of the source."""

    def items(self, sink: RejectSink) -> Iterator[pa.Table]:
        """Return tables of ``READ_ITEMS`` in the order of the source."""


def review_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring reviews to the columns and types of ``REVIEWS``; missing optional columns are null."""
    texts = dict.fromkeys((c.USER, c.ITEM, c.REVIEW), "str")
    types = {**texts, c.TIME: "Int64", c.RATING: "float64", ORDER: "int64", LINE_HASH: "Int64"}
    types = {name: types[name] for name in REVIEWS.names}
    return rows.reindex(columns=list(types)).astype(types).reset_index(drop=True)


def item_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring items to the columns of ``ITEMS``; missing optional columns are null."""
    return rows.reindex(columns=list(ITEM_COLUMNS)).astype("str").reset_index(drop=True)
