import numpy as np
import pandas as pd
import pytest
import torch
from retrieval.histories import interactions_of, query, random_encoder

from mmsra_pipeline.evaluation import recall as module
from mmsra_pipeline.evaluation.recall import first_stage_recall
from mmsra_pipeline.resampling import resampled_means
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.keyword_view import KeywordView

# Users of an item: c 4, a 3, b 2, d 1, e 1. After a came b (u, v) and c (u, as the second); after d and after e came c.
HISTORIES = {"u": ["a", "b", "c"], "v": ["a", "b"], "w": ["d", "c"], "x": ["c", "a"], "y": ["e", "c"]}
TRAINING = interactions_of(HISTORIES)
KNOWN = ["a", "b", "c", "d", "e"]


def stage(**settings) -> FirstStage:
    """An encoder without a say, so that every order can be worked by hand."""
    encoder = random_encoder(KNOWN)
    torch.nn.init.ones_(encoder.model.items.weight)
    index = CooccurrenceIndex.of_training(TRAINING, 2)
    return FirstStage(encoder, index, [*KNOWN, "new"], **settings)


def recall(first: FirstStage, queries: pd.DataFrame, bootstrap: int = 50, seed: int = 0) -> pd.DataFrame:
    return first_stage_recall(first, queries, TRAINING, bootstrap, seed)


@pytest.fixture(autouse=True)
def small_cutoffs(monkeypatch):
    monkeypatch.setattr(module, "CUTOFFS", (1, 2, 4))


QUERIES = pd.concat(
    [
        query("p", ["a"], None, target="c"),
        query("q", ["a"], None, target="b"),
        query("r", ["a"], None, target="new"),
        query("s", ["e"], None, target="a"),
    ]
)


def test_recall_is_worked_by_hand_for_every_row():
    found = recall(stage(), QUERIES).set_index(["row", "k"])["recall"]
    # Popularity: c, a, b, d, e without the history. p: c first. q: c, b. r: never. s: c, a.
    assert found["popularity"].tolist() == [25.0, 75.0, 75.0]
    # Co-occurrence after a: b 2/sqrt(6), c 1/sqrt(12). After e: c. Nothing else is ranked.
    assert found["cooccurrence"].tolist() == [25.0, 50.0, 50.0]
    assert found["encoder"].tolist() == [0.0, 0.0, 0.0]
    # Fused goes on by popularity: after a: b, c, d, e, new. After e: c, a, b, d, new.
    assert found["fused"].tolist() == [25.0, 75.0, 75.0]
    assert found["first_stage"].tolist() == found["fused"].tolist()


def test_places_for_cold_items_are_measured():
    words = KeywordView({"a": ["x"], "new": ["x"]}, lambda texts: np.ones((len(texts), 1)))
    found = recall(stage(keywords=words, cold_share=0.5), QUERIES).set_index(["row", "k"])["recall"]
    # After a: b, new, c, d. After e, which has no keywords: c, a, b, d.
    assert found["first_stage"].tolist() == [25.0, 75.0, 100.0]
    assert found["fused"].tolist() == [25.0, 75.0, 75.0]


def test_the_table_has_its_columns_and_every_row_for_every_k():
    found = recall(stage(), QUERIES)
    assert found.columns.tolist() == ["row", "k", "recall", "low", "high", "n"]
    assert list(zip(found["row"], found["k"])) == [(row, k) for k in (1, 2, 4) for row in module.ROWS]
    assert (found["n"] == 4).all()
    assert ((found["low"] <= found["recall"]) & (found["recall"] <= found["high"])).all()


def test_a_target_that_was_taken_before_or_is_not_in_the_catalogue_is_missed():
    queries = pd.concat([query("p", ["c"], None, target="c"), query("q", ["a"], None, target="unheard of")])
    assert (recall(stage(), queries)["recall"] == 0).all()


def test_the_order_of_the_queries_changes_no_recall_and_the_seed_only_the_interval():
    first, again, other = recall(stage(), QUERIES), recall(stage(), QUERIES), recall(stage(), QUERIES, seed=1)
    pd.testing.assert_frame_equal(first, again)
    assert other["recall"].tolist() == first["recall"].tolist()
    assert other[["low", "high"]].to_numpy().tolist() != first[["low", "high"]].to_numpy().tolist()
    assert recall(stage(), QUERIES.iloc[::-1])["recall"].tolist() == first["recall"].tolist()


def test_queries_without_a_target_are_refused():
    with pytest.raises(ValueError, match="1 queries, 1 of them without a target"):
        recall(stage(), query("p", ["a"], None, split="serve", target=None))
    with pytest.raises(ValueError, match="0 queries"):
        recall(stage(), QUERIES.iloc[:0])


def test_the_interval_of_a_mean_is_that_of_its_standard_error(monkeypatch):
    hits = np.repeat([[1.0, 0.0]], 100, axis=0)
    hits[70:, 0], hits[70:, 1] = 0.0, 1.0
    means = resampled_means(hits, 4000, seed=0)
    assert means.shape == (4000, 2)
    assert means.mean(axis=0) == pytest.approx([0.7, 0.3], abs=0.005)
    assert means.std(axis=0) == pytest.approx([np.sqrt(0.7 * 0.3 / 100)] * 2, rel=0.05)
    assert means.sum(axis=1) == pytest.approx(np.ones(4000))  # the same users in both columns
    monkeypatch.setattr("mmsra_pipeline.resampling.BLOCK_CELLS", 700)
    np.testing.assert_array_equal(resampled_means(hits, 4000, seed=0), means)
