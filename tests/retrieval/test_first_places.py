"""Many queries at once against ordering the whole catalogue for each, in catalogues where batches split."""

import numpy as np
import pandas as pd
import pytest
import torch
from retrieval.histories import interactions_of, random_encoder

from mmsra_pipeline.retrieval import best_of_views, first_stage, orders
from mmsra_pipeline.retrieval.cooccurrence import many
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.keyword_view import KeywordView
from mmsra_pipeline.retrieval.orders import with_cold
from mmsra_pipeline.retrieval.times import milliseconds
from mmsra_pipeline.retrieval.views import fused

ITEMS = [f"i{number:03}" for number in range(150)]
CATALOGUE = [*ITEMS[5:], "cold1", "cold2", "cold3"]
WORDS = {item: [f"w{number % 7}"] for number, item in enumerate(CATALOGUE)}


def letters(texts):
    vectors = np.array([[text.count(str(digit)) for digit in range(8)] for text in texts], dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1)


def world(seed: int, *, timed: bool, window: int | None, ties: bool, share: float = 0.2):
    """A first stage, and queries: of users of training and others, with and without a time, a history, known items."""
    generator = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, len(ITEMS) + 1)
    histories = {}
    for user in range(60):
        size = int(generator.integers(1, 14))
        histories[f"u{user:02}"] = generator.choice(ITEMS, size, replace=False, p=weights / weights.sum()).tolist()
    times = {user: sorted(generator.integers(0, 40, len(own)).tolist()) for user, own in histories.items()}
    training = interactions_of(histories, times if timed else None)
    index = CooccurrenceIndex.of_training(training, window)
    encoder = random_encoder(ITEMS[:140], seed=seed)
    if ties:  # items of one vector score alike
        with torch.no_grad():
            encoder.model.items.weight[20:90] = encoder.model.items.weight[19]
    rows = []
    for number, (user, own) in enumerate(histories.items()):
        at = int(generator.integers(0, len(own) + 1))
        history = [*own[max(0, at - 6) : at], *(["unheard of"] if number % 9 == 0 else [])]
        time = None if number % 5 == 0 or not timed else int(generator.integers(0, 45))
        rows.append((user if number % 4 else f"new{number}", at, history, time))
    rows.append(("nobody", 3, [], None))
    queries = pd.DataFrame(rows, columns=["user_id", "position", "history", "timestamp"]).astype({"timestamp": "Int64"})
    view = KeywordView(WORDS, letters)
    return FirstStage(encoder, index, CATALOGUE, interactions=training, keywords=view, cold_share=share), queries


def one_by_one(stage: FirstStage, queries: pd.DataFrame, count: int):
    for views in stage.views(queries, count):
        both = fused(views)
        best = with_cold(both, views.cold, stage.cold_share, count)
        yield tuple(order[:count].tolist() for order in (views.encoder, views.cooccurrence, both, best))


@pytest.mark.parametrize(("seed", "timed", "window"), [(0, True, 3), (1, False, 2), (2, True, None), (3, True, 1)])
@pytest.mark.parametrize("ties", [False, True])
def test_many_queries_at_once_have_the_first_places_of_each_alone(seed, timed, window, ties, monkeypatch):
    stage, queries = world(seed, timed=timed, window=window, ties=ties)
    monkeypatch.setattr(first_stage, "SMALL", 0)
    monkeypatch.setattr(first_stage, "CELLS_TOGETHER", 7 * len(CATALOGUE))
    cases = ((1, 0, 10, 60), (5, 0, 100, 3), (2, 2, 1, 0), (12, 0, 30, 8), (400, 20, 10**6, 60))
    for count, ahead, events, offset in cases:
        monkeypatch.setattr(best_of_views, "AHEAD", ahead)
        monkeypatch.setattr(best_of_views, "RECIPROCAL_OFFSET", offset)  # so that fewer are ordered
        monkeypatch.setattr(orders, "RECIPROCAL_OFFSET", offset)
        monkeypatch.setattr(many, "EVENTS_TOGETHER", events)
        found = []
        for best in stage.best(queries, count):
            assert len(best.queries) <= 7
            four = (best.encoder, best.cooccurrence, best.fused, best.first_stage)
            for row in range(len(best.queries)):
                found.append(tuple(order[row][order[row] >= 0].tolist() for order in four))
        assert found == list(one_by_one(stage, queries, count))


def test_candidates_of_many_queries_are_those_of_each_alone(monkeypatch):
    stage, queries = world(7, timed=True, window=4, ties=False)
    before = stage.candidates(queries, 9)
    monkeypatch.setattr(first_stage, "SMALL", 0)
    pd.testing.assert_frame_equal(stage.candidates(queries, 9), before)
    assert before.groupby("user_id").size().max() == 9


def test_most_queries_need_no_whole_order(monkeypatch):
    stage, queries = world(3, timed=True, window=4, ties=False)
    monkeypatch.setattr(first_stage, "SMALL", 0)
    asked = []
    view = FirstStage._view
    monkeypatch.setattr(FirstStage, "_view", lambda self, *given: asked.append(given) or view(self, *given))
    list(stage.best(queries, 5))
    assert 0 < len(asked) < len(queries) / 3


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("window", [1, 3, None])
def test_joined_items_have_the_scores_of_one_history_alone_to_the_last_bit(timed, window, monkeypatch):
    stage, queries = world(1, timed=timed, window=window, ties=False)
    monkeypatch.setattr(many, "EVENTS_TOGETHER", 50)
    index = stage._index
    scored, moments = many.ManyHistories(index), many.Moments(queries["user_id"], milliseconds(queries["timestamp"]))
    users = many.UsersAsOf(index, moments)
    flat = [item for history in queries["history"] for item in history]
    sizes = np.array([len(history) for history in queries["history"]])
    found = scored.scores(scored.codes_of(flat), sizes, moments, users)
    dense = np.zeros((len(queries), len(index.items)))
    dense[found.query, found.code] = found.score
    every = np.indices(dense.shape).reshape(2, -1)
    counted = users.of(*every).reshape(dense.shape)
    for row, (user, history, time) in enumerate(zip(queries["user_id"], queries["history"], queries["timestamp"])):
        before = None if pd.isna(time) else int(time)
        assert dense[row].tolist() == index.score_all(history, before, user).tolist()
        assert counted[row].tolist() == index.counts(before=before, exclude_user=user).tolist()
    assert (found.score > 0).all()
    assert len(found.score) > 300
