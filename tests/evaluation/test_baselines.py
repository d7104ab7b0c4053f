import numpy as np
import pandas as pd
import pytest
from retrieval.histories import interactions_of, query, random_encoder

from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.evaluation.baselines import ORDER, RANKING_COLUMNS, baseline_scores, sees_later
from mmsra_pipeline.evaluation.lists import draw_candidates
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage

TRAINING = interactions_of({"t": ["a", "b", "c"], "s": ["a", "b"], "r": ["a", "d"]})
QUERIES = pd.concat([query("u", ["a"], None, target="b"), query("v", ["d", "c"], None, target="a")])
INTERACTIONS = pd.concat([TRAINING, interactions_of({"u": ["a", "b"], "v": ["d", "c", "a"]})])
INDEX = CooccurrenceIndex.of_training(TRAINING, 1)
ENCODER = random_encoder(["a", "b", "c", "d"])


def rankings(candidates=None, seed=0):
    if candidates is None:
        candidates = lists()
    return baseline_scores(candidates, QUERIES, TRAINING, INDEX, ENCODER, seed)


def lists():
    config = EvaluationConfig(negatives=1)
    drawn = draw_candidates(QUERIES, TRAINING, list("abcd"), config, 0, interactions=INTERACTIONS)
    ranks = pd.array([None if item == "d" else ord(item) - ord("a") + 1 for item in drawn["item_id"]], dtype="Int64")
    taste = drawn["item_id"].map({"a": 0.5, "b": -0.25, "c": np.nan, "d": 0.0})
    return drawn.assign(signal_popularity=3.0, signal_taste=taste, first_stage_rank=ranks, class_taste=4)


def scores_of(table, row, user):
    part = table[(table["row"] == row) & (table["user_id"] == user) & (table["protocol"] == "uniform")]
    return dict(zip(part["item_id"], part["score"]))


def test_every_row_scores_the_same_lists():
    table = rankings()
    assert table["row"].unique().tolist() == [
        "random", "popularity", "popularity_as_of", "cooccurrence", "cooccurrence_as_of", "sasrec", "first_stage",
        "content",
    ]  # fmt: skip
    assert table["row"].unique().tolist() == [row for row in ORDER if row in set(table["row"])]
    assert table.columns.tolist() == RANKING_COLUMNS
    own = ["protocol", "user_id", "position", "item_id", "is_target"]
    for _, part in table.groupby("row", sort=False):
        pd.testing.assert_frame_equal(part[own].reset_index(drop=True), lists()[own])
    assert table["score"].notna().all()
    assert table["p"].isna().all()


def test_scores_are_those_of_the_models():
    found = scores_of(rankings(), "popularity", "u")
    assert found["b"] == 2
    joined = scores_of(rankings(), "cooccurrence", "u")
    assert joined["b"] == pytest.approx(2 / np.sqrt(3 * 2))  # two users took b right after a
    encoded = scores_of(rankings(), "sasrec", "v")
    (expected,) = ENCODER.score([["d", "c"]], [list(encoded)])
    np.testing.assert_allclose(list(encoded.values()), expected, atol=1e-6)


def test_rows_as_of_the_query_see_nothing_later_and_nothing_of_the_user():
    times = {"t": [10, 20], "s": [10, 90], "u": [30, 40]}
    training = interactions_of({"t": ["a", "b"], "s": ["a", "b"], "u": ["a", "b"]}, times)
    index = CooccurrenceIndex.of_training(training, 1)
    asked = query("u", ["a"], 35, target="b")
    listed = pd.DataFrame({"protocol": "uniform", "user_id": "u", "position": 1, "item_id": ["b", "c"]})
    listed = listed.assign(is_target=[True, False], signal_popularity=[1.0, np.nan], signal_taste=np.nan)
    listed["first_stage_rank"] = pd.array([None, 7], dtype="Int64")
    table = baseline_scores(listed, asked, training, index, ENCODER, 0)
    assert scores_of(table, "cooccurrence", "u") == {"b": pytest.approx(3 / 3), "c": 0}
    # Before 35 others took a twice and b once, and one of them b right after a.
    assert scores_of(table, "cooccurrence_as_of", "u") == {"b": pytest.approx(1 / np.sqrt(2 * 1)), "c": 0}
    assert scores_of(table, "popularity_as_of", "u") == {"b": 1, "c": -np.inf}
    assert scores_of(table, "first_stage", "u") == {"b": -np.inf, "c": -7}
    assert scores_of(table, "content", "u") == {"b": -np.inf, "c": -np.inf}  # tied: what chance earns


def test_rows_of_the_candidates_in_another_order_get_the_same_scores():
    shuffled = lists().sample(frac=1, random_state=2)
    for row in ORDER[1:8]:
        for user in ("u", "v"):
            assert scores_of(rankings(shuffled), row, user) == scores_of(rankings(), row, user)


def test_the_random_row_follows_the_seed():
    first, again, other = (rankings(seed=seed)["score"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_a_query_twice_is_refused():
    with pytest.raises(ValueError, match="queries hold a user and position twice"):
        baseline_scores(lists(), pd.concat([QUERIES, QUERIES]), TRAINING, INDEX, ENCODER, 0)


def test_a_planted_future_interaction_moves_only_rows_whose_column_says_that_they_see_the_future():
    times = {"t": [10, 20, 25], "s": [10, 15], "z": [50, 60]}
    asked = query("u", ["a"], 35, target="b")

    def scored(training):
        index = CooccurrenceIndex.of_training(training, 2)
        [ranks] = FirstStage(ENCODER, index, list("abcd")).ranked(asked, 4)
        listed = pd.DataFrame({"protocol": "uniform", "user_id": "u", "position": 1, "item_id": ["b", "c", "d"]})
        users = dict(zip(index.items, index.counts(before=35, exclude_user="u").tolist()))
        listed = listed.assign(is_target=[True, False, False], signal_taste=0.5)
        listed["signal_popularity"] = listed["item_id"].map(users).astype(float)
        listed["first_stage_rank"] = listed["item_id"].map(ranks.of).astype("Int64")
        return baseline_scores(listed, asked, training, index, ENCODER, 0).pivot_table("score", "row", "item_id")

    past = {"t": ["a", "b", "d"], "s": ["a", "c"]}
    before = scored(interactions_of(past, {user: times[user] for user in past}))
    after = scored(interactions_of({**past, "z": ["a", "c"]}, times))
    moved = {row for row in before.index if not before.loc[row].equals(after.loc[row])}
    assert moved == {"popularity", "cooccurrence"}
    assert {sees_later(row) for row in moved} == {"yes"}
