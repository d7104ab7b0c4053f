import math

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest.building import interactions_of, sequences_of

from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.raw_tables import review_table
from mmsra_pipeline.interactions import splits
from mmsra_pipeline.interactions.splits import training_interactions

LEAVE_LAST_OUT = InteractionsConfig(user_core=1, item_core=1, split="leave_last_out", history_limit=3)
BY_USER = LEAVE_LAST_OUT.model_copy(update={"split": "by_user"})
GLOBAL_TIME = LEAVE_LAST_OUT.model_copy(update={"split": "global_time"})


def interactions(histories: dict[str, str], *, timed: bool = False) -> pd.DataFrame:
    """Each user's items, of one letter each; times count up from 100 for every user."""
    return at_times(
        {user: [(item, 100 + at) for at, item in enumerate(items)] for user, items in histories.items()}, timed
    )


def at_times(histories: dict[str, list[tuple[str, int]]], timed: bool = True) -> pd.DataFrame:
    rows = [(user, item, time if timed else None) for user, entries in histories.items() for item, time in entries]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).assign(order=range(len(rows)))
    return interactions_of(review_table(table), LEAVE_LAST_OUT)[0]


def rows_of(sequences: pd.DataFrame, user: str) -> list[tuple[str, int, str, str | None]]:
    found = sequences[sequences["user_id"] == user]
    return [
        (row.split, row.position, "".join(row.history), None if pd.isna(row.target) else row.target)
        for row in found.itertuples()
    ]


def all_rows(sequences: pd.DataFrame) -> list[tuple]:
    return [(user, *row) for user in sequences["user_id"].unique() for row in rows_of(sequences, user)]


def test_leave_last_out_tests_on_the_last_and_validates_on_the_one_before():
    sequences, bounds = sequences_of(interactions({"u": "abcde"}), LEAVE_LAST_OUT)
    assert rows_of(sequences, "u") == [
        ("train", 1, "a", "b"),
        ("train", 2, "ab", "c"),
        ("validation", 3, "abc", "d"),
        ("test", 4, "bcd", "e"),  # history_limit 3
        ("serve", 5, "cde", None),
    ]
    assert bounds.to_numpy().tolist() == [["u", 3]]


def test_the_types_are_the_same_for_data_with_and_without_times():
    for timed in (True, False):
        sequences, _ = sequences_of(interactions({"u": "abcd"}, timed=timed), LEAVE_LAST_OUT)
        assert {name: str(kind) for name, kind in sequences.dtypes.items()} == {
            "user_id": "str", "split": "str", "position": "int64", "history": "object", "target": "str",
            "timestamp": "float64",  # serve rows have none
        }  # fmt: skip


def test_times_are_those_of_the_targets_and_serve_has_none():
    sequences, _ = sequences_of(interactions({"u": "abcd"}, timed=True), LEAVE_LAST_OUT)
    assert sequences["timestamp"].fillna(-1).tolist() == [101, 102, 103, -1]


def test_a_first_interaction_is_never_a_target():
    sequences, _ = sequences_of(interactions({"u": "abcd", "v": "ab", "w": "a"}), LEAVE_LAST_OUT)
    assert rows_of(sequences, "v") == [("test", 1, "a", "b"), ("serve", 2, "ab", None)]
    assert rows_of(sequences, "w") == [("serve", 1, "a", None)]
    assert all(len(history) for history in sequences["history"])


def test_by_user_holds_out_whole_users_8_1_1():
    histories = {f"u{number:02d}": "abcd" for number in range(40)}
    sequences, _ = sequences_of(interactions(histories), BY_USER)
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
    everything = interactions(histories)
    shuffled = everything.sample(frac=1, random_state=3)
    first, again, other = (
        sequences_of(table, BY_USER, seed)[0] for table, seed in ((everything, 0), (shuffled, 0), (everything, 1))
    )
    pd.testing.assert_frame_equal(first, again)
    assert set(first[first["split"] == "test"]["user_id"]) != set(other[other["split"] == "test"]["user_id"])


def test_global_time_asks_what_comes_first_behind_each_cut():
    # Of twenty times the 16th is 70 and the 18th is 80: there validation and test begin.
    frame = at_times(
        {
            "u": [("a", 0), ("b", 10), ("c", 70), ("d", 75), ("e", 80)],  # d is no target: c came first
            "v": [(item, 20) for item in "abcdefghijkl"],
            "w": [("d", 50), ("e", 90)],
            "x": [("a", 95)],
        }
    )
    sequences, bounds = sequences_of(frame, GLOBAL_TIME)
    assert rows_of(sequences, "u") == [
        ("train", 1, "a", "b"),
        ("validation", 2, "ab", "c"),
        ("test", 4, "bcd", "e"),
        ("serve", 5, "cde", None),
    ]
    assert {row[0] for row in rows_of(sequences, "v")} == {"train", "serve"}
    assert rows_of(sequences, "w") == [("test", 1, "d", "e"), ("serve", 2, "de", None)]
    assert rows_of(sequences, "x") == [("serve", 1, "a", None)]
    assert bounds.to_numpy().tolist() == [["u", 2], ["v", 12], ["w", 1]]


def test_global_time_does_not_ask_who_begins_behind_the_cut():
    histories = {f"u{number}": [(item, 10 * number) for item in "abc"] for number in range(10)}
    histories["u0"] += [("d", 85), ("e", 200)]
    sequences, _ = sequences_of(at_times(histories), GLOBAL_TIME)
    held_out = sequences[sequences["split"].isin(["validation", "test"])]
    assert held_out[["user_id", "split", "target"]].to_numpy().tolist() == [
        ["u0", "validation", "d"],
        ["u0", "test", "e"],
    ]


def test_data_without_times_cannot_be_cut_by_time_and_are_offered_another_split():
    with pytest.raises(DataError, match=r"4 of 4 interactions have no time.*Set interactions\.split.*leave_last_out"):
        sequences_of(interactions({"u": "abcd"}), GLOBAL_TIME)


def test_targets_with_a_short_history_are_no_queries_and_serve_rows_stay():
    frame = interactions({"u": "abcdef", "v": "abc"})
    sequences, bounds = sequences_of(frame, LEAVE_LAST_OUT.model_copy(update={"min_history": 3}))
    assert all_rows(sequences) == [
        ("u", "train", 3, "abc", "d"),
        ("u", "validation", 4, "bcd", "e"),
        ("u", "test", 5, "cde", "f"),
        ("u", "serve", 6, "def", None),
        ("v", "serve", 3, "abc", None),
    ]
    assert training_interactions(frame, bounds)["item_id"].tolist() == list("abcd")


histories = st.dictionaries(
    st.sampled_from("stuvwxyz"), st.lists(st.integers(0, 30), min_size=1, max_size=9), min_size=1, max_size=8
)
steps = st.integers(1, 4)


@settings(max_examples=50, deadline=None)
@given(histories, st.sampled_from(["by_user", "leave_last_out", "global_time"]), steps, steps)
def test_every_split_is_what_its_rule_says_read_user_by_user(times, split, limit, min_history):
    frame = at_times({user: [(chr(97 + at), time) for at, time in enumerate(own)] for user, own in times.items()})
    config = InteractionsConfig(split=split, history_limit=limit, min_history=min_history)
    try:
        sequences, bounds = sequences_of(frame, config)
    except DataError:
        if split == "by_user":  # who is drawn is not known here
            return
        sequences, bounds = None, None
    drawn = sequences_of(frame, config.model_copy(update={"min_history": 1}))[0] if split == "by_user" else None
    expected, seen = by_rule(frame, split, limit, min_history, drawn)
    found = {row[1] for row in expected}
    if sequences is None:
        assert not {"train", "validation", "test"} <= found
        return
    assert all_rows(sequences) == expected
    assert set(training_interactions(frame, bounds)[["user_id", "position"]].itertuples(index=False, name=None)) == seen


def by_rule(frame, split, limit, min_history, drawn):
    """Give all rows of sequences and what training sees, as the docstring tells it. Who by_user drew is looked up."""
    ordered = sorted(frame["timestamp"])
    first, second = (ordered[math.ceil(part * len(ordered) / 10) - 1] for part in (8, 9))
    rows, seen = [], set()
    for user, own in frame.groupby("user_id", sort=True):
        items, times = own["item_id"].tolist(), own["timestamp"].tolist()
        last = len(items) - 1
        if split == "leave_last_out":
            names = dict.fromkeys(range(last - 1), "train") | {last - 1: "validation", last: "test"}
            seen |= {(user, at) for at in range(last - 1)} if last >= 3 else set()
        elif split == "global_time":
            names = {at: "train" for at, time in enumerate(times) if time < first}
            seen |= {(user, at) for at in names}
            middle = [at for at, time in enumerate(times) if first <= time < second]
            late = [at for at, time in enumerate(times) if time >= second]
            names |= {part[0]: name for part, name in ((middle, "validation"), (late, "test")) if part}
        else:
            own_part = set(drawn[(drawn["user_id"] == user) & (drawn["split"] != "serve")]["split"])
            names = (
                dict.fromkeys(range(last + 1), "train") if own_part == {"train"} else dict.fromkeys([last], *own_part)
            )
            seen |= {(user, at) for at in names} if own_part == {"train"} else set()
        for at in range(min_history, last + 1):
            if at in names:
                rows.append((user, names[at], at, "".join(items[max(0, at - limit) : at]), items[at]))
        rows.append((user, "serve", last + 1, "".join(items[-limit:]), None))
    return rows, seen


@pytest.mark.parametrize("config", [LEAVE_LAST_OUT, BY_USER, GLOBAL_TIME], ids=lambda config: config.split)
def test_parts_and_files_do_not_show(config, tmp_path, monkeypatch):
    frame = interactions({f"u{number:02d}": "abcdefgh"[: 4 + number % 5] for number in range(30)}, timed=True)
    whole = sequences_of(frame, config)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / "taken.parquet", row_group_size=10)
    monkeypatch.setattr(splits, "PART_ROWS", 7)
    for one, other in zip(whole, sequences_of(tmp_path / "taken.parquet", config)):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("config", [LEAVE_LAST_OUT, BY_USER, GLOBAL_TIME], ids=lambda config: config.split)
def test_training_sees_no_held_out_target(config):
    histories = {f"u{number:02d}": "abcdef" for number in range(20)}
    everything = interactions(histories, timed=True)
    sequences, bounds = sequences_of(everything, config)
    training = training_interactions(everything, bounds)
    held_out = sequences[sequences["split"].isin(["validation", "test"])]
    seen = set(zip(training["user_id"], training["position"]))
    assert not seen & set(zip(held_out["user_id"], held_out["position"]))
    assert {
        tuple(row) for row in sequences.loc[sequences["split"] == "train", ["user_id", "position"]].to_numpy()
    } <= seen
    per_user = training.groupby("user_id")["position"].agg(["min", "max"])
    last = 5 if config is BY_USER else 3
    assert set(per_user.itertuples(index=False, name=None)) == {(0, last)}
    assert len(per_user) == (16 if config is BY_USER else 20)


def test_too_few_users_to_split_say_what_to_do():
    with pytest.raises(
        DataError, match=r"1 users give no train and no test queries .*leave_last_out.*min_history \(1\)"
    ):
        sequences_of(interactions({"u": "abcd"}), BY_USER)
