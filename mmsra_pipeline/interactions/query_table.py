"""Reads queries and interactions in few bytes a row: users and items as categories, in order of their names."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TARGET, TIME, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.histories import FEW
from mmsra_pipeline.storage.relations import register

BOUND: Final = "bound"
NAMES: Final = [USER, ITEM, SPLIT, TARGET]
"""Columns that come as categories."""
DAY: Final = 86_400_000  # milliseconds
ACTIVE_SQL: Final = """
select user_id from interactions group by user_id
having max(timestamp) >= (select max(timestamp) from interactions) - $span
order by user_id
"""


def read_queries(
    sequences: Path,
    splits: Sequence[str] = (),
    *,
    users: Collection[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return rows of the slice of ``sequences``, sorted by user and position, without histories.

    Args:
        sequences: its Parquet file.
        splits: of these splits; none: of all.
        users: of these users; None: of all.
        columns: those that are wanted; None: all.
    """
    wanted = None
    if splits:
        wanted = ds.field(SPLIT).isin(list(splits))
    if users is not None and len(users) <= FEW:
        of_users = ds.field(USER).isin(pa.array(sorted(users), pa.string()))
        wanted = of_users if wanted is None else wanted & of_users
    return as_categories(_read(sequences, columns, wanted))


def read_interactions(interactions: Path, *, users: Collection[str] | None = None) -> pd.DataFrame:
    """Return user_id, item_id, timestamp and position of the slice of ``interactions``; ``users`` as above."""
    wanted = None
    if users is not None and len(users) <= FEW:
        wanted = ds.field(USER).isin(pa.array(sorted(users), pa.string()))
    return as_categories(_read(interactions, [USER, ITEM, TIME, POSITION], wanted))


def read_training(interactions: Path, training_bounds: Path) -> pd.DataFrame:
    """Return what ``splits.training_interactions`` returns of both slices."""
    rows, bounds = read_interactions(interactions), pd.read_parquet(training_bounds)
    of_user = bounds.set_index(USER)[BOUND].reindex(rows[USER].cat.categories).fillna(0).to_numpy(dtype="int64")
    return rows[rows[POSITION].to_numpy() < of_user[rows[USER].cat.codes]].reset_index(drop=True)


def distinct_items(interactions: Path) -> list[str]:
    """Return the items of the slice of ``interactions``, sorted."""
    table = _read(interactions, [ITEM], None)
    return sorted(pc.unique(table.column(ITEM)).cast(pa.string()).to_pylist())


def active_users(connection: duckdb.DuckDBPyConnection, interactions: Path, days: int) -> list[str]:
    """Return the users with an interaction in the last days before the latest of all, sorted.

    Raises:
        DataError: if no interaction has a time.
    """
    register(connection, "interactions", interactions)
    found = [user for (user,) in connection.execute(ACTIVE_SQL, {"span": days * DAY}).fetchall()]
    if not found:
        raise DataError(
            "no interaction has a time, so nobody is known to be active. Set `recommendations.users` to a number, or "
            "keep fewer users (`interactions.max_users`)."
        )
    return found


def as_categories(table: pa.Table) -> pd.DataFrame:
    """Return a frame whose names are categories in order, whichever of them the rows hold."""
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas()
    for name in NAMES:
        if name in frame:
            known = frame[name].cat
            frame[name] = known.set_categories(sorted(known.categories.astype("str")))
    return frame


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with their names as text, as they are where they are few."""
    return rows.astype({name: "str" for name in NAMES if name in rows})


def _read(path: Path, columns: Sequence[str] | None, wanted: ds.Expression | None) -> pa.Table:
    source = ds.dataset(path, format=ds.ParquetFileFormat(dictionary_columns=NAMES))
    return source.to_table(list(columns) if columns else None, filter=wanted)
