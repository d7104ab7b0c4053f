import numpy as np
import pandas as pd
import pytest
from ingest.building import sequences_of
from retrieval.histories import interactions_of

from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.histories import Histories, history_lengths
from mmsra_pipeline.interactions.query_table import (
    active_users,
    distinct_items,
    plain,
    read_interactions,
    read_queries,
    read_training,
)
from mmsra_pipeline.interactions.splits import build_sequences, training_interactions
from mmsra_pipeline.storage import table_writer

CONFIG = InteractionsConfig(user_core=1, item_core=1, split="leave_last_out", history_limit=3)
HISTORIES = {"u": "abcde", "v": "ba", "w": "cdefg"}


@pytest.fixture
def stored(store, monkeypatch):
    """The files of interactions, sequences and bounds, in groups of three rows, so that users lie in several."""
    monkeypatch.setattr(table_writer, "GROUP_ROWS", 3)
    interactions = store.replace("interactions", "shop", interactions_of(HISTORIES).astype({"timestamp": "Int64"}))
    with store.duckdb() as connection:
        sequences, bounds = build_sequences(connection, interactions.path, CONFIG, 0)
        rows = store.replace("sequences", "shop", sequences.read_all())
        return interactions.path, rows.path, store.replace("training_bounds", "shop", bounds.read_all()).path


def test_a_query_stores_where_its_history_begins_and_no_item_of_it(stored):
    rows = pd.read_parquet(stored[1])
    assert rows.columns.tolist() == ["user_id", "split", "position", "history_start", "target", "timestamp"]
    own = rows[rows["user_id"] == "u"]
    assert own[["position", "history_start"]].to_numpy().tolist() == [[1, 0], [2, 0], [3, 0], [4, 1], [5, 2]]


def test_slices_of_the_file_are_the_histories(stored):
    interactions, sequences, _ = stored
    rows = read_queries(sequences)
    written_out = Histories.read(interactions).joined_to(plain(rows))
    of_u = written_out[written_out["user_id"] == "u"]
    assert ["".join(history) for history in of_u["history"]] == ["a", "ab", "abc", "bcd", "cde"]
    expected, _ = sequences_of(interactions_of(HISTORIES), CONFIG)
    pd.testing.assert_frame_equal(written_out, expected, check_dtype=False)


@pytest.mark.parametrize("users", [{"w"}, {"w", "v"}, None])
def test_only_some_users_may_be_read(stored, users):
    interactions, sequences, _ = stored
    rows = plain(read_queries(sequences, users=users))
    assert set(rows["user_id"]) == (users or set(HISTORIES))
    histories = Histories.read(interactions, users)
    assert ["".join(items) for items in histories.lists(rows[rows["split"] == "serve"])] == [
        HISTORIES[user][-3:] for user in sorted(users or HISTORIES)
    ]
    assert dict(histories.of_users(["w", "nobody"])) == {"w": frozenset("cdefg")}


def test_all_that_was_taken_before_a_position_is_known_however_long_ago():
    histories = Histories.of(interactions_of(HISTORIES).sample(frac=1, random_state=0))
    assert "".join(histories.before("u", 4)) == "abcd"
    assert "".join(histories.before("u", 99)) == "abcde"
    assert histories.before("nobody", 3) == []


def test_queries_of_one_split_are_read_alone(stored):
    rows = read_queries(stored[1], ["test", "validation"])
    assert rows["split"].astype("str").tolist() == ["validation", "test", "test", "validation", "test"]
    assert rows["user_id"].cat.categories.tolist() == ["u", "v", "w"]


def test_tables_of_different_runs_are_refused(stored):
    rows = plain(read_queries(stored[1]))
    shorter = Histories.of(interactions_of({**HISTORIES, "u": "abc"}))
    with pytest.raises(DataError, match=r"2 of \d+ queries ask for more.*user_id='u', position=4.*'sequences' again"):
        shorter.lists(rows)
    with pytest.raises(DataError, match="queries ask for more"):
        Histories.of(interactions_of({"v": "ba", "w": "cdefg"})).flat(rows)


def test_training_and_items_are_read_as_they_are_made_in_memory(stored):
    interactions, _, bounds = stored
    expected = training_interactions(pd.read_parquet(interactions), pd.read_parquet(bounds)).drop(columns="rating")
    pd.testing.assert_frame_equal(
        plain(read_training(interactions, bounds)),
        expected[["user_id", "item_id", "timestamp", "position"]],
        check_dtype=False,
    )
    assert distinct_items(interactions) == list("abcdefg")
    assert plain(read_interactions(interactions, users={"v"}))["item_id"].tolist() == ["b", "a"]


def test_histories_have_the_same_length_written_out_or_not(stored):
    rows = plain(read_queries(stored[1]))
    np.testing.assert_array_equal(history_lengths(rows), history_lengths(Histories.read(stored[0]).joined_to(rows)))


def test_active_are_those_seen_in_the_last_days_before_the_latest_interaction(store):
    day = 86_400_000
    times = {"u": [0, 9 * day], "v": [0, 6 * day], "w": [7 * day, 10 * day], "x": [10 * day - 3 * day, None]}
    stored_slice = store.replace("interactions", "shop", interactions_of(dict.fromkeys(times, "ab"), times))
    with store.duckdb() as connection:
        assert active_users(connection, stored_slice.path, 3) == ["u", "w", "x"]
        assert active_users(connection, stored_slice.path, 4) == ["u", "v", "w", "x"]
    untimed = store.replace("interactions", "shop", interactions_of({"u": "ab"}))
    with (
        store.duckdb() as connection,
        pytest.raises(DataError, match=r"no interaction has a time.*recommendations\.users"),
    ):
        active_users(connection, untimed.path, 3)
