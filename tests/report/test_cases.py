import pandas as pd

from mmsra_pipeline.report.cases import choose_cases


def per_user(places):
    users = [f"u{number:03}" for number in range(len(places))]
    rows = pd.DataFrame({"protocol": "uniform", "row": "mmsrarec+cf", "user_id": users, "position": 3})
    ours = rows.assign(higher=places, equal=0)
    other = rows.assign(row="sasrec", higher=0, equal=0)
    return pd.concat([other, ours, ours.assign(protocol="popularity", higher=0)], ignore_index=True)


def test_good_median_and_bad_are_chosen_by_the_rank_of_what_is_served():
    places = [7, 0, 20, 3, 9, 1, 15, 10, 8]
    found = choose_cases(per_user(places), [], 500, 3, 0)
    chosen = found[found["explained"]].set_index("kind")["user_id"]
    ranked = [user for _, user in sorted(zip(places, (f"u{number:03}" for number in range(9))))]
    assert chosen.to_dict() == {"good": ranked[0], "median": ranked[4], "bad": ranked[-1]}
    assert len(found) == 9
    assert set(found.loc[~found["explained"], "kind"]) == {"test"}


def test_users_are_bounded_and_those_chosen_by_rule_are_among_them():
    found = choose_cases(per_user(list(range(60))), [], 10, 6, 0)
    assert len(found) == 10
    assert found["kind"].value_counts().to_dict() == {"test": 4, "good": 2, "median": 2, "bad": 2}
    assert found["case"].tolist() == list(range(1, 11))


def test_the_choice_depends_on_seed_and_users_and_not_on_the_order_of_rows():
    rows = per_user([0] * 40)  # all tied: the draw decides
    first = choose_cases(rows, [], 12, 3, 0)
    pd.testing.assert_frame_equal(choose_cases(rows.sample(frac=1, random_state=1), [], 12, 3, 0), first)
    assert set(choose_cases(rows, [], 12, 3, 1)["user_id"]) != set(first["user_id"])


def test_users_with_lists_follow_with_the_number_that_they_have_as_test_users():
    found = choose_cases(per_user([1, 2]), [("u001", 4), ("new", 9)], 5, 1, 0)
    served = found[found["kind"] == "served"]
    assert set(served["user_id"]) == {"u001", "new"}
    assert served["explained"].sum() == 1
    assert found.groupby("user_id")["case"].nunique().max() == 1
    assert sorted(found["case"].unique()) == [1, 2, 3]


def test_fewer_users_than_are_to_be_explained_are_each_shown_once():
    found = choose_cases(per_user([4, 2]), [], 500, 12, 0)
    assert len(found) == 2
    assert found["explained"].all()
    assert choose_cases(per_user([4, 2]), [], 500, 0, 0)["explained"].sum() == 0
