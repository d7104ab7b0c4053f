"""Items that users take soon after each other: the neighbor table, made in SQL from counts of pairs."""

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.tree import CooccurrenceConfig
from mmsra_pipeline.retrieval.cooccurrence.counts import (
    ITEM_BITS,
    NOTHING_BEFORE_SQL,
    SECOND,
    items_sql,
    number_training,
    pairs_sql,
    sequence,
    total_weight,
)
from mmsra_pipeline.storage.relations import BATCH_ROWS, Rows

USERS = "users"
NEIGHBORS = pa.schema(
    {c.ITEM: pa.string(), c.NEIGHBOR: pa.string(), c.RANK: pa.int64(), c.SCORE: pa.float64(), USERS: pa.int64()}
)
SCORES = {
    "cosine": "pair_weight / sqrt(item_weight * neighbor_weight)",
    "lift": "pair_weight * $total / (item_weight * neighbor_weight)",
    "pmi": "ln(pair_weight * $total / (item_weight * neighbor_weight))",
}
NEIGHBORS_SQL = """
with sums as (
    select item, item_id, weight::double as weight, row_number() over (order by item_id) as place
    from item_counts join items using (item)
    where weight > 0
),
joined as (
    select first.place as item_place, second.place as neighbor_place, pairs.users,
           pairs.weight::double as pair_weight, first.weight as item_weight, second.weight as neighbor_weight
    from pair_counts pairs
    join sums first on first.item = pairs.pair >> {bits}
    join sums second on second.item = pairs.pair & {second}
    where pairs.users >= $min_users and pairs.weight > 0
),
ranked as (
    select item_place, neighbor_place, users, {score} as score,
           row_number() over (partition by item_place order by score desc, users desc, neighbor_place) as rank
    from joined
    qualify rank <= $per_item
)
select first.item_id, second.item_id as neighbor_id, rank, score, users
from ranked join sums first on first.place = item_place join sums second on second.place = neighbor_place
order by item_place, rank
"""


@dataclass(frozen=True)
class Counts:
    """What was counted; the sums are the relations ``pair_counts`` and ``item_counts`` of a connection."""

    total: int
    """Weight of all users."""
    interactions: int
    """Rows that training may see."""
    counted_users: int
    """Users whose rows were read pair by pair to come to these sums."""


def cooccurrence_neighbors(
    connection: duckdb.DuckDBPyConnection,
    interactions: Rows,
    config: CooccurrenceConfig,
    *,
    training_bounds: Rows | None = None,
    before: int | None = None,
) -> pa.RecordBatchReader:
    """Give the items that users most often take soon after each item, best first. See ``neighbors``.

    Args:
        connection: as ``Store.duckdb`` gives it. The result is made through it while it is read.
        interactions: as ``build_interactions`` gives them.
        config: which pairs count, how much, and how many are given.
        training_bounds: as ``build_sequences`` gives them; None: all interactions are for training.
        before: milliseconds: only what is known to have happened earlier counts. None: everything does.

    Raises:
        DataError: if sessions or age are asked for and some interaction has no time.
    """
    connection.execute(NOTHING_BEFORE_SQL)
    number_training(connection, interactions, training_bounds, before)
    return neighbors(connection, count_anew(connection, config), config)


def count_anew(connection: duckdb.DuckDBPyConnection, config: CooccurrenceConfig) -> Counts:
    """Count all pairs and items of the table ``rows``."""
    source = sequence(connection, "rows", config)
    connection.execute(f"create or replace temp table item_counts as {items_sql(source, config)}")
    connection.execute(f"create or replace temp view pair_counts as {pairs_sql(source, config)}")
    rows, users = connection.execute("select (select count(*) from rows), (select count(*) from users)").fetchall()[0]
    return Counts(total_weight(connection, source, config), rows, users)


def neighbors(
    connection: duckdb.DuckDBPyConnection, counts: Counts, config: CooccurrenceConfig
) -> pa.RecordBatchReader:
    r"""Give the best neighbors of each item.

    $$\text{cosine} = \frac{W_{ab}}{\sqrt{W_a W_b}} \quad \text{lift} = \frac{W_{ab} N}{W_a W_b} \quad
    \text{pmi} = \ln \text{lift}$$

    $W_{ab}$ is the weight of the users who took b at most ``window`` interactions after a, $W_a$ that of all who took
    a, $N$ that of all users. Where neither ``user_weight`` nor ``half_life_days`` is set each user weighs 1. With them
    an interaction weighs $w = 2^{-age / half life}$ times the weight of its user, a pair $\sqrt{w_a w_b}$, a user as
    much as his heaviest interaction.

    Returns:
        ``item_id``, ``neighbor_id``, ``rank`` from 1, ``score``, and ``users``, how many took the neighbor soon after;
        by item and rank. Equal scores are ordered by users, then by id.
    """
    sql = NEIGHBORS_SQL.format(score=SCORES[config.normalization], bits=ITEM_BITS, second=SECOND)
    parameters: dict[str, float] = {"min_users": config.min_users, "per_item": config.neighbors_per_item}
    if config.normalization != "cosine":
        parameters["total"] = float(counts.total)
    found = connection.sql(sql, params=parameters).to_arrow_reader(BATCH_ROWS)
    return pa.RecordBatchReader.from_batches(NEIGHBORS, (batch.cast(NEIGHBORS) for batch in found))
