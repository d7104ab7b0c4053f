import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest.building import interactions_of

from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.raw_tables import item_table, review_table

LOOSE = InteractionsConfig(user_core=1, item_core=1)


def reviews(*rows: tuple[str, str, int | None], **columns: list) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).assign(order=range(len(rows)))
    return review_table(table.assign(**columns))


def pairs(text: str) -> pd.DataFrame:
    """'1a 1b 2a': user 1 took a, then b, user 2 took a."""
    return reviews(*((pair[0], pair[1], None) for pair in text.split()))


def loose(**changes) -> InteractionsConfig:
    return LOOSE.model_copy(update=changes)


def in_order(interactions: pd.DataFrame) -> list[str]:
    return [f"{row.user_id}{row.item_id}{row.position}" for row in interactions.itertuples()]


def left(funnel: pd.DataFrame) -> dict[str, int]:
    return dict(zip(funnel["step"], funnel["interactions"]))


def test_interactions_are_in_order_of_time_with_positions_from_0():
    rows = reviews(("u", "c", 30), ("t", "x", 5), ("u", "a", 10), ("u", "b", 20))
    interactions, _ = interactions_of(rows, LOOSE)
    assert in_order(interactions) == ["tx0", "ua0", "ub1", "uc2"]
    assert {name: str(kind) for name, kind in interactions.dtypes.items()} == {
        "user_id": "str", "item_id": "str", "timestamp": "int64", "rating": "float64", "position": "int64",
    }  # fmt: skip


def test_equal_times_and_no_times_keep_the_order_of_the_source():
    assert in_order(interactions_of(reviews(("u", "z", 1), ("u", "a", 1), ("u", "m", 0)), LOOSE)[0]) == [
        "um0",
        "uz1",
        "ua2",
    ]
    assert in_order(interactions_of(pairs("1z 1a 1m"), LOOSE)[0]) == ["1z0", "1a1", "1m2"]


def test_the_order_of_the_rows_in_the_table_does_not_count():
    rows = reviews(*((u, i, t) for u in "xy" for i, t in zip("abcd", [3, 3, 1, 2])))
    first = interactions_of(rows, LOOSE)[0]
    again = interactions_of(rows.sample(frac=1, random_state=3), LOOSE)[0]
    pd.testing.assert_frame_equal(first, again)


def test_a_frame_an_arrow_table_and_a_file_give_the_same(tmp_path):
    rows = reviews(("u", "b", 2), ("u", "a", 1), ("v", "a", 1), rating=[4.0, float("nan"), 2.0])
    table = pa.Table.from_pandas(rows, preserve_index=False)
    pq.write_table(table, tmp_path / "rows.parquet")
    first = interactions_of(rows, loose(min_rating=3.0))[0]
    assert in_order(first) == ["ua0", "ub1"]
    for other in (table, tmp_path / "rows.parquet"):
        pd.testing.assert_frame_equal(interactions_of(other, loose(min_rating=3.0))[0], first)


def test_users_and_items_are_sorted_by_the_bytes_of_their_ids():
    rows = reviews(*((user, item, None) for user in ("é", "a", "Z", "10", "9") for item in ("é", "z")))
    assert interactions_of(rows, LOOSE)[0]["user_id"].unique().tolist() == ["10", "9", "Z", "a", "é"]


def test_a_line_that_stands_twice_is_one_review_and_other_text_makes_two():
    rows = reviews(
        *[("u", "a", 10), ("u", "a", 10), ("u", "a", 10), ("u", "a", 10), ("u", "a", 11), ("u", "b", 10)],
        rating=[5.0, 5.0, 5.0, 4.0, 5.0, 5.0],
        review=["good", "good", "good!", "good", "good", "good"],
    )
    interactions, funnel = interactions_of(rows, LOOSE)
    assert left(funnel) == {"source": 6, "exact_duplicates": 5, "repeated_pairs": 2, "k_core round 1": 2}
    assert in_order(interactions) == ["ua0", "ub1"]


def test_lines_without_rating_and_text_are_duplicates_too():
    _, funnel = interactions_of(reviews(("u", "a", 10), ("u", "a", 10)), LOOSE)
    assert left(funnel)["exact_duplicates"] == 1


def test_of_lines_that_are_the_same_the_first_keeps_its_place():
    rows = reviews(("u", "b", 7), ("u", "a", 7), ("u", "b", 7))
    for repeats in ("first", "last"):
        assert in_order(interactions_of(rows, loose(repeats=repeats))[0]) == ["ub0", "ua1"]


def test_without_times_nothing_is_a_duplicate_since_the_place_is_the_time():
    interactions, funnel = interactions_of(pairs("1a 1b 1a"), loose(repeats="last"))
    assert left(funnel)["exact_duplicates"] == 3
    assert in_order(interactions) == ["1b0", "1a1"]


def test_of_repeated_pairs_the_first_or_the_last_counts():
    rows = reviews(("u", "a", 30), ("u", "b", 20), ("u", "a", 10), ("u", "a", 25))
    first, funnel = interactions_of(rows, LOOSE)
    assert first[["item_id", "timestamp"]].to_numpy().tolist() == [["a", 10], ["b", 20]]
    assert funnel["interactions"].tolist() == [4, 4, 2, 2]
    last, _ = interactions_of(rows, loose(repeats="last"))
    assert last[["item_id", "timestamp"]].to_numpy().tolist() == [["b", 20], ["a", 30]]


def test_of_pairs_repeated_at_one_time_the_order_of_the_source_tells_the_first_from_the_last():
    rows = reviews(("u", "a", 5), ("u", "a", 5), ("u", "a", 5), rating=[1.0, 2.0, 3.0])
    assert interactions_of(rows, LOOSE)[0]["rating"].tolist() == [1.0]
    assert interactions_of(rows, loose(repeats="last"))[0]["rating"].tolist() == [3.0]


def test_the_core_is_taken_in_rounds_that_the_funnel_counts():
    # d goes (1 user), so user 3 falls to 1 item and goes, so c falls to 1 user and goes; 1 and 2 with a and b stay.
    rows = pairs("1a 1b 2a 2b 2c 3c 3d")
    interactions, funnel = interactions_of(rows, InteractionsConfig(user_core=2, item_core=2))
    assert in_order(interactions) == ["1a0", "1b1", "2a0", "2b1"]
    assert funnel.to_numpy().tolist() == [
        ["source", 3, 4, 7],
        ["exact_duplicates", 3, 4, 7],
        ["repeated_pairs", 3, 4, 7],
        ["k_core round 1", 3, 3, 6],
        ["k_core round 2", 2, 3, 5],
        ["k_core round 3", 2, 2, 4],
    ]


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1), st.integers(1, 4), st.integers(1, 4))
def test_the_core_is_the_one_that_removing_row_by_row_leaves(drawn_pairs, user_core, item_core):
    kept = set(drawn_pairs)
    while True:
        short = [
            (u, i)
            for u, i in kept
            if sum(v == u for v, _ in kept) < user_core or sum(j == i for _, j in kept) < item_core
        ]
        if not short:
            break
        kept.remove(short[0])
    rows = reviews(*((str(user), str(item), None) for user, item in sorted(drawn_pairs)))
    config = InteractionsConfig(user_core=user_core, item_core=item_core)
    if kept:
        found = interactions_of(rows, config)[0]
        assert {(int(row.user_id), int(row.item_id)) for row in found.itertuples()} == kept
    else:
        with pytest.raises(DataError, match="k_core round"):
            interactions_of(rows, config)


def test_low_ratings_are_no_interactions_and_unrated_reviews_are():
    rows = reviews(("u", "a", 1), ("u", "b", 2), ("u", "c", 3), rating=[2.5, 3.0, float("nan")])
    interactions, funnel = interactions_of(rows, loose(min_rating=3.0))
    assert in_order(interactions) == ["ub0", "uc1"]
    assert funnel["step"].tolist() == [
        "source", "exact_duplicates", "min_rating", "repeated_pairs", "k_core round 1",
    ]  # fmt: skip


def test_a_low_rating_does_not_hide_a_later_better_one():
    rows = reviews(("u", "a", 1), ("u", "a", 2), rating=[1.0, 5.0])
    assert interactions_of(rows, loose(min_rating=3.0))[0]["timestamp"].tolist() == [2]


def test_max_items_keeps_those_of_most_interactions_and_ties_by_id():
    interactions, _ = interactions_of(pairs("1c 2c 1b 2b 1a 2a 3a 1d 2d"), loose(max_items=2))
    assert set(interactions["item_id"]) == {"a", "b"}


def test_max_users_keeps_a_random_sample_that_the_seed_decides():
    rows = reviews(*((f"u{number:02d}", item, None) for number in range(40) for item in "ab"))
    shuffled = rows.sample(frac=1, random_state=3)
    config = loose(max_users=10)
    first, again, other = (
        set(interactions_of(table, config, seed)[0]["user_id"]) for table, seed in ((rows, 0), (shuffled, 0), (rows, 1))
    )
    assert len(first) == 10
    assert first == again
    assert first != other


def test_items_without_a_picture_can_be_left_out():
    config = loose(require_image=True)
    items = item_table(pd.DataFrame({"item_id": ["a", "b"], "image_sha256": ["f00", None]}))
    interactions, funnel = interactions_of(pairs("1a 1b 1c"), config, raw_items=items)
    assert in_order(interactions) == ["1a0"]
    assert funnel["step"].tolist()[2] == "require_image"
    with pytest.raises(ValueError, match="require_image needs raw_items"):
        interactions_of(pairs("1a"), config)


def test_nothing_left_names_the_step_and_the_setting():
    message = (
        r"no interaction is left after step 'k_core round 1' \(source 2, exact_duplicates 2, repeated_pairs 2, "
        r"k_core round 1 0\)\. Lower .*user_core \(3\)"
    )
    with pytest.raises(DataError, match=message):
        interactions_of(pairs("1a 1b"), InteractionsConfig(user_core=3, item_core=1))
    with pytest.raises(DataError, match=r"after step 'source' \(source 0\)\. The source has none\."):
        interactions_of(reviews(), LOOSE)
