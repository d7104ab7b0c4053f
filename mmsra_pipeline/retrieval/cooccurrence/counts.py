"""Counts who took one item soon after another, in SQL over numbered interactions.

An interaction weighs the square root of w, where w is 1 or what its user and its age make of it; a pair weighs the
product of both. So the sums are entries of $X^T X$, which is what makes a cosine of them one: at most 1.

Weights are rounded to whole multiples of 1 / ``SCALE`` before they are added. Such a sum is the same in whatever order
it is made, and what was added can be taken away again exactly.
"""

import duckdb

from mmsra_pipeline.config.tree import CooccurrenceConfig
from mmsra_pipeline.retrieval.times import DAY, HOUR, require_times
from mmsra_pipeline.storage.relations import Rows, register

SCALE = 10**12  # what is older than 40 half-lives weighs nothing
ITEM_BITS = 31  # a pair of items is one number: the first, then the second in the lower bits
SECOND = (1 << ITEM_BITS) - 1
READ_AHEAD = 16  # the widest window of which each place is a column: the fastest way while they are few

# Empty tables in place of what an earlier run left: numbers begin at 0.
NOTHING_BEFORE_SQL = """
create or replace temp view last_users as select ''::varchar as user_id, 0 as user where false;
create or replace temp view last_items as
    select ''::varchar as item_id, 0 as item, 0::bigint as users, 0::bigint as weight where false;
"""
NUMBER_SQL = """
create or replace temp table users as
    from last_users
    union all
    select user_id, (coalesce((select max(user) from last_users), -1) + row_number() over (order by user_id))::int
    from (select distinct user_id from training) anti join last_users using (user_id);
create or replace temp table items as
    select item_id, item from last_items
    union all
    select item_id, (coalesce((select max(item) from last_items), -1) + row_number() over (order by item_id))::int
    from (select distinct item_id from training) anti join last_items using (item_id);
create or replace temp table rows as
    select user, position::int as position, item, timestamp::bigint as timestamp
    from training join users using (user_id) join items using (item_id)
    order by user, position;
"""
TIMES_SQL = "select count(*) filter (timestamp is null), count(*), coalesce(max(timestamp), 0) from rows"
# Sessions are numbered through all users, so that a number stands for a user too.
SEQUENCE_SQL = """
create or replace temp table sequence as
    select user, (sum(begins) over by_place)::bigint as block, position, item, {weight} as weight
    from (
        select *, (user is distinct from lag(user) over by_place
                   or coalesce(timestamp - lag(timestamp) over by_place > {session_ms}, false))::int as begins
        from {rows}
        window by_place as (order by user, position)
    ) join (select user, count(*) as length from {rows} group by user) using (user)
    window by_place as (order by user, position rows unbounded preceding)
    order by block, position
"""


def number_training(
    connection: duckdb.DuckDBPyConnection, interactions: Rows, training_bounds: Rows | None, before: int | None
) -> None:
    """Make ``users``, ``items`` and ``rows``: what training may see, numbered, in order of user and position.

    Numbers of ``last_users`` and ``last_items`` stay; new ones follow in order of id.

    Args:
        connection: holds ``last_users`` and ``last_items``.
        interactions: as ``build_interactions`` gives them.
        training_bounds: as ``build_sequences`` gives them: training sees positions below a user's bound, as in
            ``training_interactions``. None: all interactions are for training.
        before: milliseconds; only what is known to be earlier counts. None: everything does.
    """
    register(connection, "interactions", interactions)
    training = "from interactions"
    if training_bounds is not None:
        register(connection, "training_bounds", training_bounds)
        training = "from interactions join training_bounds using (user_id) where position < bound"
    known = "true" if before is None else f"timestamp < {before:d}"
    connection.execute(f"create or replace temp view training as from ({training}) where {known}")
    connection.execute(NUMBER_SQL)


def sequence(connection: duckdb.DuckDBPyConnection, rows: str, config: CooccurrenceConfig) -> str:
    """Give the relation of what is joined: user, block, position, item and weight, in order of block and position.

    A block is a user, or a session. Age is counted from the newest interaction: from a later moment on all would weigh
    less by the same factor, and no score would be another.

    Raises:
        DataError: if sessions or age are asked for and some interaction has no time.
    """
    if config.session_hours is None and not weighted(config):
        return f"(select user, user as block, position, item from {rows})"
    session_ms = "null" if config.session_hours is None else f"{config.session_hours * HOUR!r}"
    weight = "1.0" if config.user_weight == "none" else "sqrt(1.0 / length)"
    if config.session_hours is not None or config.half_life_days is not None:
        untimed, total, newest = connection.execute(TIMES_SQL).fetchall()[0]
        require_times(untimed, total)
        if config.half_life_days is not None:
            weight += f" * pow(2, ({newest} - timestamp) / {-2 * config.half_life_days * DAY!r})"
    connection.execute(SEQUENCE_SQL.format(rows=rows, session_ms=session_ms, weight=weight))
    return "sequence"


def pairs_sql(source: str, config: CooccurrenceConfig) -> str:
    """Give the query of ``pair``, its ``users`` and their ``weight``, over a relation of ``sequence``."""
    if config.window is None or config.window > READ_AHEAD:
        joined = _framed(source, config.window, weighted(config))
    else:
        joined = _read_ahead(source, config.window, weighted(config))
    return (
        f"select pair, count(*) as users, {_sum('weight', config)} as weight "
        f"from ({joined}) where pair is not null group by pair"
    )


def items_sql(source: str, config: CooccurrenceConfig) -> str:
    """Give the query of ``item``, its ``users`` and their ``weight``, over a relation of ``sequence``."""
    square = "weight * weight" if weighted(config) else ""
    return f"select item, count(*) as users, {_sum(square, config)} as weight from {source} group by item"


def total_weight(connection: duckdb.DuckDBPyConnection, source: str, config: CooccurrenceConfig) -> int:
    """Give the weight of all users of a relation of ``sequence``, each as much as their heaviest interaction."""
    if weighted(config):
        each = f"select max(weight * weight) as weight from {source} group by user"
    else:
        each = f"select distinct user from {source}"
    return int(connection.execute(f"select coalesce({_sum('weight', config)}, 0) from ({each})").fetchall()[0][0])


def weighted(config: CooccurrenceConfig) -> bool:
    """Whether weights are other than 1. If not they are counted in users, else in 1 / ``SCALE``."""
    return config.user_weight != "none" or config.half_life_days is not None


def _sum(weight: str, config: CooccurrenceConfig) -> str:
    return f"sum(round({weight} * {SCALE})::bigint)" if weighted(config) else "count(*)"


def _read_ahead(source: str, window: int, with_weight: bool) -> str:
    """Look at the next rows as they lie in the table, whose order DuckDB keeps under an empty OVER."""
    pairs = ", ".join(
        f"case when lead(block, {gap}) over () = block and lead(position, {gap}) over () <= position + {window} "
        f"then item::bigint << {ITEM_BITS} | lead(item, {gap}) over () end"
        for gap in range(1, window + 1)
    )
    weights = ", ".join(f"weight * lead(weight, {gap}) over ()" for gap in range(1, window + 1))
    return f"select unnest([{pairs}]) as pair{f', unnest([{weights}]) as weight' if with_weight else ''} from {source}"


def _framed(source: str, window: int | None, with_weight: bool) -> str:
    """Collect what follows each row within the window, however wide: the work is as large as what comes out."""
    lists = "list(item) over ahead as others" + (", list(weight) over ahead as weights" if with_weight else "")
    end = "unbounded" if window is None else window
    return (
        f"select item::bigint << {ITEM_BITS} | unnest(others) as pair"
        f"{', weight * unnest(weights) as weight' if with_weight else ''} "
        f"from (select *, {lists} from {source} window ahead as "
        f"(partition by block order by position range between 1 following and {end} following))"
    )
