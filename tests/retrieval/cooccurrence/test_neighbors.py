import numpy as np
import pandas as pd
import pytest
from retrieval.histories import interactions_of, random_training

from mmsra_pipeline.retrieval.cooccurrence import neighbors as module
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.cooccurrence.neighbors import neighbors

HISTORIES = {"u": ["a", "b", "c", "d"], "v": ["a", "c"], "w": ["b", "a"]}


def neighbors_of(training: pd.DataFrame, window: int | None = 2, per_item: int = 10) -> pd.DataFrame:
    return neighbors(CooccurrenceIndex.of_training(training, window), per_item)


def test_neighbors_are_scored_by_hand_worked_cosines():
    found = neighbors_of(interactions_of(HISTORIES)).set_index(["item_id", "neighbor_id"])
    # a then c: users u and v; a has 3 users, c has 2. d lies 3 after a: outside the window.
    assert found.loc[("a", "c"), "users"] == 2
    assert found.loc[("a", "c"), "score"] == 2 / np.sqrt(3 * 2)
    assert found.loc[("b", "a"), "score"] == 1 / np.sqrt(2 * 3)
    assert ("a", "d") not in found.index
    assert ("c", "a") not in found.index  # the direction counts


def test_neighbors_are_ordered_by_score_then_users_then_id():
    histories = {"u1": ["a", "z"], "u2": ["a", "b"], "u3": ["a", "c"], "u4": ["a", "c"], "u5": ["c"], "u6": ["c"]}
    found = neighbors_of(interactions_of(histories))
    # a has 4 users; z and b one each: 1 / sqrt(4); c has 4, two of whom took it after a: 2 / 4.
    assert found["neighbor_id"].tolist() == ["c", "b", "z"]
    assert found["score"].tolist() == [0.5, 0.5, 0.5]
    assert found["rank"].tolist() == [1, 2, 3]


def test_lists_are_cut():
    found = neighbors_of(random_training(), per_item=2)
    assert found.groupby("item_id").size().max() == 2
    whole = neighbors_of(random_training(), per_item=99)
    pd.testing.assert_frame_equal(found, whole[whole["rank"] <= 2].reset_index(drop=True))


@pytest.mark.parametrize("together", [1, 7, 10**6])
@pytest.mark.parametrize("window", [1, 3, None])
def test_neighbors_equal_plain_loops_on_random_data(window, together, monkeypatch):
    monkeypatch.setattr(module, "EVENTS_TOGETHER", together)
    training = random_training(seed=3)
    users = training.groupby("item_id")["user_id"].nunique()
    joint: dict[tuple[str, str], set[str]] = {}
    for user, group in training.sort_values("position").groupby("user_id"):
        items = group["item_id"].tolist()
        for place, first in enumerate(items):
            for second in items[place + 1 : None if window is None else place + 1 + window]:
                joint.setdefault((first, second), set()).add(user)
    rows = [(a, b, len(who) / np.sqrt(users[a] * users[b]), len(who)) for (a, b), who in joint.items()]
    expected = pd.DataFrame(rows, columns=["item_id", "neighbor_id", "score", "users"])
    expected = expected.sort_values(
        ["item_id", "score", "users", "neighbor_id"], ascending=[True, False, False, True], ignore_index=True
    )
    found = neighbors_of(training, window, per_item=99)
    pd.testing.assert_frame_equal(found.drop(columns="rank"), expected, check_dtype=False)
    assert (found["rank"] == found.groupby("item_id").cumcount() + 1).all()


def test_neighbors_do_not_depend_on_the_order_of_the_rows():
    training = random_training()
    mixed = training.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(neighbors_of(training), neighbors_of(mixed))


def test_positions_that_are_left_out_still_count_for_the_window():
    training = interactions_of({"u": ["a", "b", "c"]})
    training["position"] *= 2
    assert neighbors_of(training, window=1).empty
    assert len(neighbors_of(training, window=2)) == 2


def test_no_training_gives_no_neighbors():
    found = neighbors_of(interactions_of({}))
    assert found.empty
    assert found.columns.tolist() == ["item_id", "neighbor_id", "rank", "score", "users"]
