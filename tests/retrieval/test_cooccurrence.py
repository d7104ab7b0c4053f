import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from retrieval.histories import interactions_of

from mmsra_pipeline.config import CooccurrenceConfig
from mmsra_pipeline.retrieval.cooccurrence import CooccurrenceIndex, Evidence, cooccurrence_neighbors

CONFIG = CooccurrenceConfig(window=2, neighbors_per_item=10, min_users=1)
HISTORIES = {"u": ["a", "b", "c", "d"], "v": ["a", "c"], "w": ["b", "a"]}
TIMES = {"u": [1, 2, 3, 4], "v": [5, 6], "w": [7, 8]}


def random_training(seed: int = 0, users: int = 40, items: int = 12) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    names = [f"i{number:02}" for number in range(items)]
    histories = {f"u{u}": list(generator.permutation(names)[: generator.integers(1, 9)]) for u in range(users)}
    times = {user: sorted(generator.integers(0, 30, len(history)).tolist()) for user, history in histories.items()}
    return interactions_of(histories, times)


def pairs_by_hand(training: pd.DataFrame, window: int) -> list[tuple[str, str, str, int]]:
    """Every (first, second, user, time of second), by plain loops."""
    found = []
    for user, group in training.sort_values("position").groupby("user_id"):
        rows = list(group[["item_id", "timestamp"]].itertuples(index=False))
        for i, (first, _) in enumerate(rows):
            found += [(first, second, user, time) for second, time in rows[i + 1 : i + 1 + window]]
    return found


def test_neighbors_are_scored_by_hand_worked_cosines():
    neighbors = cooccurrence_neighbors(interactions_of(HISTORIES), CONFIG).set_index(["item_id", "neighbor_id"])
    # a then c: users u and v; a has 3 users, c has 2. d lies 3 after a: outside the window.
    assert neighbors.loc[("a", "c"), "users"] == 2
    assert neighbors.loc[("a", "c"), "score"] == pytest.approx(2 / np.sqrt(3 * 2))
    assert neighbors.loc[("b", "a"), "score"] == pytest.approx(1 / np.sqrt(2 * 3))
    assert ("a", "d") not in neighbors.index
    assert ("c", "a") not in neighbors.index  # the direction counts


def test_neighbors_are_ordered_by_score_then_users_then_id():
    training = interactions_of({"u": ["a", "b"], "v": ["a", "c"], "w": ["a", "d"], "x": ["d"]})
    neighbors = cooccurrence_neighbors(training, CONFIG)
    assert neighbors["neighbor_id"].tolist() == ["b", "c", "d"]
    assert neighbors["rank"].tolist() == [1, 2, 3]
    assert neighbors.columns.tolist() == ["item_id", "neighbor_id", "rank", "score", "users"]


def test_pairs_of_few_users_are_left_out_and_lists_are_cut():
    config = CONFIG.model_copy(update={"min_users": 2})
    assert cooccurrence_neighbors(interactions_of(HISTORIES), config)[["item_id", "neighbor_id"]].values.tolist() == [
        ["a", "c"]
    ]
    short = CONFIG.model_copy(update={"neighbors_per_item": 1})
    assert cooccurrence_neighbors(interactions_of(HISTORIES), short).groupby("item_id").size().max() == 1


def test_an_unbounded_window_gives_the_upper_half_of_a_matrix_product():
    training = random_training()
    config = CooccurrenceConfig(window=99, neighbors_per_item=99, min_users=1)
    found = cooccurrence_neighbors(training, config)
    users, user_names = pd.factorize(training["user_id"])
    items, item_names = pd.factorize(training["item_id"])
    taken = scipy.sparse.csr_array((np.ones(len(users)), (users, items)), shape=(len(user_names), len(item_names)))
    both = (taken.T @ taken).toarray()  # of each pair the users of either order
    place = {name: number for number, name in enumerate(item_names)}
    directed = np.zeros_like(both)
    for row in found.itertuples():
        directed[place[row.item_id], place[row.neighbor_id]] = row.users
        expected = row.users / np.sqrt(both[place[row.item_id]].max() * both[place[row.neighbor_id]].max())
        assert row.score == pytest.approx(expected)
    np.fill_diagonal(both, 0)
    np.testing.assert_array_equal(directed + directed.T, both)


def test_neighbors_do_not_depend_on_the_order_of_the_rows():
    training = random_training()
    shuffled = training.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(cooccurrence_neighbors(training, CONFIG), cooccurrence_neighbors(shuffled, CONFIG))


def test_no_training_gives_no_neighbors():
    assert cooccurrence_neighbors(interactions_of({"u": ["a"]}), CONFIG).empty
    index = CooccurrenceIndex(interactions_of({"u": ["a"]}), CONFIG)
    assert index.evidence(["a"], "a", before=None, exclude_user=None) == Evidence(0, 0, "very high")


def test_evidence_counts_history_items_and_distinct_users():
    index = CooccurrenceIndex(interactions_of(HISTORIES, TIMES), CONFIG)
    # c: after a by u and v, after b by u again: two history items, two users.
    found = index.evidence(["a", "b", "unknown"], "c", before=None, exclude_user=None)
    assert (found.history_items, found.users) == (2, 2)


def test_evidence_as_of_a_time_knows_only_what_was_before():
    index = CooccurrenceIndex(interactions_of(HISTORIES, TIMES), CONFIG)
    # u took c at 3, v at 6.
    assert index.evidence(["a"], "c", before=6, exclude_user=None)[:2] == (1, 1)
    assert index.evidence(["a"], "c", before=7, exclude_user=None)[:2] == (1, 2)
    assert index.evidence(["a"], "c", before=3, exclude_user=None) == Evidence(0, 0, "new")


def test_a_training_positive_never_counts_itself():
    for times in (TIMES, None):  # without times nothing but the exclusion guards it
        index = CooccurrenceIndex(interactions_of(HISTORIES, times), CONFIG)
        own = index.evidence(["a", "b", "c"], "d", before=None, exclude_user="u")
        assert own == Evidence(0, 0, "new")  # u alone took d
        assert index.evidence(["a", "b", "c"], "d", before=None, exclude_user=None)[:2] == (2, 1)
        assert index.score(["b", "c"], ["d"], exclude_user="u").tolist() == [0]


def test_evidence_equals_plain_loops_on_random_data():
    training = random_training(seed=3)
    index = CooccurrenceIndex(training, CONFIG)
    pairs = pairs_by_hand(training, CONFIG.window)
    generator = np.random.default_rng(0)
    for _ in range(200):
        history = list(generator.choice(index.items, 3, replace=False))
        candidate = str(generator.choice(index.items))
        time = int(generator.integers(0, 32))
        user = f"u{generator.integers(0, 40)}"
        events = [(a, w) for a, b, w, t in pairs if a in history and b == candidate and t < time and w != user]
        found = index.evidence(history, candidate, before=time, exclude_user=user)
        assert found[:2] == (len({a for a, _ in events}), len({w for _, w in events}))


def test_scores_equal_plain_loops_on_random_data():
    training = random_training(seed=4)
    index = CooccurrenceIndex(training, CONFIG)
    pairs = pairs_by_hand(training, CONFIG.window)
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


def test_unknown_items_score_zero_and_are_new():
    index = CooccurrenceIndex(interactions_of(HISTORIES), CONFIG)
    assert index.score(["unknown"], ["a", "unknown"]).tolist() == [0, 0]
    assert index.score([], ["a"]).tolist() == [0]
    assert index.evidence([], "unknown", before=None, exclude_user=None) == Evidence(0, 0, "new")


def test_popularity_classes_follow_the_share_of_more_popular_items():
    # 100 items: item n has 100 - n users, so exactly n items have more.
    histories = {f"u{u:03}": [f"i{n:02}" for n in range(100 - u)] for u in range(100)}
    index = CooccurrenceIndex(interactions_of(histories), CONFIG)
    classes = [index.popularity_class(f"i{n:02}", before=None, exclude_user=None) for n in range(100)]
    assert classes == ["very high"] * 5 + ["high"] * 10 + ["medium"] * 25 + ["low"] * 60


def test_popularity_is_as_of_the_query_and_without_its_user():
    index = CooccurrenceIndex(interactions_of(HISTORIES, TIMES), CONFIG)
    assert index.counts(before=7, exclude_user=None).tolist() == [2, 1, 2, 1]
    assert index.counts(before=7, exclude_user="u").tolist() == [1, 0, 1, 0]
    assert index.counts(before=None, exclude_user="nobody").tolist() == [3, 2, 2, 1]
    assert index.popularity_class("d", before=4, exclude_user=None) == "new"
    assert index.popularity_class("d", before=5, exclude_user=None) == "very high"  # one user, as all items then


def test_an_index_over_untimed_data_asked_before_a_time_knows_nothing():
    index = CooccurrenceIndex(interactions_of(HISTORIES), CONFIG)
    assert index.evidence(["a"], "c", before=10**15, exclude_user=None) == Evidence(0, 0, "new")
