"""What only the data can tell of interactions: whether pairs repeat, items are described, times can be true."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np

from mmsra_pipeline.storage.relations import Rows, register

FIRST_TIME = datetime(1995, 1, 1, tzinfo=UTC)  # the first shops on the web; what lies before is a wrong unit
CLOCKS_DIFFER = timedelta(days=1)

TIMES_SQL = """
select count(*) as interactions,
       min(timestamp) as earliest,
       max(timestamp) as latest,
       count(*) filter (timestamp < $first or timestamp > $last) as strange_times
from interactions
"""
REPEATED_SQL = """
select count(*) from (select user_id, item_id from interactions group by user_id, item_id having count(*) > 1)
"""
TIED_SQL = """
select coalesce(sum(n), 0)
from (
    select count(*) as n from interactions where timestamp is not null group by user_id, timestamp having count(*) > 1
)
"""
ONLY_SQL = """
create or replace temp table only_reviewed as
    select distinct item_id, {like} as alike from interactions anti join raw_items using (item_id);
create or replace temp table only_described as
    select item_id, {like} as alike from raw_items anti join interactions using (item_id);
""".format(like=r"regexp_replace(regexp_replace(lower(trim(item_id)), '[.]0+$', ''), '^0+', '')")
ALIKE_SQL = """
select reviewed.item_id, described.item_id from only_reviewed reviewed join only_described described using (alike)
order by all limit $most
"""
EXAMPLES = 3
KNOWN_SQL = "select count(*) from interactions semi join raw_items using (item_id)"


@dataclass(frozen=True)
class InteractionMeasures:
    """Counts of interactions; dates are ISO 8601, UTC, None in data without times."""

    interactions: int
    repeated_pairs: int
    """Pairs of user and item that have more than one row."""
    known_items: int
    """Interactions whose item has a row in ``raw_items``."""
    strange_times: int
    """Interactions before 1995 or more than a day after now."""
    earliest: str | None
    latest: str | None
    tied: int = 0
    """Interactions at the time of another one of the same user."""
    only_reviewed: tuple[str, ...] = ()
    """Some items that ``raw_items`` lacks."""
    only_described: tuple[str, ...] = ()
    """Some items of ``raw_items`` that nobody took."""
    alike: tuple[tuple[str, str], ...] = ()
    """Some pairs of these that differ in case, leading zeros or a '.0' alone."""


def measure_interactions(
    connection: duckdb.DuckDBPyConnection, interactions: Rows, raw_items: Rows, now: datetime
) -> InteractionMeasures:
    """Measure the table ``interactions``; ``now`` is the time, with its zone, after which nothing can have happened."""
    register(connection, "interactions", interactions)
    register(connection, "raw_items", raw_items)
    limits = {"first": _milliseconds(FIRST_TIME), "last": _milliseconds(now + CLOCKS_DIFFER)}
    count, earliest, latest, strange = connection.execute(TIMES_SQL, limits).fetchall()[0]
    connection.execute(ONLY_SQL)
    some = {
        name: tuple(str(item) for (item,) in connection.execute(f"select item_id from {name} order by 1 limit $most",
                                                                {"most": EXAMPLES}).fetchall())
        for name in ("only_reviewed", "only_described")
    }  # fmt: skip
    return InteractionMeasures(
        interactions=count,
        repeated_pairs=connection.execute(REPEATED_SQL).fetchall()[0][0],
        known_items=connection.execute(KNOWN_SQL).fetchall()[0][0],
        strange_times=strange,
        earliest=_date(earliest),
        latest=_date(latest),
        tied=int(connection.execute(TIED_SQL).fetchall()[0][0]),
        alike=tuple(connection.execute(ALIKE_SQL, {"most": EXAMPLES}).fetchall()),
        **some,
    )


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _date(milliseconds: int | None) -> str | None:
    """Return a date of whatever year: a wrong unit leads far beyond what ``datetime`` knows."""
    return None if milliseconds is None else str(np.datetime_as_string(np.datetime64(milliseconds, "ms"), unit="D"))
