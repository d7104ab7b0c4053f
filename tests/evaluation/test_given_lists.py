"""Candidate lists from elsewhere: what is kept, what is refused, and with which words."""

import pandas as pd
import pytest

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.evaluation.given_lists import check_lists, given_lists, keep_lists, read_lists

CATALOGUE = {f"i{number}" for number in range(9)}
QUERIES = pd.DataFrame(
    [("u", 3, "i1"), ("v", 2, "i4"), ("v", 5, "i2"), ("w", 4, "i8")], columns=["user_id", "position", "target"]
)
LIST_OF_U = [("u", "i0"), ("u", "i1"), ("u", "i5")]


def file_of(tmp_path, rows, columns=("user_id", "item_id"), name="paper.csv"):
    table = pd.DataFrame(rows, columns=list(columns))
    path = tmp_path / name
    if name.endswith(".parquet"):
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


def checked(tmp_path, rows, columns=("user_id", "item_id"), name="paper.csv"):
    return check_lists(read_lists(file_of(tmp_path, rows, columns, name)), QUERIES, CATALOGUE, name)


@pytest.mark.parametrize("name", ["paper.csv", "paper.parquet"])
def test_the_target_is_what_came_next_at_the_last_query_of_the_user(tmp_path, name):
    lists, refused = checked(tmp_path, [*LIST_OF_U, ("v", "i2"), ("v", "i7")], name=name)
    assert refused == []
    assert lists.to_numpy().tolist() == [
        ["u", 3, "i0", False], ["u", 3, "i1", True], ["u", 3, "i5", False], ["v", 5, "i2", True], ["v", 5, "i7", False],
    ]  # fmt: skip


def test_a_file_may_say_position_and_target(tmp_path):
    rows = [("v", 2, "i4", "True"), ("v", 2, "i3", "false"), ("v", 5, "i2", "1"), ("v", 5, "i3", "0")]
    lists, _ = checked(tmp_path, rows, ("user_id", "position", "item_id", "is_target"))
    assert lists["position"].tolist() == [2, 2, 5, 5]
    assert lists.loc[lists["is_target"], "item_id"].tolist() == ["i4", "i2"]


@pytest.mark.parametrize(
    ("rows", "why", "example"),
    [
        ([("x", "i1"), ("x", "i2")], "the user is not among those of test", "paper.csv, row 5: user 'x', item 'i1'"),
        ([("w", "i8"), ("w", "i99")], "an item is not in the catalogue", "row 5: user 'w', item 'i8'"),
        ([("w", "i8"), ("w", "i2"), ("w", "i2")], "an item stands twice in the list", "row 5"),
        ([("w", "i1"), ("w", "i2")], "what came next is not among the candidates", "row 5"),
        ([("w", "i8")], "there are fewer than 2 candidates", "row 5"),
    ],
)
def test_a_list_that_cannot_be_ranked_is_refused_as_a_whole_and_the_others_are_kept(tmp_path, rows, why, example):
    lists, [refused] = checked(tmp_path, [*LIST_OF_U, *rows])
    assert lists["user_id"].unique().tolist() == ["u"]
    assert len(lists) == 3
    assert (refused.why, refused.lists) == (why, 1)
    assert example in refused.example


def test_two_targets_in_a_list_are_refused(tmp_path):
    rows = [("u", "i1", 1), ("u", "i0", 0), ("w", "i8", 1), ("w", "i2", 1)]
    _, [refused] = checked(tmp_path, rows, ("user_id", "item_id", "is_target"))
    assert refused.why == "more than one candidate is the target"


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        ([("u", "i0", 1), ("u", "i1", 0)], ("user_id", "item_id", "is_target"),
         ["paper.csv, row 2", "'u' is 'i0' there", "'i1' came next here", "another split"]),
        ([("u", "i0", "maybe")], ("user_id", "item_id", "is_target"), ["row 2", "'maybe'", "Write 1"]),
        ([("u", "i0", "third")], ("user_id", "item_id", "position"), ["row 2", "'third' is no number"]),
        ([("x", "i0")], ("user_id", "item_id"), ["no list that can be ranked", "not among those of test", "row 2"]),
        ([("u", "i0")], ("person", "item_id"), ["no user_id", "person, item_id"]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_what_where_and_how_to_fix_it(tmp_path, rows, columns, words):
    with pytest.raises(DataError) as error:
        checked(tmp_path, rows, columns)
    for word in words:
        assert word in str(error.value)


def test_a_file_that_is_no_table_is_an_error(tmp_path):
    (tmp_path / "paper.csv").write_bytes(b"PAR1\x00\x01")
    with pytest.raises(DataError, match=r"cannot be read as CSV or Parquet"):
        read_lists(tmp_path / "paper.csv")
    with pytest.raises(DataError, match=r"cannot be read"):
        read_lists(tmp_path / "absent.csv")


def test_kept_lists_are_found_by_their_hash_from_a_variant_too_and_for_the_queries_asked_for(tmp_path, artifacts):
    lists, _ = checked(tmp_path, [*LIST_OF_U, ("w", "i8"), ("w", "i0")])
    name = keep_lists(artifacts, "shop", lists)
    assert keep_lists(artifacts, "shop", lists) == name
    found = given_lists(artifacts, {"paper": name}, QUERIES[QUERIES["user_id"] != "w"])
    assert found.to_numpy().tolist() == [["paper", "u", 3, item, item == "i1"] for item in ("i0", "i1", "i5")]
    with pytest.raises(MissingInputError, match="Import them again"):
        given_lists(artifacts, {"paper": "0" * 64}, QUERIES)


def test_lists_whose_target_has_changed_since_are_not_ranked(tmp_path, artifacts):
    lists, _ = checked(tmp_path, LIST_OF_U)
    name = keep_lists(artifacts, "shop", lists)
    with pytest.raises(DataError, match="import the lists again"):
        given_lists(artifacts, {"paper": name}, QUERIES.assign(target="i0"))
