"""Keeps what was counted, so that the next run reads only the users whose interactions changed.

A state is a folder: ``pairs`` and ``items`` with their sums, the numbered ``rows`` they were made of, the ``users``,
and ``counted.json``. It says itself what it counted, so that it can be old, or of another cut, and the result is the
same: users whose rows differ are taken out as they were and added as they are.
"""

import json
import logging
from pathlib import Path
from typing import Any

import duckdb

from mmsra_pipeline.config.tree import CooccurrenceConfig
from mmsra_pipeline.retrieval.cooccurrence.counts import (
    NOTHING_BEFORE_SQL,
    items_sql,
    number_training,
    pairs_sql,
    sequence,
    total_weight,
    weighted,
)
from mmsra_pipeline.retrieval.cooccurrence.neighbors import Counts, count_anew
from mmsra_pipeline.storage.relations import Rows, register

FORMAT = 1
COUNTED = "counted.json"
ANEW_ABOVE = 0.3
"""Share of the rows that must be read pair by pair, as they were and as they are, above which all are counted anew."""

# A user's rows count as unchanged where the sums of their 64-bit hashes agree; of other rows one in 2^64 does.
CHANGED_SQL = """
create or replace temp table changed as
select user, coalesce(last.length, 0) + coalesce(now.length, 0) as touched
from (select user, count(*) as length, sum(hash(position, item, timestamp)) as content from last_rows group by all) last
full join (select user, count(*) as length, sum(hash(position, item, timestamp)) as content from rows group by all) now
using (user)
where last.content is distinct from now.content
"""
TOUCHED_SQL = """
select count(*), coalesce(sum(touched), 0), (select count(*) from rows) from changed
"""
ROWS_OF_CHANGED_SQL = """
create or replace temp table gone as from last_rows semi join changed using (user) order by user, position;
create or replace temp table come as from rows semi join changed using (user) order by user, position;
"""
DIFFERENCE_SQL = """
create or replace temp table {name}_difference as
select {name}, sum(users)::bigint as users, sum(weight) as weight
from (select {name}, users, weight from {name}_come union all select {name}, -users, -weight from {name}_gone)
group by {name}
"""
MERGED_SQL = """
select {name}, coalesce(last.users, 0) + coalesce(difference.users, 0) as users,
       coalesce(last.weight, 0) + coalesce(difference.weight, 0) as weight
from last_{name}s last full join {name}_difference difference using ({name})
where coalesce(last.users, 0) + coalesce(difference.users, 0) > 0
"""
# What is written of each relation. Parquet has no integers of 128 bits.
STATE_SQL = {
    "users": "select user_id, user from users semi join (select distinct user from rows) using (user)",
    "items": "select item_id, item, users, weight::{weight} as weight from item_counts join items using (item)",
    "rows": "from rows",
    "pairs": "select pair, users, weight::{weight} as weight from pair_counts",
}
WRITING = "format parquet, compression zstd, parquet_version v2, dictionary_size_limit 1000"  # half the time of v1
LAST_SQL = """
create or replace temp view last_users as from users_file;
create or replace temp view last_items as select item_id, item, users, weight::hugeint as weight from items_file;
create or replace temp view last_rows as from rows_file;
create or replace temp view last_pairs as select pair, users, weight::hugeint as weight from pairs_file;
"""
logger = logging.getLogger(__name__)


def update_counts(
    connection: duckdb.DuckDBPyConnection,
    interactions: Rows,
    config: CooccurrenceConfig,
    folder: Path,
    *,
    last: Path | None = None,
    training_bounds: Rows | None = None,
    before: int | None = None,
    anew_above: float = ANEW_ABOVE,
) -> Counts:
    """Count as ``cooccurrence_neighbors`` does, going on from what the last run counted, and keep it for the next one.

    The sums are those that counting anew gives, to the last digit. All is counted anew where other settings were
    counted, where too many rows changed, and with ``half_life_days``, as then each weight moves with the newest
    interaction.

    Args:
        connection: as ``Store.duckdb`` gives it. It holds the sums, for ``neighbors``.
        interactions: as ``build_interactions`` gives them.
        config: which pairs count, and how much.
        folder: an empty one, for the state.
        last: the folder of the last run, if there is one.
        training_bounds: as ``build_sequences`` gives them; None: all interactions are for training.
        before: milliseconds: only what is known to have happened earlier counts. None: everything does.
        anew_above: share of the rows; see ``ANEW_ABOVE``.
    """
    counted = _counted(last, config)
    connection.execute(NOTHING_BEFORE_SQL)
    if last is not None and counted is not None:
        for name in STATE_SQL:
            register(connection, f"{name}_file", last / f"{name}.parquet")
        connection.execute(LAST_SQL)
    number_training(connection, interactions, training_bounds, before)
    counts = _go_on(connection, config, counted, anew_above) if counted else None
    counts = counts or count_anew(connection, config)
    logger.info("co-occurrence: read the rows of %d users pair by pair", counts.counted_users)
    if config.half_life_days is None:
        _write(connection, config, folder)
    (folder / COUNTED).write_text(json.dumps({"how": _how(config), "total": counts.total}))
    return counts


def _how(config: CooccurrenceConfig) -> dict[str, Any]:
    """Give what sums depend on beside the rows."""
    return {"format": FORMAT} | config.model_dump(include={"window", "session_hours", "user_weight", "half_life_days"})


def _counted(last: Path | None, config: CooccurrenceConfig) -> dict[str, Any] | None:
    """Give what the last run says that it counted, if this one can go on from there."""
    if last is None or config.half_life_days is not None:
        return None
    counted: dict[str, Any] = json.loads((last / COUNTED).read_text())
    return counted if counted["how"] == _how(config) else None


def _go_on(
    connection: duckdb.DuckDBPyConnection,
    config: CooccurrenceConfig,
    counted: dict[str, Any],
    anew_above: float,
) -> Counts | None:
    """Make ``pair_counts`` and ``item_counts`` from the last ones; None if that is not worth it."""
    connection.execute(CHANGED_SQL)
    users, touched, rows = connection.execute(TOUCHED_SQL).fetchall()[0]
    if touched > anew_above * rows:
        return None
    connection.execute(ROWS_OF_CHANGED_SQL)
    total = int(counted["total"])
    for part, sign in (("come", 1), ("gone", -1)):
        source = sequence(connection, part, config)
        connection.execute(f"create or replace temp table pair_{part} as {pairs_sql(source, config)}")
        connection.execute(f"create or replace temp table item_{part} as {items_sql(source, config)}")
        total += sign * total_weight(connection, source, config)
    for name in ("pair", "item"):
        connection.execute(DIFFERENCE_SQL.format(name=name))
    connection.execute(f"create or replace temp view pair_counts as {MERGED_SQL.format(name='pair')}")
    connection.execute(f"create or replace temp table item_counts as {MERGED_SQL.format(name='item')}")
    return Counts(total, rows, users)


def _write(connection: duckdb.DuckDBPyConnection, config: CooccurrenceConfig, folder: Path) -> None:
    """Write the state, and let ``pair_counts`` be the file, so that all pairs are never in memory."""
    weight = "decimal(38, 0)" if weighted(config) else "bigint"
    for name, sql in STATE_SQL.items():
        file = {"file": str(folder / f"{name}.parquet")}
        connection.execute(f"copy ({sql.format(weight=weight)}) to $file ({WRITING})", file)
    register(connection, "pair_counts", folder / "pairs.parquet")
