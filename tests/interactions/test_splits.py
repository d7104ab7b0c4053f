import pandas as pd
import pytest

from mmsra_pipeline.config import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.filtering import build_interactions
from mmsra_pipeline.interactions.raw import review_table
from mmsra_pipeline.interactions.splits import build_sequences, training_interactions

LEAVE_LAST_OUT = InteractionsConfig(user_core=1, item_core=1, split="leave_last_out", history_limit=3)
BY_USER = LEAVE_LAST_OUT.model_copy(update={"split": "by_user"})


def interactions(histories: dict[str, str], *, timed: bool = False) -> pd.DataFrame:
    rows = [
        (user, item, 100 + at if timed else None) for user, items in histories.items() for at, item in enumerate(items)
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).assign(order=range(len(rows)))
    return build_interactions(review_table(table), LEAVE_LAST_OUT, 0)[0]


def rows_of(sequences: pd.DataFrame, user: str) -> list[tuple[str, int, str, str | None]]:
    found = sequences[sequences["user_id"] == user]
    return [
        (row.split, row.position, "".join(row.history), None if pd.isna(row.target) else row.target)
        for row in found.itertuples()
    ]


def test_leave_last_out_tests_on_the_last_and_validates_on_the_one_before():
    sequences = build_sequences(interactions({"u": "abcde"}), LEAVE_LAST_OUT, 0)
    assert rows_of(sequences, "u") == [
        ("train", 1, "a", "b"),
        ("train", 2, "ab", "c"),
        ("validation", 3, "abc", "d"),
        ("test", 4, "bcd", "e"),  # history_limit 3
        ("serve", 5, "cde", None),
    ]


def test_times_are_those_of_the_targets_and_serve_has_none():
    sequences = build_sequences(interactions({"u": "abcd"}, timed=True), LEAVE_LAST_OUT, 0)
    assert sequences["timestamp"].fillna(-1).tolist() == [101, 102, 103, -1]


def test_a_first_interaction_is_never_a_target():
    sequences = build_sequences(interactions({"u": "abcd", "v": "ab", "w": "a"}), LEAVE_LAST_OUT, 0)
    assert rows_of(sequences, "v") == [("test", 1, "a", "b"), ("serve", 2, "ab", None)]
    assert rows_of(sequences, "w") == [("serve", 1, "a", None)]
    assert all(len(history) for history in sequences["history"])


def test_by_user_holds_out_whole_users_8_1_1():
    histories = {f"u{number:02d}": "abcd" for number in range(40)}
    sequences = build_sequences(interactions(histories), BY_USER, 0)
    users = {split: set(rows["user_id"]) for split, rows in sequences.groupby("split")}
    assert {split: len(names) for split, names in users.items()} == {
        "train": 32, "validation": 4, "test": 4, "serve": 40,
    }  # fmt: skip
    assert not users["train"] & (users["validation"] | users["test"])
    assert not users["validation"] & users["test"]
    tested = min(users["test"])
    assert rows_of(sequences, tested) == [("test", 3, "abc", "d"), ("serve", 4, "bcd", None)]
    trained = min(users["train"])
    assert [row[:2] for row in rows_of(sequences, trained)] == [("train", 1), ("train", 2), ("train", 3), ("serve", 4)]


def test_by_user_hangs_on_the_seed_and_not_on_the_order_of_users():
    histories = {f"u{number:02d}": "abcd" for number in range(30)}
    first, again, other = (build_sequences(interactions(histories), BY_USER, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert set(first[first["split"] == "test"]["user_id"]) != set(other[other["split"] == "test"]["user_id"])


@pytest.mark.parametrize("config", [LEAVE_LAST_OUT, BY_USER], ids=["leave_last_out", "by_user"])
def test_training_sees_no_held_out_target(config):
    histories = {f"u{number:02d}": "abcdef" for number in range(20)}
    everything = interactions(histories)
    sequences = build_sequences(everything, config, 0)
    training = training_interactions(everything, sequences)
    held_out = sequences[sequences["split"].isin(["validation", "test"])]
    seen = set(zip(training["user_id"], training["position"]))
    assert not seen & set(zip(held_out["user_id"], held_out["position"]))
    per_user = training.groupby("user_id")["position"].agg(["min", "max"])
    last = 3 if config is LEAVE_LAST_OUT else 5
    assert set(per_user.itertuples(index=False, name=None)) == {(0, last)}
    assert len(per_user) == (20 if config is LEAVE_LAST_OUT else 16)


def test_too_few_users_to_split_say_what_to_do():
    with pytest.raises(DataError, match=r"1 users give no train and no test queries\. .*leave_last_out"):
        build_sequences(interactions({"u": "abcd"}), BY_USER, 0)
