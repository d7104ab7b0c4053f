"""Interactions to sequences: one row a query, each of train, validation, test or serve. Done in SQL, part by part.

Where a user's targets lie is said by three positions in the table ``bounds``; only in them the splits differ. A history
is a stretch of the user's interactions (``histories``), so a query says where it begins and repeats nothing of it.
"""

from collections.abc import Iterator

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.storage.relations import BATCH_ROWS, Rows, register

BOUND = "bound"
HELD_OUT_SHARE = 0.1  # of the users, for validation and again for test: 8:1:1 (sec. 4)
PART_ROWS = 1_048_576  # interactions that are sorted together, and at most one user more
CUTS = [0.8, 0.9]  # quantiles of all times; validation and test begin there under global_time
SEQUENCES = pa.schema(
    {
        c.USER: pa.string(),
        c.SPLIT: pa.string(),
        c.POSITION: pa.int64(),
        c.START: pa.int64(),
        c.TARGET: pa.string(),
        c.TIME: pa.int64(),
    }
)
TRAINING_BOUNDS = pa.schema({c.USER: pa.string(), BOUND: pa.int64()})

USERS_SQL = """
create or replace temp table users as
select user_id, length,
       row_number() over by_id - 1 as user_code,
       (sum(length) over by_id // $part_rows)::bigint as part
from (select user_id, count(*) as length from interactions group by user_id)
window by_id as (order by user_id rows unbounded preceding)
"""
CUTS_SQL = """
select quantile_disc(timestamp, $cuts), count(*) filter (timestamp is null), count(*) from interactions
"""
# Training sees the positions below ``bound``. A position that the user does not have, or null, is no target.
BY_USER_SQL = """
create or replace temp table bounds as
select users.*,
       case when place >= 2 * $held_out and length > 1 then length else 0 end as bound,
       case when place < $held_out then length - 1 end as validation_at,
       case when place >= $held_out and place < 2 * $held_out then length - 1 end as test_at
from users join drawn_places using (user_code)
"""
LEAVE_LAST_OUT_SQL = """
create or replace temp table bounds as
select *,
       case when length > 3 then length - 2 else 0 end as bound,
       length - 2 as validation_at,
       length - 1 as test_at
from users
"""
GLOBAL_TIME_SQL = """
create or replace temp table bounds as
select users.*, bound,
       case when bound < before_test then bound end as validation_at,
       case when before_test < length then before_test end as test_at
from users join (
    select user_id,
           count(*) filter (timestamp < $validation_from) as bound,
           count(*) filter (timestamp < $test_from) as before_test
    from interactions group by user_id
) using (user_id)
"""
QUERIES_SQL = """
select sum(greatest(bound - $min_history, 0)) as train,
       count(*) filter (validation_at >= $min_history) as validation,
       count(*) filter (test_at >= $min_history) as test
from bounds
"""
PARTS_SQL = "select part, min(user_id), max(user_id) from bounds group by part order by part"
SEQUENCES_SQL = """
with own as (select * from bounds where part = $part),
placed as (
    select user_id, position, item_id as target, timestamp
    from interactions where user_id between $first_user and $last_user
    union all
    select user_id, length, null, null from own
)
select user_id, split, position, greatest(position - $history_limit, 0) as history_start, target, timestamp
from (
    select *,
           case when position = length then 'serve'
                when position < $min_history then null
                when position = validation_at then 'validation'
                when position = test_at then 'test'
                when position < bound then 'train'
           end as split
    from placed join own using (user_id)
)
where split is not null
order by user_id, position
"""
TRAINING_BOUNDS_SQL = "select user_id, bound from bounds where bound > 0 order by user_id"


def build_sequences(
    connection: duckdb.DuckDBPyConnection, interactions: Rows, config: InteractionsConfig, seed: int
) -> tuple[pa.RecordBatchReader, pa.RecordBatchReader]:
    """Return the queries: where a user stood, and what came next. And how far training may see.

    * by_user: users fall 8:1:1 into train, validation and test. Every interaction of a training user but the first is
      a target; of the others only the last.
    * leave_last_out: each user's last interaction is for test, the one before for validation, the earlier ones for
      training.
    * global_time: what happened before the 80 % quantile of all times is for training. Of what a user took from there
      on to the 90 % quantile the first is for validation, of what came later the first is for test. That is what a
      model trained at the cut is asked: no history holds anything from behind its cut, no user has two such moments,
      and nothing that training saw, of any user, is later than a query.

    A target with fewer than ``min_history`` interactions before it is no query. Each user has a serve row: the whole
    history, no target.

    Args:
        connection: as ``Store.duckdb`` gives it. Both results are made through it while they are read:
            read one to its end, then the other.
        interactions: as ``build_interactions`` gives them.
        config: the rule, and how long a history is kept.
        seed: draws the users of by_user.

    Returns:
        sequences: user_id, split, position (of the target), history_start (position of the first of the last
        ``history_limit`` items before it), target (null for serve), timestamp (of the target; null for serve and in
        data without times); sorted by user and position.
        training_bounds: user_id, bound. Training may see a user's interactions at positions below ``bound``, and none
        of users without a row.

    Raises:
        DataError: if a split has no query, or if data without times are to be cut by time.
    """
    register(connection, "interactions", interactions)
    connection.execute(USERS_SQL, {"part_rows": PART_ROWS})
    if config.split == "by_user":
        _bound_by_user(connection, seed)
    elif config.split == "leave_last_out":
        connection.execute(LEAVE_LAST_OUT_SQL)
    else:
        _bound_by_time(connection)
    _check_all_splits(connection, config)
    return (
        pa.RecordBatchReader.from_batches(SEQUENCES, _sequences(connection, config)),
        pa.RecordBatchReader.from_batches(TRAINING_BOUNDS, _training_bounds(connection)),
    )


def training_interactions(interactions: pd.DataFrame, training_bounds: pd.DataFrame) -> pd.DataFrame:
    """Return the interactions that training may see.

    Of by_user nothing of a validation or test user; of leave_last_out neither of a user's last two, and nothing of who
    has fewer than four; of global_time all that happened before validation begins.
    """
    bound = interactions[c.USER].map(training_bounds.set_index(c.USER)[BOUND]).fillna(0)
    return interactions[interactions[c.POSITION] < bound].reset_index(drop=True)


def query_counts(connection: duckdb.DuckDBPyConnection, sequences: Rows) -> dict[str, int]:
    """Return the number of queries of each split."""
    register(connection, "sequences", sequences)
    return dict(connection.execute("select split, count(*) from sequences group by split order by split").fetchall())


def _bound_by_user(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    users = connection.execute("select count(*) from users").fetchall()[0][0]
    order = np.random.default_rng([seed, 2]).permutation(users)
    place = np.empty(users, dtype=np.int64)
    place[order] = np.arange(users)
    register(connection, "drawn_places", pa.table({"user_code": np.arange(users), "place": place}))
    connection.execute(BY_USER_SQL, {"held_out": max(1, round(HELD_OUT_SHARE * users))})


def _bound_by_time(connection: duckdb.DuckDBPyConnection) -> None:
    cuts, untimed, total = connection.execute(CUTS_SQL, {"cuts": CUTS}).fetchall()[0]
    if untimed:
        raise DataError(
            f"{untimed} of {total} interactions have no time, so they cannot be cut by time. Set interactions.split to "
            "'leave_last_out' or 'by_user', which need an order only."
        )
    connection.execute(GLOBAL_TIME_SQL, {"validation_from": cuts[0], "test_from": cuts[1]})


def _sequences(connection: duckdb.DuckDBPyConnection, config: InteractionsConfig) -> Iterator[pa.RecordBatch]:
    """Return the rows of all users, some users at a time."""
    limits = {"min_history": config.min_history, "history_limit": config.history_limit}
    for part, first_user, last_user in connection.execute(PARTS_SQL).fetchall():
        of_part = {"part": part, "first_user": first_user, "last_user": last_user}
        rows = connection.sql(SEQUENCES_SQL, params=limits | of_part).to_arrow_table()
        yield from rows.cast(SEQUENCES).to_batches()


def _training_bounds(connection: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
    yield from connection.sql(TRAINING_BOUNDS_SQL).to_arrow_reader(BATCH_ROWS)


def _check_all_splits(connection: duckdb.DuckDBPyConnection, config: InteractionsConfig) -> None:
    counts = connection.execute(QUERIES_SQL, {"min_history": config.min_history}).fetchall()[0]
    missing = [name for name, count in zip((c.TRAIN, c.VALIDATION, c.TEST), counts, strict=True) if not count]
    if missing:
        users = connection.execute("select count(*) from users").fetchall()[0][0]
        raise DataError(
            f"{users} users give no {' and no '.join(missing)} queries (interactions.split {config.split}). Use more "
            f"data, raise interactions.user_core so that histories are long enough (4 for leave_last_out), lower "
            f"interactions.min_history ({config.min_history}), or change interactions.split."
        )
