import numpy as np
import pandas as pd
import pytest
from retrieval.histories import TINY, interactions_of, random_encoder

from mmsra_pipeline.config.tree import InteractionsConfig, SimilarUsersConfig
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.interactions.query_table import plain, read_queries
from mmsra_pipeline.interactions.splits import build_sequences
from mmsra_pipeline.retrieval import approximate_search, entry_vectors, many_similar_users
from mmsra_pipeline.retrieval.many_similar_users import similar_users_in_parts
from mmsra_pipeline.retrieval.similar_users import find_similar_users, leak_rate
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder

ITEMS = [f"i{number:02}" for number in range(40)]
CONFIG = SimilarUsersConfig(k=3, voters=5)


@pytest.fixture
def shop(store):
    """Encoder with folds, all rows, those drawn for training, and histories, of 60 users."""
    generator = np.random.default_rng(0)
    histories, times = {}, {}
    for user in range(60):
        size = int(generator.integers(4, 14))
        start = int(generator.integers(0, 40))
        histories[f"u{user:02}"] = [ITEMS[(start + step) % 40] for step in range(size)]
        times[f"u{user:02}"] = sorted(generator.integers(0, 50, size).tolist())
    stored = store.replace("interactions", "shop", interactions_of(histories, times))
    with store.duckdb() as connection:
        found, _ = build_sequences(connection, stored.path, InteractionsConfig(split="leave_last_out"), 0)
        rows = read_queries(store.replace("sequences", "shop", found.read_all()).path)
    encoder = FoldedEncoder(random_encoder(ITEMS), [random_encoder(ITEMS, TINY, seed) for seed in (1, 2)], 0)
    return encoder, rows, plain(rows[rows["split"] == "train"].iloc[::9]), Histories.read(stored.path)


def small_parts(monkeypatch):
    monkeypatch.setattr(approximate_search, "TOGETHER", 5)
    monkeypatch.setattr(entry_vectors, "ROWS_TOGETHER", 11)
    monkeypatch.setattr(many_similar_users, "QUERIES_TOGETHER", 13)


def test_few_entries_are_searched_exactly_in_one_part(shop):
    encoder, rows, drawn, histories = shop
    [found] = similar_users_in_parts(encoder, rows, drawn, CONFIG, histories, 0)
    written = histories.joined_to(plain(rows))
    queries = pd.concat([histories.joined_to(drawn), written[written["split"] != "train"]], ignore_index=True)
    pd.testing.assert_frame_equal(found, find_similar_users(encoder, written, queries, CONFIG))


def test_many_are_searched_in_parts_with_nothing_from_the_future_and_nearly_the_same_users(shop, monkeypatch):
    encoder, rows, drawn, histories = shop
    small_parts(monkeypatch)
    [exact] = similar_users_in_parts(encoder, rows, drawn, CONFIG, histories, 0)
    parts = list(similar_users_in_parts(
        encoder, rows, drawn, CONFIG.model_copy(update={"exact_entries": 1}), histories, 0
    ))  # fmt: skip
    assert len(parts) > 8
    found = pd.concat(parts, ignore_index=True)
    queries = pd.concat([drawn, plain(rows[rows["split"] != "train"])], ignore_index=True)
    assert leak_rate(found, queries) == 0.0
    assert (found["user_id"] != found["neighbor_id"]).all()
    assert found.dtypes.equals(exact.dtypes)
    key = ["user_id", "position", "neighbor_id"]
    assert len(found[key].merge(exact[key])) / len(exact) > 0.85  # one cell: a cosine is off by the last of 8 bits
    best = found[found["rank"] == 1].merge(exact[exact["rank"] == 1], on=["user_id", "position"])
    np.testing.assert_allclose(best["score_x"], best["score_y"], atol=0.02)


def test_of_many_queries_a_sample_of_the_held_out_ones_is_answered_and_every_one_of_serving(shop, monkeypatch):
    encoder, rows, drawn, histories = shop
    config = CONFIG.model_copy(update={"exact_entries": 1, "held_out_queries": 7})
    found = pd.concat(similar_users_in_parts(encoder, rows, drawn, config, histories, 3))
    asked = found[["user_id", "position"]].drop_duplicates().merge(plain(rows), on=["user_id", "position"])
    counts = asked["split"].value_counts()
    assert counts["test"] <= 7
    assert counts["validation"] <= 7
    assert counts["serve"] == 60
    late = ["u03", "u41"]
    some = pd.concat(similar_users_in_parts(encoder, rows, drawn, config, histories, 3, late))
    serving = rows.loc[rows["split"] == "serve", ["user_id", "position"]].astype({"user_id": "str"})
    assert set(some.merge(serving, on=["user_id", "position"])["user_id"]) == set(late)
    chosen = np.random.default_rng(3).permutation(np.array(sorted(set(rows["user_id"])), dtype=object))[:7]
    assert set(asked.loc[asked["split"] == "test", "user_id"]) <= set(chosen)
