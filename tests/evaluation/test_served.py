import numpy as np
import pandas as pd
import pytest
import torch
from retrieval.histories import interactions_of, query, random_encoder

from mmsra_pipeline.evaluation.beyond_accuracy import gini, overlap_table, traits_table
from mmsra_pipeline.evaluation.served import Orders, in_lists, served_orders, served_table
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage

# As in test_recall: after a the first stage gives b, c, d, e, new; after e: c, a, b, d, new.
TRAINING = interactions_of({"u": ["a", "b", "c"], "v": ["a", "b"], "w": ["d", "c"], "x": ["c", "a"], "y": ["e", "c"]})
QUERIES = pd.concat(
    [
        query("p", ["a"], None, target="c"),
        query("q", ["a"], None, target="b"),
        query("r", ["a"], None, target="new"),
        query("s", ["e"], None, target="a"),
    ]
)
DEPTH = 3


@pytest.fixture
def stage():
    encoder = random_encoder(["a", "b", "c", "d", "e"])
    torch.nn.init.ones_(encoder.model.items.weight)  # an encoder without a say
    return FirstStage(encoder, CooccurrenceIndex.of_training(TRAINING, 2), ["a", "b", "c", "d", "e", "new"])


@pytest.fixture
def lists(stage):
    rows = stage.candidates(QUERIES, DEPTH).rename(columns={"rank": "first_stage_rank"})
    targets = dict(zip(QUERIES["user_id"], QUERIES["target"]))
    return rows.assign(is_target=[targets[user] == item for user, item in zip(rows["user_id"], rows["item_id"])])


def ranks(orders: Orders, row: str) -> list[float]:
    [place] = [number for number, (name, _) in enumerate(orders.rows) if name == row]
    return orders.ranks[:, place].tolist()


def test_reranking_moves_what_is_within_the_depth_and_nothing_else(stage, lists):
    reverse = lists["first_stage_rank"].to_numpy(dtype=np.float64)
    orders = served_orders(stage, QUERIES, lists, {("mmsrarec", 2): reverse, ("mmsrarec+cf", DEPTH): -reverse})
    assert ranks(orders, "first_stage") == [2, 1, 5, 2]
    assert ranks(orders, "popularity_as_of") == [1, 2, 5, 2]
    assert ranks(orders, "mmsrarec") == [1, 2, 5, 1]  # the first two changed places
    assert ranks(orders, "mmsrarec+cf") == ranks(orders, "first_stage")
    assert orders.tops[4][0] == ["c", "b", "d", "e", "new"]
    assert in_lists(QUERIES, lists) == 0.75


def test_equal_scores_keep_the_order_of_the_first_stage(stage, lists):
    orders = served_orders(stage, QUERIES, lists.sample(frac=1, random_state=1), {("mmsrarec", DEPTH): np.zeros(12)})
    assert ranks(orders, "mmsrarec") == ranks(orders, "first_stage")


def test_numbers_are_worked_by_hand_and_differences_are_from_the_first_stage(stage, lists):
    reverse = lists["first_stage_rank"].to_numpy(dtype=np.float64)
    found = served_table(served_orders(stage, QUERIES, lists, {("mmsrarec", 2): reverse}), 200, 0)
    found = found.set_index(["row", "metric"])
    assert found.loc[("first_stage", "hr@1"), "value"] == 25
    assert found.loc[("mmsrarec", "hr@1"), ["value", "difference"]].tolist() == [50, 25]
    assert found.loc[("first_stage", "mrr@5"), "value"] == pytest.approx(100 * (1 / 2 + 1 + 1 / 5 + 1 / 2) / 4)
    assert (found.loc["first_stage"][["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    # Two gain, one loses, at the first place: the interval is wide and holds 0.
    assert found.loc[("mmsrarec", "hr@1"), "difference_low"] < 0 < found.loc[("mmsrarec", "hr@1"), "difference_high"]
    assert found.loc[("sasrec", "hr@20"), "value"] == 0  # it ranks nothing


def test_traits_are_worked_by_hand():
    orders = Orders([("first_stage", 0), ("one", 2)], np.ones((2, 2)), [[["a", "b"], ["c", "d"]], [["a", "b"]] * 2])
    users_of = {"a": 3, "b": 1, "c": 0, "d": 0}
    words = {"a": ["red", "mug"], "b": ["red", "hat"], "c": [], "d": []}
    found = traits_table(orders, 2, 4, users_of, words).set_index(["row", "trait"])["value"]
    assert found["first_stage", "coverage"] == 1
    assert found["one", "coverage"] == 0.5
    assert (found["first_stage", "gini"], found["one", "gini"]) == (0, 0.5)
    assert (found["first_stage", "popularity"], found["one", "popularity"]) == (1, 2)
    assert (found["first_stage", "popularity_lift"], found["one", "popularity_lift"]) == (1, 2)
    assert found["one", "keyword_diversity"] == pytest.approx(2 / 3)
    assert found["one", "novelty"] == pytest.approx(-(np.log2(4 / 5) + np.log2(2 / 5)) / 2)
    assert overlap_table(orders, 2).values.tolist() == [["first_stage", "one/2", 2, 0.5]]


def test_gini_of_nothing_is_unknown():
    assert np.isnan(gini([0, 0]))
