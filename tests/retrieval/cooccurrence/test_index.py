import gc
import weakref

import numpy as np
import pandas as pd
import pytest
from retrieval.histories import interactions_of, random_training

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.retrieval.cooccurrence import user_counts as module
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.times import HOUR
from mmsra_pipeline.storage.hashing import folder_hash

HISTORIES = {"u": ["a", "b", "c", "d"], "v": ["a", "c"], "w": ["b", "a"]}
TIMES = {"u": [1, 2, 3, 4], "v": [5, 6], "w": [7, 8]}


def pairs_by_hand(training: pd.DataFrame, window: int) -> list[tuple[str, str, str, int]]:
    """Every (first, second, user, time of second), by plain loops."""
    found = []
    for user, group in training.sort_values("position").groupby("user_id"):
        rows = list(group[["item_id", "timestamp"]].itertuples(index=False))
        for i, (first, _) in enumerate(rows):
            found += [(first, second, user, time) for second, time in rows[i + 1 : i + 1 + window]]
    return found


def test_a_training_positive_never_counts_itself():
    for times in (TIMES, None):  # without times nothing but the exclusion guards it
        index = CooccurrenceIndex.of_training(interactions_of(HISTORIES, times), 2)
        assert index.score(["b", "c"], ["d"], exclude_user="u").tolist() == [0]  # u alone took d
        assert index.score(["b", "c"], ["d"])[0] > 0


def test_scores_equal_plain_loops_on_random_data():
    training = random_training(seed=4)
    index = CooccurrenceIndex.of_training(training, 2)
    pairs = pairs_by_hand(training, 2)
    for time, user in [(None, None), (12, "u3"), (25, None), (None, "u7")]:
        limit = 99 if time is None else time
        kept = training[(training["timestamp"] < limit) & (training["user_id"] != user)]
        counts = kept["item_id"].value_counts().to_dict()
        history = ["i09", "i04", "i07"]  # the window is 2: i09 is too far back
        expected = [
            sum(
                sum(1 for a, b, w, t in pairs if (a, b) == (first, item) and t < limit and w != user)
                / np.sqrt(max(counts.get(first, 0), 1) * max(counts.get(item, 0), 1))
                for first in history[-2:]
            )
            for item in index.items
        ]
        np.testing.assert_allclose(index.score(history, index.items, time, user), expected)
        assert sum(expected) > 0


def test_users_before_a_time_are_counted_alike_from_any_stored_mark(monkeypatch):
    training = random_training(seed=4)
    whole = CooccurrenceIndex.of_training(training, 2)
    for mark in (1, 3, 7, len(training)):
        monkeypatch.setattr(module, "MARK", mark)
        index = CooccurrenceIndex.of_training(training, 2)
        for time in [None, *range(32)]:
            kept = training if time is None else training[training["timestamp"] < time]
            expected = kept["item_id"].value_counts().reindex(index.items, fill_value=0).tolist()
            assert index.counts(before=time, exclude_user=None).tolist() == expected
            asked = {"before": time, "exclude_user": "u3"}
            np.testing.assert_array_equal(index.score_all(["i04"], **asked), whole.score_all(["i04"], **asked))


def test_positions_that_training_may_not_see_count_for_the_window():
    training = random_training(seed=5)
    apart = training[training["position"] % 3 != 1]
    pairs = {
        (one.item_id, other.item_id, one.user_id)
        for one in apart.itertuples()
        for other in apart.itertuples()
        if one.user_id == other.user_id and 0 < other.position - one.position <= 2
    }
    index = CooccurrenceIndex.of_training(apart, 2)
    found = index.events(0, len(index.items))
    assert {(index.items[a], index.items[b], index.known.users[u]) for a, b, u in zip(*found[:3])} == pairs
    counts = {item: sum(a == item and (b, u) != ("", "u3") and u != "u3" for a, b, u in pairs) for item in index.items}
    scored = index.score_all(["i04"], None, "u3") > 0
    assert scored.sum() == len({b for a, b, u in pairs if a == "i04" and u != "u3"}) <= counts["i04"]


def test_unknown_items_score_zero():
    index = CooccurrenceIndex.of_training(interactions_of(HISTORIES), 2)
    assert index.score(["unknown"], ["a", "unknown"]).tolist() == [0, 0]
    assert index.score([], ["a"]).tolist() == [0]


def test_popularity_is_as_of_the_query_and_without_its_user():
    index = CooccurrenceIndex.of_training(interactions_of(HISTORIES, TIMES), 2)
    assert index.counts(before=7, exclude_user=None).tolist() == [2, 1, 2, 1]
    assert index.counts(before=7, exclude_user="u").tolist() == [1, 0, 1, 0]
    assert index.counts(before=None, exclude_user="nobody").tolist() == [3, 2, 2, 1]


def test_an_index_over_untimed_data_asked_before_a_time_knows_nothing():
    index = CooccurrenceIndex.of_training(interactions_of(HISTORIES), 2)
    assert index.score(["a"], ["c"])[0] > 0
    assert index.score(["a"], ["c"], before=10**15).tolist() == [0]


def test_an_index_without_training_knows_nothing():
    index = CooccurrenceIndex.of_training(interactions_of({"u": ["a"]}), 2)
    assert index.score(["a"], ["a"]).tolist() == [0]


def test_only_interactions_of_one_session_speak_for_each_other():
    # Hours: a at 0, b at 2, c at 5 and d at 5 of one user; between b and c lie three.
    hours = [time * HOUR for time in (0, 2, 5, 5)]
    training = interactions_of({"u": ["a", "b", "c", "d"], "v": ["d"]}, {"u": hours, "v": [5 * HOUR]})
    for session_hours, expected in [(None, "ab bc bd cd ac"), (3, "ab bc bd cd ac"), (2.9, "ab cd"), (1, "cd")]:
        index = CooccurrenceIndex.of_training(training, 2, session_hours)
        joined = {first + second for first in "abcd" for second in "abcd" if index.score([first], [second])[0] > 0}
        assert joined == set(expected.split())


def test_sessions_of_data_without_times_are_refused():
    with pytest.raises(DataError, match=r"7 of 8 training interactions have no time.*session_hours"):
        CooccurrenceIndex.of_training(
            interactions_of(HISTORIES, TIMES | {"u": [None] * 4, "v": [None, None], "w": [None, 1]}), 2, 1
        )


def test_without_a_window_all_later_items_follow():
    index = CooccurrenceIndex.of_training(interactions_of(HISTORIES), None)
    assert index.score(["a"], ["d"])[0] > 0
    wide = CooccurrenceIndex.of_training(random_training(), 99)
    all_later = CooccurrenceIndex.of_training(random_training(), None)
    history = ["i09", "i04", "i07"]
    np.testing.assert_array_equal(all_later.score_all(history), wide.score_all(history))
    assert all_later.score_all(history[:1]).sum() > 0


@pytest.mark.parametrize("wide", [9, None])
def test_a_narrower_index_is_that_of_the_narrower_window(wide):
    training = random_training(seed=4)
    narrow, index = CooccurrenceIndex.of_training(training, 2), CooccurrenceIndex.of_training(training, wide)
    found = index.within(2)
    assert found.window == 2
    for column, expected in zip(found.events(0, 12), narrow.events(0, 12), strict=True):
        np.testing.assert_array_equal(column, expected)
    history = ["i09", "i04", "i07"]
    np.testing.assert_array_equal(found.score_all(history, 20, "u3"), narrow.score_all(history, 20, "u3"))
    assert index.within(wide) is index
    with pytest.raises(ValueError, match="span at most 2"):
        narrow.within(3)
    with pytest.raises(ValueError, match="span at most 2"):
        narrow.within(None)


def test_an_index_is_read_back_as_it_was_and_is_written_alike(tmp_path):
    index = CooccurrenceIndex.of_training(interactions_of(HISTORIES, TIMES), None)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        index.save(tmp_path / name)
    assert folder_hash(tmp_path / "one") == folder_hash(tmp_path / "two")
    found = CooccurrenceIndex.load(tmp_path / "one")
    assert (found.items, found.window) == (index.items, None)
    for column, expected in zip(found.events(0, 4), index.events(0, 4), strict=True):
        np.testing.assert_array_equal(column, expected)
    asked = {"before": 6, "exclude_user": "w"}
    np.testing.assert_array_equal(found.score_all(["a", "b"], **asked), index.score_all(["a", "b"], **asked))
    assert found.score(["a", "b"], ["c"], **asked)[0] > 0
    np.testing.assert_array_equal(found.counts(**asked), index.counts(**asked))


def test_an_index_goes_when_nobody_holds_it_and_a_narrower_one_holds_it():
    index = CooccurrenceIndex.of_training(interactions_of(HISTORIES, TIMES), 2)
    index.counts(before=5, exclude_user=None)
    known, narrower = weakref.ref(index), index.within(1)
    gc.disable()  # a cycle would wait for the collector, and a million users are a gigabyte
    try:
        del index
        assert known() is not None
        del narrower
        assert known() is None
    finally:
        gc.enable()
