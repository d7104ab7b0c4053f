"""How far tables have moved from those that a training saw."""

from pathlib import Path

import duckdb

from mmsra_pipeline.columns import ITEM, KEYWORDS, USER


def new_share(connection: duckdb.DuckDBPyConnection, then: Path, now: Path) -> float:
    """Share, in [0, 1], of the interactions of now that were none then; 0 without any.

    Args:
        connection: does the work.
        then: the slice of ``interactions`` that the training saw.
        now: the current one.
    """
    return _value(
        connection,
        f"""
        select count(*) filter (trained.{USER} is null) / nullif(count(*), 0)
        from read_parquet($now, hive_partitioning = false) as today
        left join (select distinct {USER}, {ITEM} from read_parquet($then, hive_partitioning = false)) as trained
        using ({USER}, {ITEM})
        """,
        then,
        now,
    )


def changed_keywords_share(connection: duckdb.DuckDBPyConnection, then: Path, now: Path) -> float:
    """Share, in [0, 1], of the items of both moments whose keywords are others now; 0 without any.

    New items are no drift: what is new shows in the interactions.
    """
    return _value(
        connection,
        f"""
        select count(*) filter (trained.{KEYWORDS} is distinct from today.{KEYWORDS}) / nullif(count(*), 0)
        from read_parquet($now, hive_partitioning = false) as today
        join read_parquet($then, hive_partitioning = false) as trained using ({ITEM})
        """,
        then,
        now,
    )


def _value(connection: duckdb.DuckDBPyConnection, query: str, then: Path, now: Path) -> float:
    row = connection.execute(query, {"then": str(then), "now": str(now)}).fetchone()
    return float(row[0]) if row and row[0] is not None else 0.0
