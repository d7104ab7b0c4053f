"""What assets ask of the table ``sequences``: its rows by split, and histories for those that are shown."""

import itertools
from typing import TYPE_CHECKING

from mmsra_pipeline.columns import POSITION, SPLIT, TEST, TRAIN, USER, VALIDATION, Tables
from mmsra_pipeline.orchestration.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import pyarrow as pa

    from mmsra_pipeline.interactions.histories import Histories

SIMILAR_SQL = """
select found.* from read_parquet($path, hive_partitioning = false) as found semi join asked using (user_id, position)
"""


def queries(stage: Stage, *splits: str, columns: list[str] | None = None) -> "pd.DataFrame":
    """Return the rows of these splits, of all without any, sorted by user and position, without histories."""
    from mmsra_pipeline.interactions.query_table import read_queries

    return read_queries(stage.path(Tables.SEQUENCES), splits, columns=columns)


def histories(stage: Stage, rows: "pd.DataFrame | None" = None) -> "Histories":
    """Return what users took: those of the rows, or all."""
    from mmsra_pipeline.interactions.histories import Histories

    users = None if rows is None else rows[USER].astype("str").unique().tolist()
    return Histories.read(stage.path(Tables.INTERACTIONS), users)


def with_histories(stage: Stage, rows: "pd.DataFrame") -> "pd.DataFrame":
    """Return rows of ``sequences`` with their histories written out."""
    from mmsra_pipeline.interactions.query_table import plain

    return histories(stage, rows).joined_to(plain(rows))


def queries_of_users(stage: Stage, users: "set[str]") -> "pd.DataFrame":
    """Return all rows of users, without histories."""
    from mmsra_pipeline.interactions.query_table import plain, read_queries

    rows = read_queries(stage.path(Tables.SEQUENCES), users=users)
    return plain(rows[rows[USER].isin(users)])


def drawn(stage: Stage, split: str) -> "pd.DataFrame":
    """Return the queries that were drawn for a split of the recommender, without histories."""
    from mmsra_pipeline.interactions.query_sampling import asked_of
    from mmsra_pipeline.interactions.query_table import plain, read_queries

    wanted = stage.read(Tables.TRAINING_QUERIES)
    rows = read_queries(stage.path(Tables.SEQUENCES), users=wanted[USER].unique().tolist())
    return asked_of(plain(rows), wanted, split)


def seen_of_late(stage: Stage, days: int) -> list[str]:
    """Return the users with an interaction in the last days before the latest of all, sorted.

    Raises:
        DataError: if no interaction has a time.
    """
    from mmsra_pipeline.interactions.query_table import active_users

    with stage.store.duckdb() as connection:
        return active_users(connection, stage.path(Tables.INTERACTIONS), days)


def answered_queries(stage: Stage) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the rows of ``similar_users`` of all queries but those of serving, and these queries, as text.

    Held-out queries that were not among those that are answered are none of them.
    """
    import pandas as pd

    from mmsra_pipeline.interactions.query_table import plain
    from mmsra_pipeline.retrieval.many_similar_users import answered

    config = stage.config.retrieval.similar_users
    rows = queries(stage, TRAIN, VALIDATION, TEST)
    trained = int((rows[SPLIT] == TRAIN).sum())
    held_out = rows[rows[SPLIT] != TRAIN]
    if trained > config.exact_entries:
        held_out = pd.concat(answered(held_out, config.held_out_queries, stage.config.seed))
    asked = pd.concat([drawn(stage, TRAIN), plain(held_out)], ignore_index=True)
    return similar_rows(stage, asked), asked


def similar_rows(stage: Stage, asked: "pd.DataFrame") -> "pd.DataFrame":
    """Return the rows of ``similar_users`` of these queries, in the order of the table."""
    with stage.store.duckdb() as connection:
        connection.register("asked", asked[[USER, POSITION]])
        path = str(stage.path(Tables.SIMILAR_USERS))
        frame: pd.DataFrame = connection.sql(SIMILAR_SQL, params={"path": path}).to_arrow_table().to_pandas()
    return frame


def batches(parts: "Iterator[pd.DataFrame]") -> "pa.RecordBatchReader":
    """Return frames of one table, one at least, as the batches that ``Stage.write`` takes."""
    import pyarrow as pa

    from mmsra_pipeline.storage.table_writer import as_table

    first = as_table(next(parts))
    rest = (as_table(part, first.schema) for part in parts)
    every = itertools.chain.from_iterable(table.to_batches() for table in itertools.chain([first], rest))
    return pa.RecordBatchReader.from_batches(first.schema, every)
