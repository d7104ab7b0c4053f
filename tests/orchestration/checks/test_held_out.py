import math

import duckdb
import pandas as pd
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.checks.again import stored_checks
from mmsra_pipeline.orchestration.checks.held_out import hits_alike, no_test_among_similar, only_training
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.storage.paths import Paths

SEQUENCES = pd.DataFrame(
    [("train", "u", 1, "b", 10), ("train", "v", 1, "d", 5), ("validation", "u", 2, "c", 20), ("test", "u", 3, "d", 30)],
    columns=["split", "user_id", "position", "target", "timestamp"],
).assign(history_start=0)


def asked(*keys):
    return pd.DataFrame(keys, columns=["split", "user_id", "position"])


@pytest.mark.parametrize("key", [("test", "u", 3), ("train", "u", 3), ("train", "w", 1)])
def test_a_query_of_the_test_split_or_of_none_blocks(key):
    found = only_training("no_test_query", "drawn queries", asked(("train", "u", 1), key), SEQUENCES)
    assert (found.passed, found.severity.value) == (False, "ERROR")
    assert "1 of 2 drawn queries ask for a query" in found.description or key[0] == "test"


def test_queries_of_training_and_validation_pass():
    keys = asked(("train", "u", 1), ("validation", "u", 2))
    assert only_training("no_test_query", "drawn queries", keys, SEQUENCES).passed


@pytest.mark.parametrize(
    ("asset", "name"), [("training_queries", "no_test_query"), ("sft_dataset", "no_held_out_query")]
)
def test_a_staged_test_query_is_found(tmp_path, asset, name):
    stage = Stage(asset, "shop", "", "", Config(), Paths(tmp_path))
    stage.store.replace(Tables.SEQUENCES, "shop", SEQUENCES)
    stage.store.replace(
        Tables.INTERACTIONS, "shop", SEQUENCES[["user_id", "position", "timestamp"]].assign(item_id="a")
    )
    stage.store.replace(Tables.TRAINING_BOUNDS, "shop", pd.DataFrame({"user_id": ["u"], "bound": [2]}))
    nobody = similar(("u", 1, "v", 1, "d")).head(0)
    stage.store.replace(Tables.SIMILAR_USERS, "shop", nobody)
    stage.write(asset, asked(("test", "u", 3)).assign(task="choose", items=[["a"]], classes=[[[0]]]))
    assert [one.passed for one in stored_checks(stage) if one.check_name == name] == [False]


def similar(*rows):
    columns = ["user_id", "position", "neighbor_id", "neighbor_position", "item_id"]
    return pd.DataFrame(rows, columns=columns).assign(rank=1, score=1.0, timestamp=5)


def among_similar(rows, queries):
    with duckdb.connect() as connection:
        return no_test_among_similar(rows, queries, SEQUENCES, connection)


def test_a_neighbours_next_item_that_is_held_out_blocks():
    training = SEQUENCES[SEQUENCES["split"] == "train"]
    assert among_similar(similar(("u", 1, "v", 1, "d")), training).passed
    for row in [("v", 1, "u", 3, "d"), ("v", 1, "u", 2, "c"), ("u", 1, "v", 1, "b")]:
        found = among_similar(similar(row), training)
        assert (found.passed, found.severity.value) == (False, "ERROR")
        assert "1 of 1 next items of similar users are of no training row" in found.description


def test_a_training_query_that_is_a_test_query_too_blocks():
    found = among_similar(similar(("u", 1, "v", 1, "d")).head(0), asked(("train", "u", 3)))
    assert not found.passed
    assert "1 of 1 training queries are test queries too" in found.description


def test_the_staged_similar_users_are_looked_at(tmp_path):
    stage = Stage(Tables.SIMILAR_USERS, "shop", "", "", Config(), Paths(tmp_path))
    stage.store.replace(Tables.SEQUENCES, "shop", SEQUENCES)
    stage.store.replace(Tables.TRAINING_QUERIES, "shop", asked(("train", "u", 1)))
    stage.write(Tables.SIMILAR_USERS, similar(("u", 1, "v", 1, "d"), ("u", 3, "u", 3, "d")).assign(timestamp=[5, 30]))
    found = {one.check_name: one.passed for one in stored_checks(stage)}
    assert not found["nothing_from_the_future"]
    assert not found["no_test_query"]
    assert found["hits_as_in_test"]


@pytest.mark.parametrize(("training", "test", "passed"), [
    (0.5, 0.2, False), (0.16, 0.05, False), (0.14, 0.05, True), (0.6, 0.45, True),
    (0.1, 0.5, True), (math.nan, 0.1, True),
])  # fmt: skip
def test_a_hit_share_of_training_far_above_that_of_test_warns(training, test, passed):
    found = hits_alike(training, test)
    assert (found.passed, found.severity.value) == (passed, "WARN")
    assert ("set retrieval.encoder.folds" in found.description) != passed
