"""Raw reviews to interactions: which count, in which order, and how many each step leaves.

All of it is SQL over one table of numbers that DuckDB keeps on disk where memory is short. Users and items are numbered
in the order of their ids, so that sorting by number is sorting by id.
"""

import logging

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.storage.relations import BATCH_ROWS, Rows, register

logger = logging.getLogger(__name__)

SOURCE_SQL = "select count(distinct user_id), count(distinct item_id), count(*) from raw_reviews"
NUMBER_SQL = """
create or replace temp table users as
    select user_id, row_number() over (order by user_id) - 1 as user_code
    from (select distinct user_id from raw_reviews);
create or replace temp table items as
    select item_id, row_number() over (order by item_id) - 1 as item_code
    from (select distinct item_id from raw_reviews);
"""
# Equal reviews have equal hashes; the text itself is not kept. Lines that differ in what is not read are no duplicates.
# Without a time the place in the source is the time, so no two rows are the same.
EXACT_DUPLICATES_SQL = """
create or replace temp table kept as
    select user_code, item_code, timestamp, rating, min(place) as place
    from (
        select user_code, item_code, timestamp::bigint as timestamp, rating::double as rating, "order" as place,
               hash(review, line_hash) as review_hash,
               case when timestamp is null then "order" end as untimed_place
        from raw_reviews join users using (user_id) join items using (item_id)
    )
    group by user_code, item_code, timestamp, rating, review_hash, untimed_place
"""
MIN_RATING_SQL = "delete from kept where rating < $min_rating"
REQUIRE_IMAGE_SQL = """
delete from kept where item_code not in (
    select item_code from items join raw_items using (item_id) where image_sha256 is not null
)
"""
REPEATED_PAIRS_SQL = """
delete from kept where rowid in (
    select rowid from kept
    qualify row_number() over (partition by user_code, item_code order by $sign * timestamp, $sign * place) > 1
)
"""
MAX_ITEMS_SQL = """
delete from kept where item_code not in (
    select item_code from kept group by item_code order by count(*) desc, item_code limit $max_items
)
"""
K_CORE_SQL = """
delete from kept
where user_code in (select user_code from kept group by user_code having count(*) < $user_core)
   or item_code in (select item_code from kept group by item_code having count(*) < $item_core)
"""
MAX_USERS_SQL = "delete from kept where user_code not in (select user_code from drawn_users)"
LEFT_SQL = "select count(distinct user_code), count(distinct item_code), count(*) from kept"
INTERACTIONS_SQL = """
select user_id, item_id, timestamp, rating,
       row_number() over (partition by user_code order by timestamp, place, item_code) - 1 as position
from kept join users using (user_code) join items using (item_code)
order by user_code, position
"""


def build_interactions(
    connection: duckdb.DuckDBPyConnection,
    raw_reviews: Rows,
    config: InteractionsConfig,
    seed: int,
    *,
    raw_items: Rows | None = None,
) -> tuple[pa.RecordBatchReader, pd.DataFrame]:
    """Return the interactions that count, and how many users, items and interactions each step left.

    Order: by user, and of a user by time, then by place in the source, then by item. Data without times are in the
    order of the source.

    Args:
        connection: as ``Store.duckdb`` gives it. The interactions are made through it while they are read:
            read them to their end before it is used for anything else.
        raw_reviews: columns as in ``raw.REVIEWS``.
        config: the steps.
        seed: draws the users that ``max_users`` keeps, out of the sorted ids of those left.
        raw_items: columns as in ``raw.ITEMS``; only ``require_image`` reads it.

    Returns:
        interactions: user_id, item_id, timestamp, rating, position (0-based), sorted by user and position.
        funnel: step, users, items, interactions. Steps that the settings leave out have no row; each round of the
        k-core has one.

    Raises:
        DataError: if nothing is left, naming the step.
    """
    register(connection, "raw_reviews", raw_reviews)
    funnel = _Funnel(connection, config)
    funnel.count("source", SOURCE_SQL)
    connection.execute(NUMBER_SQL)
    connection.execute(EXACT_DUPLICATES_SQL)
    funnel.count("exact_duplicates")
    if config.min_rating is not None:
        connection.execute(MIN_RATING_SQL, {"min_rating": config.min_rating})
        funnel.count("min_rating")
    if config.require_image:
        if raw_items is None:
            raise ValueError("require_image needs raw_items")
        register(connection, "raw_items", raw_items)
        connection.execute(REQUIRE_IMAGE_SQL)
        funnel.count("require_image")
    connection.execute(REPEATED_PAIRS_SQL, {"sign": 1 if config.repeats == "first" else -1})
    funnel.count("repeated_pairs")
    if config.max_items is not None:
        connection.execute(MAX_ITEMS_SQL, {"max_items": config.max_items})
        funnel.count("max_items")
    _take_core(connection, config, funnel)
    if config.max_users is not None:
        _draw_users(connection, config.max_users, seed)
        funnel.count("max_users")
    logger.info("interactions:\n%s", funnel.table().to_string(index=False))
    return connection.sql(INTERACTIONS_SQL).to_arrow_reader(BATCH_ROWS), funnel.table()


class _Funnel:
    """Counts what each step left, and stops where nothing is."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, config: InteractionsConfig) -> None:
        self._connection = connection
        self._config = config
        self._rows: list[tuple[str, int, int, int]] = []

    def count(self, step: str, query: str = LEFT_SQL) -> None:
        """Add a row.

        Raises:
            DataError: if nothing is left.
        """
        users, items, interactions = self._connection.execute(query).fetchall()[0]
        self._rows.append((step, users, items, interactions))
        if not interactions:
            raise DataError(self._nothing_left(step))

    def table(self) -> pd.DataFrame:
        """Return step, users, items, interactions."""
        return pd.DataFrame(self._rows, columns=["step", "users", "items", "interactions"])

    def _nothing_left(self, step: str) -> str:
        config, funnel = self._config, ", ".join(f"{name} {left}" for name, _, _, left in self._rows)
        remedy = {
            "source": "The source has none.",
            "min_rating": f"Lower interactions.min_rating ({config.min_rating}).",
            "require_image": "Set interactions.require_image to false, or check the picture folder.",
            "k_core": f"Lower interactions.user_core ({config.user_core}) or interactions.item_core "
            f"({config.item_core}).",
        }
        fixed = remedy.get(step.partition(" ")[0], "Loosen that setting.")
        return f"no interaction is left after step {step!r} ({funnel}). {fixed}"


def _take_core(connection: duckdb.DuckDBPyConnection, config: InteractionsConfig, funnel: _Funnel) -> None:
    """Leave the largest part in which each user has ``user_core`` interactions and each item ``item_core``.

    Each round removes the users and the items that fall short among what the round before left. The part is unique:
    whatever the order of removal, it ends there. The first round is counted, and every other that removes something.
    """
    cores = {"user_core": config.user_core, "item_core": config.item_core}
    number = 1
    while connection.execute(K_CORE_SQL, cores).fetchall()[0][0] or number == 1:
        funnel.count(f"k_core round {number}")
        number += 1


def _draw_users(connection: duckdb.DuckDBPyConnection, count: int, seed: int) -> None:
    """Leave ``count`` users. Who they are depends on the ids of those there are and on the seed alone."""
    users = connection.execute("select distinct user_code from kept order by user_code").fetchnumpy()["user_code"]
    if len(users) <= count:
        return
    chosen = np.random.default_rng([seed, 1]).choice(len(users), size=count, replace=False)
    register(connection, "drawn_users", pa.table({"user_code": users[chosen]}))
    connection.execute(MAX_USERS_SQL)
