"""What every reader gives."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmsra_pipeline import columns as c

ORDER = "order"  # place of a review in its source: the tie-break of equal times
REVIEW_TYPES = {
    c.USER: "str",
    c.ITEM: "str",
    c.TIME: "Int64",
    c.RATING: "float64",
    c.REVIEW: "str",
    ORDER: "int64",
}
ITEM_COLUMNS = (c.ITEM, c.TITLE, c.DESCRIPTION, c.CATEGORY, c.TAGS, c.IMAGE, c.IMAGE_HASH)


@dataclass(frozen=True)
class RawData:
    """A data set as read: every source row is either in ``reviews`` or ``items``, or in ``rejects`` with a reason."""

    reviews: pd.DataFrame
    """user_id, item_id, timestamp (ms, null in data without times), rating (null if none), review, order."""
    items: pd.DataFrame
    """item_id, title, description, category, tags (null where missing; entries joined by ', '), image, image_sha256."""
    rejects: pd.DataFrame
    """file, line, reason, text."""
    image_root: Path | None
    """Folder that ``items.image`` is relative to; None if the data set has none."""


def review_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring reviews to the columns and types above; missing optional columns are null."""
    return rows.reindex(columns=list(REVIEW_TYPES)).astype(REVIEW_TYPES).reset_index(drop=True)


def item_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Bring items to the columns and types above; missing optional columns are null."""
    return rows.reindex(columns=list(ITEM_COLUMNS)).astype("str").reset_index(drop=True)
