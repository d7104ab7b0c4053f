"""What the rejects of a data set that was read say: how many, why, and some of them."""

from pathlib import Path
from typing import Any

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.ingest.rejects import NOTHING_NEW
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.tables import Store

MOST_REASONS = 50
MANY = 0.2
EXAMPLES = 3


def reject_counts(paths: Paths, dataset: str, rejects: Path | None = None) -> Any:
    """Return how many rows of a data set were refused for each reason: file, reason, rows, first_line; most first.

    ``rejects``: the Parquet file that says so; None: the current one.

    Raises:
        MissingInputError: if the data set was not read yet.
    """
    store = Store.of(paths)
    rejects = rejects or store.current(Tables.REJECTS, dataset).path
    with store.duckdb() as connection:
        return connection.execute(
            """
            select file, reason, count(*) as rows, min(line) as first_line
            from read_parquet($rejects, hive_partitioning = false)
            group by all
            order by rows desc, file, reason
            limit $most
            """,
            {"rejects": str(rejects), "most": MOST_REASONS},
        ).df()


def why_few(paths: Paths, dataset: str) -> str:
    """Say how many rows of a data set were refused, with some of them, if that may be why few are left; else ''."""
    store = Store.of(paths)
    places = {name: str(store.current(name, dataset).path) for name in (Tables.REJECTS, Tables.RAW_REVIEWS)}
    refused = "from read_parquet($rejects, hive_partitioning = false) where not list_contains($nothing_new, reason)"
    asked = {"rejects": places[Tables.REJECTS], "nothing_new": list(NOTHING_NEW)}
    with store.duckdb() as connection:
        count = connection.execute(f"select count(*) {refused}", asked).fetchall()[0][0]
        kept = connection.execute(
            "select count(*) from read_parquet($kept, hive_partitioning = false)", {"kept": places[Tables.RAW_REVIEWS]}
        ).fetchall()[0][0]
        if count <= MANY * (count + kept):
            return ""
        rows = connection.execute(
            f"select file, line, reason, text {refused} order by file, line limit {EXAMPLES}", asked
        ).fetchall()
    some = "; ".join(f"{file}, line {line}: {reason}: {text[:80]!r}" for file, line, reason, text in rows)
    share = count / (count + kept)
    return f"{count} rows ({share:.1%}) of the source were refused, so few are left. Fix these first: {some}. Then: "
