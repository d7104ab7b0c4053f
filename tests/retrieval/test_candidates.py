import numpy as np
import pandas as pd
import pytest
from retrieval.histories import interactions_of, query, random_encoder

from mmsra_pipeline.config import CooccurrenceConfig, FirstStageConfig
from mmsra_pipeline.retrieval.candidates import first_stage, fuse, recall_at
from mmsra_pipeline.retrieval.cooccurrence import CooccurrenceIndex

HISTORIES = {"u": ["a", "b", "c"], "v": ["a", "b"], "w": ["d", "c"], "x": ["c"]}
TRAINING = interactions_of(HISTORIES)
INDEX = CooccurrenceIndex(TRAINING, CooccurrenceConfig(window=2, min_users=1))
CATALOGUE = ["a", "b", "c", "d", "new2", "new1"]


def test_reciprocal_ranks_are_summed():
    # Ranks: first score 1, 2, 3; second 3, -, 1. 1/61 + 1/63 = .0323, 1/62 = .0161, 1/63 + 1/61 = .0323.
    scores = [np.array([9.0, 8.0, 7.0]), np.array([1.0, -np.inf, 3.0])]
    scores[1] = np.array([1.0, -np.inf, 3.0])
    assert fuse(scores, np.array([0.0, 0.0, 1.0]), seen=[]).tolist() == [0, 2, 1]


def test_what_no_score_knows_follows_by_popularity_then_place():
    nothing = np.full(4, -np.inf)
    assert fuse([nothing, nothing], np.array([1.0, 5.0, 1.0, -np.inf]), seen=[]).tolist() == [1, 0, 2, 3]


def test_the_history_is_never_recommended_and_cold_items_come_last():
    found = first_stage(random_encoder(["a", "b", "c", "d"]), INDEX, query("me", ["a"], None), CATALOGUE,
                        FirstStageConfig(candidates=9))  # fmt: skip
    assert sorted(found["item_id"][:3]) == ["b", "c", "d"]
    assert found["item_id"].tolist()[3:] == ["new1", "new2"]
    assert found["rank"].tolist() == [1, 2, 3, 4, 5]
    assert found.columns.tolist() == ["user_id", "position", "item_id", "rank"]


def test_older_items_than_the_history_shows_stay_out_when_interactions_are_given():
    asked = query("u", ["c"], None).assign(position=3)
    encoder = random_encoder(["a", "b", "c", "d"])
    shown = first_stage(encoder, INDEX, asked, CATALOGUE, FirstStageConfig(candidates=9))
    assert {"a", "b"} <= set(shown["item_id"])
    whole = first_stage(encoder, INDEX, asked, CATALOGUE, FirstStageConfig(candidates=9), interactions=TRAINING)
    assert whole["item_id"].tolist() == ["d", "new1", "new2"]


def test_a_target_that_comes_later_may_be_recommended():
    asked = query("u", ["a"], None)  # position 1 of a user who goes on to b
    encoder = random_encoder(["a", "b", "c", "d"])
    found = first_stage(encoder, INDEX, asked, CATALOGUE, FirstStageConfig(candidates=9), interactions=TRAINING)
    assert "b" in set(found["item_id"])


def test_lists_are_cut_and_do_not_depend_on_the_order_of_the_catalogue():
    encoder = random_encoder(["a", "b", "c", "d"])
    queries = pd.concat([query("me", ["a"], None), query("you", ["d"], None)])
    one = first_stage(encoder, INDEX, queries, CATALOGUE, FirstStageConfig(candidates=2))
    other = first_stage(encoder, INDEX, queries, CATALOGUE[::-1], FirstStageConfig(candidates=2))
    pd.testing.assert_frame_equal(one, other)
    assert one.groupby("user_id").size().tolist() == [2, 2]


def test_recall_counts_targets_among_the_first_k():
    queries = pd.concat([query("u", ["a"], None, target="b"), query("v", ["a"], None, target="c"),
                         query("w", ["a"], None, target="z")])  # fmt: skip
    lists = pd.DataFrame({"user_id": ["u", "v", "v"], "position": 1, "item_id": ["b", "d", "c"], "rank": [1, 1, 2]})
    recall = recall_at(lists, queries, [1, 2])
    assert recall["k"].tolist() == [1, 2]
    assert recall["recall"].tolist() == pytest.approx([1 / 3, 2 / 3])
