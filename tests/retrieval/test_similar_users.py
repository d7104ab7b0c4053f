import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from retrieval.histories import interactions_of, query, random_encoder, sequences_of

from mmsra_pipeline.config.tree import SimilarUsersConfig
from mmsra_pipeline.retrieval.similar_users import find_similar_users, hit_share, leak_rate
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder, fold_of

ITEMS = ["a", "b", "c", "d", "e"]
AS_OF = SimilarUsersConfig(k=2, voters=2, rule="as_of")
PAPER = SimilarUsersConfig(k=2, voters=2, rule="training_users")
HISTORIES = {"past": ["a", "b", "c"], "future": ["a", "b", "d"], "other": ["e", "d", "a"]}
TIMES = {"past": [1, 2, 3], "future": [11, 12, 13], "other": [4, 5, 6]}


def one_encoder() -> FoldedEncoder:
    return FoldedEncoder(random_encoder(ITEMS))


@pytest.fixture
def sequences():
    return sequences_of(interactions_of(HISTORIES, TIMES))


def test_a_planted_future_neighbour_never_appears(sequences):
    asked = query("me", ["a", "b"], 10)
    found = find_similar_users(one_encoder(), sequences, asked, AS_OF)
    assert found["neighbor_id"].tolist() == ["past", "other"]
    assert found["item_id"].iloc[0] == "c"  # after the same history
    assert found["score"].iloc[0] == pytest.approx(1.0)
    assert leak_rate(found, asked) == 0.0


def test_the_rule_of_the_paper_lets_the_future_in_and_its_leak_is_measured(sequences):
    asked = query("me", ["a", "b"], 10)
    found = find_similar_users(one_encoder(), sequences, asked, PAPER)
    assert found["neighbor_id"].tolist() == ["future", "past"]
    assert leak_rate(found, asked) == 0.5


def test_what_happens_at_the_very_moment_of_the_query_is_not_before_it(sequences):
    found = find_similar_users(one_encoder(), sequences, query("me", ["a", "b"], 3), AS_OF)
    assert found["timestamp"].tolist() == [2]
    assert found["item_id"].tolist() == ["b"]  # of the same neighbour's shorter history


def test_the_querying_user_is_never_its_own_neighbour(sequences):
    found = find_similar_users(one_encoder(), sequences, sequences, AS_OF)
    assert (found["user_id"] != found["neighbor_id"]).all()
    assert leak_rate(found, sequences) == 0.0
    first = sequences[sequences["timestamp"] == sequences["timestamp"].min()]
    assert find_similar_users(one_encoder(), sequences, first, AS_OF).empty


def test_a_neighbour_counts_once_by_its_best_moment(sequences):
    found = find_similar_users(one_encoder(), sequences, query("me", ["a"], 100), AS_OF)
    assert found["neighbor_id"].is_unique
    best = found.set_index("neighbor_id").loc["past"]
    assert (best["neighbor_position"], best["item_id"]) == (1, "b")


def test_only_training_rows_are_searched(sequences):
    held_out = sequences.assign(split=np.where(sequences["user_id"] == "past", "test", "train"))
    found = find_similar_users(one_encoder(), held_out, query("me", ["a", "b"], 10), AS_OF)
    assert found["neighbor_id"].tolist() == ["other"]


def test_serve_queries_see_everything(sequences):
    asked = query("past", ["a", "b", "c"], None, split="serve", target=None)
    found = find_similar_users(one_encoder(), sequences, asked, AS_OF)
    assert set(found["neighbor_id"]) == {"future", "other"}
    with warnings.catch_warnings(action="error"):
        assert math.isnan(leak_rate(found, asked))


def test_serve_queries_see_entries_without_a_time_too(sequences):
    sequences.loc[sequences["user_id"] == "past", "timestamp"] = pd.NA
    asked = query("me", ["a", "b"], None, split="serve", target=None)
    found = find_similar_users(one_encoder(), sequences, asked, AS_OF)
    assert found["neighbor_id"].tolist() == ["future", "past"]
    assert found["timestamp"].isna().tolist() == [False, True]


def test_of_moments_that_are_all_alike_each_neighbours_last_counts():
    encoder = one_encoder()
    torch.nn.init.zeros_(encoder.full.model.norm.weight)
    torch.nn.init.ones_(encoder.full.model.norm.bias)  # every history has the same vector
    sequences = sequences_of(interactions_of(HISTORIES))
    for seed in range(5):
        shuffled = sequences.sample(frac=1, random_state=seed)
        found = find_similar_users(encoder, shuffled, query("me", ["a"], None), AS_OF)
        assert found["neighbor_id"].tolist() == ["future", "other"]
        assert found["neighbor_position"].tolist() == [2, 2]
        assert found["score"].tolist() == pytest.approx([1.0, 1.0])


def test_untimed_data_fall_back_to_training_users_and_say_so(caplog):
    sequences = sequences_of(interactions_of(HISTORIES))
    found = find_similar_users(one_encoder(), sequences, query("me", ["a", "b"], None), AS_OF)
    assert found["neighbor_id"].tolist() == ["future", "past"]
    assert "the data have no times" in caplog.text
    assert math.isnan(leak_rate(found, query("me", ["a", "b"], None)))


def test_a_query_without_a_time_in_timed_data_gets_nobody_and_is_counted(sequences, caplog):
    assert find_similar_users(one_encoder(), sequences, query("me", ["a"], None), AS_OF).empty
    assert "1 queries have no time in data with times" in caplog.text


def test_entries_without_a_time_are_not_shown_to_be_past(sequences):
    sequences.loc[sequences["user_id"] == "past", "timestamp"] = pd.NA
    found = find_similar_users(one_encoder(), sequences, query("me", ["a", "b"], 10), AS_OF)
    assert found["neighbor_id"].tolist() == ["other"]
    unsafe = find_similar_users(one_encoder(), sequences, query("me", ["a", "b"], 10), PAPER)
    assert leak_rate(unsafe, query("me", ["a", "b"], 10)) == 1.0  # one after, one of unknown time


def test_a_history_of_unknown_items_has_no_similar_user(sequences):
    assert find_similar_users(one_encoder(), sequences, query("me", ["?"], 10), AS_OF).empty


def test_the_order_of_the_rows_changes_nothing(sequences):
    encoder = one_encoder()
    shuffled = sequences.sample(frac=1, random_state=5)
    asked = query("me", ["a", "b"], 100)
    pd.testing.assert_frame_equal(
        find_similar_users(encoder, sequences, asked, AS_OF), find_similar_users(encoder, shuffled, asked, AS_OF)
    )


def test_the_table_has_its_columns_and_types(sequences):
    found = find_similar_users(one_encoder(), sequences, query("me", ["a", "b"], 10), AS_OF)
    assert {name: str(kind) for name, kind in found.dtypes.items()} == {
        "user_id": "str", "position": "int64", "rank": "int64", "neighbor_id": "str", "neighbor_position": "int64",
        "item_id": "str", "timestamp": "Int64", "score": "float64",
    }  # fmt: skip


def test_an_item_taken_at_the_very_moment_of_the_query_is_a_leak():
    asked = query("me", ["a", "b"], 10)
    retrieved = pd.DataFrame({"user_id": "me", "position": 2, "timestamp": pd.array([9, 10, 11, None], dtype="Int64")})
    assert leak_rate(retrieved, asked) == 0.75


def test_the_hit_share_counts_queries_whose_target_was_retrieved():
    asked = pd.concat([query("u", ["a"], 9, target="b"), query("v", ["a"], 9, target="c"),
                       query("w", ["a"], 9, target="b"), query("x", ["a"], 9, target="d")])  # fmt: skip
    rows = [("u", 1, "b"), ("u", 1, "b"), ("v", 1, "b"), ("w", 1, "d"), ("w", 1, "b"), ("x", 2, "d"), ("y", 1, "b")]
    retrieved = pd.DataFrame(rows, columns=["user_id", "position", "item_id"])
    assert hit_share(retrieved, asked) == 0.5  # u and w; x found nobody at its position
    assert hit_share(retrieved.iloc[:0], asked) == 0.0
    assert math.isnan(hit_share(retrieved, asked.iloc[:0]))


def test_the_rule_of_the_paper_hits_by_what_lies_in_the_future(sequences):
    asked = query("me", ["a", "b"], 10, target="d")  # what "future" takes on day 13
    encoder = one_encoder()
    assert hit_share(find_similar_users(encoder, sequences, asked, PAPER), asked) == 1.0
    assert hit_share(find_similar_users(encoder, sequences, asked, AS_OF), asked) == 0.0


def test_an_empty_history_has_no_similar_user(sequences):
    assert find_similar_users(one_encoder(), sequences, query("me", [], 10), AS_OF).empty


def test_an_unseen_item_in_a_history_is_passed_over(sequences):
    encoder = one_encoder()
    known = find_similar_users(encoder, sequences, query("me", ["a", "b"], 10), AS_OF)
    unseen = find_similar_users(encoder, sequences, query("me", ["a", "?", "b"], 10).assign(position=2), AS_OF)
    pd.testing.assert_frame_equal(known, unseen)


def test_a_user_with_one_interaction_asks_but_is_nobodys_neighbour():
    histories, times = HISTORIES | {"short": ["a"]}, TIMES | {"short": [1]}
    sequences = sequences_of(interactions_of(histories, times))
    found = find_similar_users(one_encoder(), sequences, query("short", ["a"], 100), SimilarUsersConfig(k=9))
    assert set(found["neighbor_id"]) == set(HISTORIES)
    asked = query("me", ["a"], 100)
    assert "short" not in set(find_similar_users(one_encoder(), sequences, asked, AS_OF)["neighbor_id"])


def test_a_leak_rate_of_other_queries_is_refused(sequences):
    found = find_similar_users(one_encoder(), sequences, query("me", ["a", "b"], 10), AS_OF)
    with pytest.raises(ValueError, match="2 rows of similar_users belong to none of the queries"):
        leak_rate(found, query("you", ["a", "b"], 10))


def test_as_many_users_are_found_as_vote_or_are_shown(sequences):
    asked = query("me", ["a", "b"], 100)
    for k, voters, count in ((1, 3, 3), (3, 1, 3), (1, 1, 1), (2, 50, 3)):
        config = SimilarUsersConfig(k=k, voters=voters)
        found = find_similar_users(one_encoder(), sequences, asked, config)
        assert found["rank"].tolist() == list(range(1, count + 1))
    nearest = find_similar_users(one_encoder(), sequences, asked, AS_OF)
    pd.testing.assert_frame_equal(found[found["rank"] <= 2], nearest)


def test_training_queries_are_answered_by_encoders_that_have_not_seen_their_user():
    many = {f"u{number}": [ITEMS[(number + step) % 5] for step in range(4)] for number in range(12)}
    sequences = sequences_of(interactions_of(many))
    encoders = [random_encoder(ITEMS, seed=seed) for seed in range(4)]
    folded = FoldedEncoder(encoders[0], encoders[1:], seed=5)
    held_out = sequences[sequences["position"] == 3].assign(split="test", history=[["a", "c", "e"]] * 12, position=9)
    asked = pd.concat([sequences, held_out]).sample(frac=1, random_state=1)
    config = SimilarUsersConfig(k=3, voters=7)
    found = find_similar_users(folded, sequences, asked, config)

    alone = [find_similar_users(FoldedEncoder(one), sequences, asked, config) for one in encoders]
    number = np.where(found["position"] == 9, 0, 1 + found["user_id"].map(lambda user: fold_of(user, 3, 5)))
    assert set(number) == {0, 1, 2, 3}
    expected = pd.concat([table[number == place] for place, table in enumerate(alone)]).sort_index()
    pd.testing.assert_frame_equal(found, expected)  # all queries of the same number of neighbours, in their order
    assert not found.equals(alone[0])


def test_no_query_finds_nobody(sequences):
    assert find_similar_users(one_encoder(), sequences, sequences.iloc[:0], AS_OF).empty
