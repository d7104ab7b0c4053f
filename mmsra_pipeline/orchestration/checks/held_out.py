"""Whether what is held out, or lies in the future, reached what a training sees."""

import math
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd

from mmsra_pipeline.columns import POSITION, RANK, SPLIT, TEST, TRAIN, USER, Tables
from mmsra_pipeline.orchestration.checks.names import ALIKE, NO_FUTURE, NO_HELD_OUT, NO_TEST
from mmsra_pipeline.orchestration.checks.results import check

if TYPE_CHECKING:
    import duckdb

    from mmsra_pipeline.orchestration.stage import Stage
    from mmsra_pipeline.storage.relations import Rows

SHARED_SQL = """
select count(*) from asked semi join (select * from sequences where split = 'test') using (user_id, position)
"""
STRANGE_SQL = """
select count(*) filter (target is distinct from item_id), count(*)
from found left join (
    select user_id as neighbor_id, position as neighbor_position, target from sequences where split = 'train'
) using (neighbor_id, neighbor_position)
"""
KEY = [SPLIT, USER, POSITION]
ABOVE, TIMES = 0.1, 1.5  # how far the hit share of training may be above that of test: by both is too far


def example_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check which queries the examples of the recommender ask for."""
    asked = pd.read_parquet(stage.path(Tables.SFT_DATASET), columns=KEY).dropna(subset=[USER])
    return [only_training(NO_HELD_OUT, "examples", asked, _keys(stage))]


def drawn_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check which queries were drawn for the recommender."""
    drawn = pd.read_parquet(stage.path(Tables.TRAINING_QUERIES), columns=KEY)
    return [only_training(NO_TEST, "drawn queries", drawn, _keys(stage))]


def similar_user_checks(stage: "Stage") -> list[dg.AssetCheckResult]:
    """Check what similar users show: nothing that is held out or lies in the future, and as much as later."""
    from mmsra_pipeline.orchestration.queries import answered_queries
    from mmsra_pipeline.retrieval.similar_users import hit_share, leak_rate

    config = stage.config.retrieval.similar_users
    rows, queries = answered_queries(stage)
    in_prompts, asked, tested = (
        rows[rows[RANK] <= config.k],
        *(queries[queries[SPLIT] == split] for split in (TRAIN, TEST)),
    )
    with stage.store.duckdb() as connection:
        held_out = no_test_among_similar(
            stage.path(Tables.SIMILAR_USERS), asked, stage.path(Tables.SEQUENCES), connection
        )
    return [
        leak_check(leak_rate(rows, queries), config.rule),
        held_out,
        hits_alike(hit_share(in_prompts, asked), hit_share(in_prompts, tested)),
    ]


def only_training(name: str, what: str, asked: pd.DataFrame, sequences: pd.DataFrame) -> dg.AssetCheckResult:
    """Block on queries that are of the test split, or of another than they say."""
    known = asked.merge(sequences[KEY], on=KEY, how="inner")
    wrong = len(asked) - len(known) + int((asked[SPLIT] == TEST).sum())
    found = f"{wrong} of {len(asked)} {what} ask for a query that is not of their own split, training or validation"
    remedy = "" if not wrong else ". Materialize sequences and training_queries again; what stays is a bug: report it"
    return check(name, wrong == 0, found + remedy)


def no_test_among_similar(
    rows: "Rows", asked: pd.DataFrame, sequences: "Rows", connection: "duckdb.DuckDBPyConnection"
) -> dg.AssetCheckResult:
    """Block on training queries that are test queries too, and on next items of neighbours that are held out.

    Args:
        rows: the table similar_users.
        asked: the training queries among its queries.
        sequences: the queries of all splits; the knowledge base is its training rows.
        connection: joins them.
    """
    from mmsra_pipeline.storage.relations import register

    for name, table in (("found", rows), ("asked", asked[[USER, POSITION]]), ("sequences", sequences)):
        register(connection, name, table)
    [[shared]] = connection.execute(SHARED_SQL).fetchall()
    [[strange, count]] = connection.execute(STRANGE_SQL).fetchall()
    found = (
        f"{shared} of {len(asked)} training queries are test queries too; {strange} of {count} next items of "
        "similar users are of no training row"
    )
    remedy = "" if not shared + strange else ". Materialize sequences, training_queries and similar_users again"
    return check(NO_TEST, shared + strange == 0, found + remedy)


def hits_alike(training: float, test: float) -> dg.AssetCheckResult:
    """Warn where similar users know far more of training queries than of test queries."""
    if math.isnan(training) or math.isnan(test):
        return check(ALIKE, True, "there are no training or no test queries, so it cannot be measured", warn=True)
    passed = training - test <= ABOVE or training <= TIMES * test
    found = f"similar users hit what came next for {training:.1%} of training queries, for {test:.1%} of test queries"
    remedy = (
        ""
        if passed
        else (
            ". The recommender would learn to trust them more than they are worth later: set "
            "retrieval.encoder.folds, and retrieval.similar_users.rule to as_of"
        )
    )
    return check(ALIKE, passed, found + remedy, warn=True)


def leak_check(leaks: float, rule: str) -> dg.AssetCheckResult:
    """Block on next items that lie after their query, under the rule that forbids it."""
    if math.isnan(leaks):
        return check(NO_FUTURE, True, "the data have no times, so it cannot be measured")
    found = f"{leaks:.2%} of the similar users' next items lie after the query (rule {rule})"
    return check(NO_FUTURE, leaks == 0 or rule != "as_of", found, leak_rate=leaks)


def _keys(stage: "Stage") -> pd.DataFrame:
    return pd.read_parquet(stage.path(Tables.SEQUENCES), columns=KEY)
