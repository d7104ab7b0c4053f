import numpy as np
import pandas as pd
import pytest
from evaluation.synthetic_rankings import CONFIG, better, noise, rankings_of
from scipy import stats

from mmsra_pipeline.evaluation.measuring import measure
from mmsra_pipeline.evaluation.pairwise import COLUMNS, holm, paired_p, pairwise_table


def pairs_of(rankings):
    return pairwise_table(measure(rankings, CONFIG, 0))


def test_every_pair_is_compared_once_by_every_followed_metric():
    found = pairs_of(rankings_of({"sasrec": noise, "content": noise, "mmsrarec": better}))
    assert found.columns.tolist() == COLUMNS
    pairs = [("sasrec", "content"), ("sasrec", "mmsrarec"), ("content", "mmsrarec")]
    assert list(dict.fromkeys(zip(found["row"], found["against"]))) == pairs
    assert found["metric"].unique().tolist() == ["hr@5", "ndcg@5", "auc_user"]
    assert len(found) == 2 * 3 * 3


def test_a_twin_differs_by_nothing_and_a_better_row_by_what_users_show():
    rankings = rankings_of({"sasrec": noise, "mmsrarec": better}, users=300, protocols=("uniform",))
    twin = rankings[rankings["row"] == "sasrec"].assign(row="twin")
    found = pairs_of(pd.concat([rankings, twin])).set_index(["row", "against", "metric"])
    same = found.loc["sasrec", "twin", "hr@5"]
    assert (same["value"], same["low"], same["high"], same["p_holm"], same["detectable"]) == (0, 0, 0, 1, 0)
    sure = found.loc["sasrec", "mmsrarec", "hr@5"]
    assert sure["high"] < 0
    assert sure["p_value"] < sure["p_holm"] < 0.001


def test_holm_is_the_step_down_procedure_worked_by_hand():
    # ordered: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, none below the one before it
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_the_p_value_is_that_of_the_paired_t_test():
    one, other = np.random.default_rng(0).normal(size=(2, 40))
    assert paired_p(one - other) == pytest.approx(stats.ttest_rel(one, other).pvalue)
    assert paired_p(np.zeros(40)) == 1
    assert paired_p(np.array([3.0])) == 1


@pytest.mark.filterwarnings("error")
def test_differences_that_rounding_alone_tells_apart_are_equal():
    assert paired_p(np.array([1, 1, 1 + 1e-15]) - 1) == 1
    assert paired_p(np.array([0.3, 0.3 + 1e-16, 0.1 + 0.2])) == 0


def test_a_difference_of_the_detectable_size_is_found_four_times_of_five():
    generator = np.random.default_rng(1)
    users, spread = 80, 30.0
    detectable = (1.959964 + 0.841621) * spread / np.sqrt(users)
    drawn = generator.normal(detectable, spread, size=(4000, users))
    found = np.mean([paired_p(differences) < 0.05 for differences in drawn[:1500]])
    assert found == pytest.approx(0.8, abs=0.035)


def test_users_needed_are_those_at_whom_two_points_are_detectable():
    found = pairs_of(rankings_of({"sasrec": noise, "mmsrarec": better}, users=60, protocols=("uniform",)))
    for _, row in found.iterrows():
        assert row["detectable"] * np.sqrt(row["users"] / row["users_needed"]) == pytest.approx(2, rel=0.01)
