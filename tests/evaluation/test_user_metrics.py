import numpy as np
import pandas as pd
import pytest
from evaluation.synthetic_rankings import CONFIG, better, constant, noise, rankings_of, table_of

from mmsra_pipeline.evaluation.measuring import measure
from mmsra_pipeline.evaluation.user_metrics import curves, user_metrics_table


def per_user(rankings, config=CONFIG):
    return user_metrics_table(measure(rankings, config, 0))


def test_the_means_over_lists_are_the_metrics():
    rankings = rankings_of({"sasrec": noise, "mmsrarec": better})
    means = per_user(rankings).groupby(["protocol", "row"])[["hr@5", "ndcg@5", "mrr@5", "auc_user"]].mean()
    table = table_of(rankings).pivot_table(index=["protocol", "row"], columns="metric", values="value")
    np.testing.assert_allclose(100 * means, table[means.columns])


def test_every_number_can_be_computed_again_from_the_place_of_the_target():
    found = per_user(rankings_of({"mmsrarec": better}, users=25, protocols=("uniform",)))
    assert (found["equal"] == 0).all()
    rank = found["higher"] + 1
    np.testing.assert_allclose(found["hr@10"], rank <= 10)
    np.testing.assert_allclose(found["ndcg@10"], np.where(rank <= 10, 1 / np.log2(rank + 1), 0))
    np.testing.assert_allclose(found["auc_user"], 1 - found["higher"] / found["negatives"])
    assert found["user_id"].is_unique


def test_the_order_of_candidates_users_and_rows_changes_nothing():
    rankings = rankings_of({"sasrec": noise, "mmsrarec": better, "constant": constant}, users=15)
    shuffled = rankings.sample(frac=1, random_state=3)
    key = ["protocol", "row", "user_id"]
    one, other = (per_user(rows).sort_values(key, ignore_index=True) for rows in (rankings, shuffled))
    pd.testing.assert_frame_equal(one, other)


def test_curves_rise_to_1_pass_through_the_metrics_and_are_those_of_chance_where_all_is_equal():
    rankings = rankings_of({"sasrec": constant, "mmsrarec": better}, protocols=("uniform",))
    found = curves(per_user(rankings), 30, 50, 0).set_index(["row", "metric", "k"])["value"]
    assert found["mmsrarec", "hr"].is_monotonic_increasing
    assert found["mmsrarec", "hr", 21] == pytest.approx(100)  # 30 is more than a list has
    assert found["sasrec", "hr", 5] == pytest.approx(23.81, abs=0.005)
    assert found["sasrec", "ndcg", 5] == pytest.approx(14.04, abs=0.005)
    table = table_of(rankings).set_index(["row", "metric"])["value"]
    assert found["mmsrarec", "mrr", 5] == pytest.approx(table["mmsrarec", "mrr@5"])


def test_chance_is_worth_the_same_under_every_protocol():
    protocols = ("uniform", "popularity", "existing", "served")
    rankings = rankings_of({"random": noise, "constant": constant}, users=1000, protocols=protocols)
    few = CONFIG.model_copy(update={"bootstrap": 2})
    means = 100 * per_user(rankings, few).groupby(["protocol", "row"])[["hr@5", "ndcg@5", "auc_user"]].mean()
    assert len(means) == 8
    exact = means.xs("constant", level="row")
    np.testing.assert_allclose(exact, np.tile([23.81, 14.04, 50], (4, 1)), atol=0.005)
    drawn = means.xs("random", level="row")
    np.testing.assert_allclose(drawn, exact, atol=5.4)  # 4 standard errors of HR@5 at 1,000 users
