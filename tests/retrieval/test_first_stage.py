import numpy as np
import pandas as pd
import pytest
import torch
from retrieval.histories import interactions_of, query, random_encoder

from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.keyword_view import KeywordView
from mmsra_pipeline.retrieval.orders import fuse, ranking, with_cold

HISTORIES = {"u": ["a", "b", "c"], "v": ["a", "b"], "w": ["d", "c"], "x": ["c"]}
TRAINING = interactions_of(HISTORIES)
INDEX = CooccurrenceIndex.of_training(TRAINING, 2)
KNOWN = ["a", "b", "c", "d"]
CATALOGUE = [*KNOWN, "new2", "new1"]
WORDS = {"a": ["red", "mug"], "b": ["pot"], "new1": ["blue", "ball"], "new2": ["red", "mug", "gift"]}
VOCABULARY = ["red", "mug", "pot", "blue", "ball", "gift"]


def bag_of_words(texts):
    """Unit vectors of which words a text has."""
    counts = np.array([[word in text.split(", ") for word in VOCABULARY] for text in texts], dtype=np.float32)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1)


def stage(catalogue=CATALOGUE, encoder=None, *, words=None, cold_share=0.25, **settings) -> FirstStage:
    view = None if words is None else KeywordView(words, bag_of_words)
    found = random_encoder(KNOWN) if encoder is None else encoder
    return FirstStage(found, INDEX, catalogue, keywords=view, cold_share=cold_share, **settings)


def items(found: pd.DataFrame) -> list[str]:
    return found["item_id"].tolist()


def test_reciprocal_ranks_are_summed_and_what_no_ranking_has_follows_in_order():
    # 0: 1/61 + 1/62. 2: 1/63 + 1/61. 1: 1/62.
    assert fuse([np.array([0, 1, 2]), np.array([2, 0])], np.array([4, 3, 2, 1, 0])).tolist() == [0, 2, 1, 4, 3]
    nothing = np.array([], dtype=np.int64)
    assert fuse([nothing, nothing], np.array([1, 0, 2])).tolist() == [1, 0, 2]
    assert fuse([nothing], nothing).tolist() == []


def test_equal_sums_and_equal_scores_keep_the_order_that_was_given():
    opposed = [np.array([0, 1, 2]), np.array([2, 1, 0])]  # 1/61 + 1/63 for the outer ones, 2/62 is less
    assert fuse(opposed, np.array([1, 2, 0])).tolist() == [2, 0, 1]
    assert ranking(np.array([4.0, 4.0, 4.0, 5.0]), np.array([1, 0, 2, 3])).tolist() == [3, 1, 0, 2]


def test_the_history_is_never_recommended_and_cold_items_come_last_without_keywords():
    found = stage().candidates(query("me", ["a"], None), 9)
    assert sorted(items(found)[:3]) == ["b", "c", "d"]
    assert items(found)[3:] == ["new1", "new2"]
    assert found["rank"].tolist() == [1, 2, 3, 4, 5]
    assert found.columns.tolist() == ["user_id", "position", "item_id", "rank"]


def test_a_cold_item_with_the_users_keywords_enters_at_its_share_of_the_places():
    asked = query("me", ["a"], None)
    before = items(stage(words={}).candidates(asked, 4))
    found = items(stage(words=WORDS).candidates(asked, 4))
    assert "new2" not in before
    assert found == [*before[:3], "new2"]
    half = items(stage(words=WORDS, cold_share=0.5).candidates(asked, 4))
    assert half == [before[0], "new2", before[1], "new1"]


@pytest.mark.parametrize("without", [{"words": None}, {"words": {}}, {"words": {"a": ["red"], "new1": []}},
                                     {"words": {"new1": ["red"]}}, {"words": WORDS, "cold_share": 0.0}])  # fmt: skip
def test_without_keywords_of_cold_items_and_history_or_without_places_nothing_changes(without):
    asked = pd.concat([query("me", ["a"], None), query("you", ["d", "b"], None)])
    plain = FirstStage(random_encoder(KNOWN), INDEX, CATALOGUE)
    for count in (2, 4, 9):
        pd.testing.assert_frame_equal(stage(**without).candidates(asked, count), plain.candidates(asked, count))


def test_a_cold_item_that_the_user_has_taken_leaves_its_place_to_the_next():
    interactions = pd.concat([TRAINING, interactions_of({"me": ["new2", "a"]})])
    asked = query("me", ["a"], None).assign(position=2)
    found = items(stage(words=WORDS, cold_share=0.5, interactions=interactions).candidates(asked, 2))
    assert found[1] == "new1"
    in_history = items(stage(words=WORDS, cold_share=0.5).candidates(query("me", ["new2", "a"], None), 2))
    assert in_history[1] == "new1"


def test_of_a_longer_list_a_shorter_one_is_the_beginning():
    asked = pd.concat([query("me", ["a"], None), query("you", ["b"], None)])
    whole = stage(words=WORDS).candidates(asked, 9)
    for count in range(1, 9):
        part = stage(words=WORDS).candidates(asked, count)
        expected = whole[whole["rank"] <= count].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, expected)


def test_places_of_cold_items_are_spread_evenly():
    order, cold = np.arange(100), np.arange(90, 100)
    best = with_cold(order, cold, share=0.1, count=40)
    assert best[[9, 19, 29, 39]].tolist() == [90, 91, 92, 93]
    assert np.delete(best, [9, 19, 29, 39]).tolist() == list(range(36))
    assert with_cold(order, cold[:1], share=0.1, count=40).tolist() == [*range(9), 90, *range(9, 39)]
    assert with_cold(order[:3], cold, share=0.3, count=40).tolist() == [0, 1, 2, *range(90, 100)]
    assert with_cold(order, cold, share=1.0, count=4).tolist() == [90, 91, 92, 93]
    assert with_cold(order, cold, share=0.0, count=4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("history", [[], ["unheard of"]])
def test_a_history_without_a_known_item_gets_what_was_popular_at_the_time(history):
    times = {"u": [1, 2, 3], "v": [2, 3], "w": [4, 5], "x": [6]}
    index = CooccurrenceIndex.of_training(interactions_of(HISTORIES, times), 2)
    first = FirstStage(random_encoder(KNOWN), index, CATALOGUE)
    late = query("me", history, 100)
    assert items(first.candidates(late, 9)) == ["c", "a", "b", "d", "new1", "new2"]  # 3, 2, 2, 1 users
    early = query("me", history, 4)
    assert items(first.candidates(early, 9)) == ["a", "b", "c", "d", "new1", "new2"]  # 2, 2, 1 and 0 until then


def test_an_unseen_item_in_a_history_changes_nothing():
    known = items(stage().candidates(query("me", ["a"], None), 9))
    assert items(stage().candidates(query("me", ["a", "unheard of"], None), 9)) == known


def test_an_encoder_that_tells_no_items_apart_has_no_say():
    encoder = random_encoder(KNOWN)
    torch.nn.init.ones_(encoder.model.items.weight)
    # b and c were taken soon after a; of the rest d was, and nobody took the new ones.
    assert items(stage(encoder=encoder).candidates(query("me", ["a"], None), 9)) == ["b", "c", "d", "new1", "new2"]
    silent = items(stage(encoder=encoder).candidates(query("me", ["d"], None), 9))
    assert silent[:3] == ["c", "a", "b"]  # co-occurrence, then by popularity


def test_a_user_with_one_interaction_gets_a_list():
    found = stage(words=WORDS, interactions=TRAINING).candidates(query("x", ["c"], None), 3)
    assert len(found) == 3
    assert "c" not in items(found)


def test_older_items_than_the_history_shows_stay_out_when_interactions_are_given():
    asked = query("u", ["c"], None).assign(position=3)
    assert {"a", "b"} <= set(items(stage().candidates(asked, 9)))
    assert items(stage(interactions=TRAINING).candidates(asked, 9)) == ["d", "new1", "new2"]


def test_a_target_that_comes_later_may_be_recommended():
    asked = query("u", ["a"], None)  # position 1 of a user who goes on to b
    assert "b" in items(stage(interactions=TRAINING).candidates(asked, 9))


def test_lists_are_cut_and_depend_neither_on_the_order_of_the_catalogue_nor_on_other_queries(monkeypatch):
    queries = pd.concat([query("me", ["a"], None), query("you", ["d"], None), query("they", [], None)])
    one = stage(words=WORDS).candidates(queries, 4)
    assert one.groupby("user_id").size().tolist() == [4, 4, 4]
    pd.testing.assert_frame_equal(one, stage(CATALOGUE[::-1], words=WORDS).candidates(queries, 4))
    alone = pd.concat([stage(words=WORDS).candidates(queries.iloc[[row]], 4) for row in range(3)], ignore_index=True)
    pd.testing.assert_frame_equal(one, alone)
    monkeypatch.setattr("mmsra_pipeline.retrieval.first_stage.CELLS_TOGETHER", 1)
    pd.testing.assert_frame_equal(one, stage(words=WORDS).candidates(queries, 4))


def test_an_empty_catalogue_gives_empty_lists():
    assert stage([]).candidates(query("me", ["a"], None), 4).empty
