import numpy as np
import pandas as pd
import pytest
from retrieval.histories import interactions_of, query, random_encoder

from mmsra_pipeline.config import CooccurrenceConfig, EvaluationConfig
from mmsra_pipeline.evaluation.baselines import baseline_scores
from mmsra_pipeline.evaluation.candidates import draw_candidates
from mmsra_pipeline.retrieval.cooccurrence_index import CooccurrenceIndex

TRAINING = interactions_of({"t": ["a", "b", "c"], "s": ["a", "b"], "r": ["a", "d"]})
QUERIES = pd.concat([query("u", ["a"], None, target="b"), query("v", ["d", "c"], None, target="a")])
INTERACTIONS = pd.concat([TRAINING, interactions_of({"u": ["a", "b"], "v": ["d", "c", "a"]})])
INDEX = CooccurrenceIndex(TRAINING, CooccurrenceConfig(window=1, min_users=1))
ENCODER = random_encoder(["a", "b", "c", "d"])


def rankings(candidates=None, seed=0):
    if candidates is None:
        candidates = lists()
    return baseline_scores(candidates, QUERIES, TRAINING, INDEX, ENCODER, seed)


def lists():
    config = EvaluationConfig(negatives=1)
    return draw_candidates(QUERIES, TRAINING, list("abcd"), config, 0, interactions=INTERACTIONS)


def scores_of(table, row, user):
    part = table[(table["row"] == row) & (table["user_id"] == user) & (table["protocol"] == "uniform")]
    return dict(zip(part["item_id"], part["score"]))


def test_every_row_scores_the_same_lists():
    table = rankings()
    assert table["row"].unique().tolist() == ["random", "popularity", "cooccurrence", "sasrec"]
    for _, part in table.groupby("row", sort=False):
        pd.testing.assert_frame_equal(part[lists().columns.tolist()].reset_index(drop=True), lists())
    assert table["p"].isna().all()


def test_scores_are_those_of_the_models():
    found = scores_of(rankings(), "popularity", "u")
    assert found["b"] == 2
    joined = scores_of(rankings(), "cooccurrence", "u")
    assert joined["b"] == pytest.approx(2 / np.sqrt(3 * 2))  # two users took b right after a
    encoded = scores_of(rankings(), "sasrec", "v")
    (expected,) = ENCODER.score([["d", "c"]], [list(encoded)])
    np.testing.assert_allclose(list(encoded.values()), expected, atol=1e-6)


def test_rows_of_the_candidates_in_another_order_get_the_same_scores():
    shuffled = lists().sample(frac=1, random_state=2)
    for row in ("popularity", "cooccurrence", "sasrec"):
        for user in ("u", "v"):
            assert scores_of(rankings(shuffled), row, user) == scores_of(rankings(), row, user)


def test_the_random_row_follows_the_seed():
    first, again, other = (rankings(seed=seed)["score"] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_a_query_twice_is_refused():
    with pytest.raises(ValueError, match="queries hold a user and position twice"):
        baseline_scores(lists(), pd.concat([QUERIES, QUERIES]), TRAINING, INDEX, ENCODER, 0)
