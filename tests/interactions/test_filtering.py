import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsra_pipeline.config import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.filtering import build_interactions, k_core
from mmsra_pipeline.interactions.raw import item_table, review_table

LOOSE = InteractionsConfig(user_core=1, item_core=1)


def reviews(*rows: tuple[str, str, int | None], ratings: list[float] | None = None) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).assign(order=range(len(rows)))
    return review_table(table if ratings is None else table.assign(rating=ratings))


def pairs(text: str) -> pd.DataFrame:
    """'1a 1b 2a': user 1 took a, then b, user 2 took a."""
    return reviews(*((pair[0], pair[1], None) for pair in text.split()))


def taken(interactions: pd.DataFrame) -> list[str]:
    return [f"{row.user_id}{row.item_id}{row.position}" for row in interactions.itertuples()]


def test_interactions_are_in_order_of_time_with_positions_from_0():
    rows = reviews(("u", "c", 30), ("t", "x", 5), ("u", "a", 10), ("u", "b", 20))
    interactions, _ = build_interactions(rows, LOOSE, 0)
    assert taken(interactions) == ["tx0", "ua0", "ub1", "uc2"]
    assert list(interactions.columns) == ["user_id", "item_id", "timestamp", "rating", "position"]


def test_equal_times_and_no_times_keep_the_order_of_the_source():
    assert taken(build_interactions(reviews(("u", "z", 1), ("u", "a", 1), ("u", "m", 0)), LOOSE, 0)[0]) == [
        "um0",
        "uz1",
        "ua2",
    ]
    assert taken(build_interactions(pairs("1z 1a 1m"), LOOSE, 0)[0]) == ["1z0", "1a1", "1m2"]


def test_the_order_of_the_rows_in_the_table_does_not_count():
    rows = reviews(*((u, i, t) for u in "xy" for i, t in zip("abcd", [3, 3, 1, 2])))
    first = build_interactions(rows, LOOSE, 0)[0]
    again = build_interactions(rows.sample(frac=1, random_state=3), LOOSE, 0)[0]
    pd.testing.assert_frame_equal(first, again)


def test_of_repeated_pairs_the_earliest_counts():
    rows = reviews(("u", "a", 30), ("u", "b", 20), ("u", "a", 10))
    interactions, funnel = build_interactions(rows, LOOSE, 0)
    assert interactions[["item_id", "timestamp"]].to_numpy().tolist() == [["a", 10], ["b", 20]]
    assert funnel["interactions"].tolist() == [3, 2, 2]


def test_the_core_is_taken_repeatedly():
    # d goes (1 user), so user 3 falls to 1 item and goes, so c falls to 1 user and goes; 1 and 2 with a and b stay.
    rows = pairs("1a 1b 2a 2b 2c 3c 3d")
    interactions, funnel = build_interactions(rows, InteractionsConfig(user_core=2, item_core=2), 0)
    assert taken(interactions) == ["1a0", "1b1", "2a0", "2b1"]
    assert funnel.to_numpy().tolist() == [
        ["source", 3, 4, 7],
        ["duplicates", 3, 4, 7],
        ["k_core", 2, 2, 4],
    ]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1), st.integers(1, 4), st.integers(1, 4))
def test_the_core_is_the_one_that_removing_row_by_row_leaves(taken_pairs, user_core, item_core):
    rows = pd.DataFrame(sorted(taken_pairs), columns=["user", "item"])
    left = set(taken_pairs)
    while True:
        short = [
            (u, i)
            for u, i in left
            if sum(v == u for v, _ in left) < user_core or sum(j == i for _, j in left) < item_core
        ]
        if not short:
            break
        left.remove(short[0])
    kept = rows[k_core(rows["user"], rows["item"], user_core, item_core)]
    assert set(kept.itertuples(index=False, name=None)) == left


def test_low_ratings_are_no_interactions_and_unrated_reviews_are():
    rows = reviews(("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ratings=[2.5, 3.0, float("nan")])
    interactions, funnel = build_interactions(rows, LOOSE.model_copy(update={"min_rating": 3.0}), 0)
    assert taken(interactions) == ["ub0", "uc1"]
    assert funnel["step"].tolist() == ["source", "min_rating", "duplicates", "k_core"]


def test_max_items_keeps_those_of_most_interactions_and_ties_by_id():
    rows = pairs("1c 2c 1b 2b 1a 2a 3a 1d 2d")
    interactions, _ = build_interactions(rows, LOOSE.model_copy(update={"max_items": 2}), 0)
    assert set(interactions["item_id"]) == {"a", "b"}


def test_max_users_keeps_a_random_sample_that_the_seed_decides():
    rows = reviews(*((f"u{number:02d}", item, None) for number in range(40) for item in "ab"))
    config = LOOSE.model_copy(update={"max_users": 10})
    first, again, other = (set(build_interactions(rows, config, seed)[0]["user_id"]) for seed in (0, 0, 1))
    assert len(first) == 10
    assert first == again
    assert first != other


def test_items_without_a_picture_can_be_left_out():
    config = LOOSE.model_copy(update={"require_image": True})
    items = item_table(pd.DataFrame({"item_id": ["a", "b"], "image_sha256": ["f00", None]}))
    interactions, funnel = build_interactions(pairs("1a 1b 1c"), config, 0, raw_items=items)
    assert taken(interactions) == ["1a0"]
    assert funnel["step"].tolist()[1] == "require_image"
    with pytest.raises(ValueError, match="require_image needs raw_items"):
        build_interactions(pairs("1a"), config, 0)


def test_nothing_left_names_the_step_and_the_setting():
    message = (
        r"no interaction is left after step 'k_core' \(source 2, duplicates 2, k_core 0\)\. Lower .*user_core \(3\)"
    )
    with pytest.raises(DataError, match=message):
        build_interactions(pairs("1a 1b"), InteractionsConfig(user_core=3, item_core=1), 0)
