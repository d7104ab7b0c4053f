"""What the UI shows of a table: its rows, its columns with types and meaning, and where columns come from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.dictionary import TABLES
from mmsra_pipeline.orchestration.materializations import ROWS

PARTITION_ROWS: Final = "dagster/partition_row_count"
SCHEMA: Final = "dagster/column_schema"
LINEAGE: Final = "dagster/column_lineage"

_KEYWORDS = {
    "item_id": [(Tables.ITEM_TEXT, "item_id")],
    "image_keywords": [(Tables.ITEM_IMAGES, "image_sha256")],
    "text_keywords": [(Tables.ITEM_TEXT, "text")],
    "keywords": [(Tables.ITEM_IMAGES, "image_sha256"), (Tables.ITEM_TEXT, "text")],
}
_RANKED = [(Tables.RANKINGS, "score"), (Tables.RANKINGS, "is_target")]
COLUMN_SOURCES: Final[Mapping[str, Mapping[str, list[tuple[str, str]]]]] = {
    Tables.INTERACTIONS: {
        **{name: [(Tables.RAW_REVIEWS, name)] for name in ("user_id", "item_id", "timestamp", "rating")},
        "position": [(Tables.RAW_REVIEWS, "timestamp"), (Tables.RAW_REVIEWS, "order")],
    },
    Tables.SEQUENCES: {
        **{name: [(Tables.INTERACTIONS, name)] for name in ("user_id", "position", "timestamp")},
        "history_start": [(Tables.INTERACTIONS, "position")],
        "target": [(Tables.INTERACTIONS, "item_id")],
    },
    Tables.TRAINING_QUERIES: {name: [(Tables.SEQUENCES, name)] for name in ("split", "user_id", "position")},
    Tables.ITEM_TEXT: {"item_id": [(Tables.INTERACTIONS, "item_id")]},
    Tables.ITEM_IMAGES: {"item_id": [(Tables.ITEM_TEXT, "item_id")]},
    Tables.DRAFT_KEYWORDS: _KEYWORDS,
    Tables.ITEM_KEYWORDS: _KEYWORDS,
    Tables.SIMILAR_USERS: {
        **{name: [(Tables.SEQUENCES, name)] for name in ("user_id", "position")},
        "neighbor_id": [(Tables.SEQUENCES, "user_id")],
        "neighbor_position": [(Tables.SEQUENCES, "position")],
        "item_id": [(Tables.SEQUENCES, "target")],
    },
    Tables.RANKINGS: {
        **{name: [(Tables.SEQUENCES, name)] for name in ("user_id", "position")},
        "item_id": [(Tables.INTERACTIONS, "item_id")],
        "is_target": [(Tables.SEQUENCES, "target")],
    },
    Tables.METRICS: {
        **{name: [(Tables.RANKINGS, name)] for name in ("row", "protocol")},
        "users": [(Tables.RANKINGS, "user_id")],
        **dict.fromkeys(("value", "low", "high"), _RANKED),
    },
    Tables.RECOMMENDATIONS: {
        "user_id": [(Tables.SEQUENCES, "user_id")],
        "item_id": [(Tables.ITEM_TEXT, "item_id")],
        "title": [(Tables.ITEM_TEXT, "title")],
        "shared_keywords": [(Tables.ITEM_KEYWORDS, "keywords")],
    },
}
"""By asset and column: the columns of other assets' tables that it is made of. Only where that is simple to say."""


def table_metadata(table: str, file: Path, rows: int) -> dict[str, Any]:
    """Return what Dagster knows under names of its own.

    Args:
        table: named as its asset.
        file: with the rows, as Parquet.
        rows: how many.
    """
    # The table of an asset and data set is the whole asset in the UI's count of rows, and its partition as well.
    metadata: dict[str, Any] = {ROWS: rows, PARTITION_ROWS: rows, SCHEMA: column_schema(table, file)}
    sources = COLUMN_SOURCES.get(table)
    if sources:
        lineage = {
            name: [dg.TableColumnDep(dg.AssetKey(asset), column) for asset, column in origins]
            for name, origins in sources.items()
        }
        metadata[LINEAGE] = dg.TableColumnLineage(lineage)
    return metadata


def column_schema(table: str, file: Path) -> dg.TableSchema:
    """Return the columns of a Parquet file with their types, and what the dictionary says of them."""
    import pyarrow.parquet as pq

    meanings = TABLES[table].columns if table in TABLES else {}
    columns = [
        dg.TableColumn(field.name, str(field.type), description=meanings.get(field.name))
        for field in pq.read_schema(file)
    ]
    return dg.TableSchema(columns)
