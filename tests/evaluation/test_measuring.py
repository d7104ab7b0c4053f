import numpy as np
import pandas as pd
import pytest
from evaluation.synthetic_rankings import CONFIG, METRICS, better, constant, noise, rankings_of, table_of

from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.baselines import ORDER
from mmsra_pipeline.evaluation.measuring import headline, measure


def test_a_constant_scorer_earns_chance_with_no_width_at_all():
    table = table_of(rankings_of({"constant": constant})).set_index(["protocol", "metric"])
    found = table.loc["uniform"]
    assert found.loc["hr@5", "value"] == pytest.approx(500 / 21)
    assert found.loc["ndcg@5", "value"] == pytest.approx(14.0403, abs=1e-4)
    assert found.loc["auc_user", "value"] == pytest.approx(50)
    assert found.loc["auc_pooled", "value"] == pytest.approx(50)
    np.testing.assert_allclose(found["low"].astype(float), found["value"].astype(float))
    np.testing.assert_allclose(found["high"].astype(float), found["value"].astype(float))


def test_the_table_has_every_row_protocol_and_metric_in_order():
    table = table_of(rankings_of({"sasrec": better, "random": noise, "extra": noise}))
    assert table.columns.tolist() == ["row", "protocol", "users", "metric", "value", "low", "high"]
    assert table["row"].unique().tolist() == ["random", "sasrec", "extra"]
    assert table["metric"].tolist() == METRICS * 6
    assert (table["users"] == 40).all()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    rankings = rankings_of({"random": noise}, users=400, protocols=("uniform",))
    hit = table_of(rankings, EvaluationConfig(bootstrap=2000), 0).set_index("metric").loc["hr@5"]
    share = hit["value"] / 100
    error = 100 * np.sqrt(share * (1 - share) / 400)
    assert hit["low"] == pytest.approx(hit["value"] - 1.96 * error, abs=0.5)
    assert hit["high"] == pytest.approx(hit["value"] + 1.96 * error, abs=0.5)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    covered = []
    for seed in range(40):
        rankings = rankings_of({"random": noise}, users=60, protocols=("uniform",), seed=seed)
        table = table_of(rankings, EvaluationConfig(bootstrap=200), seed).set_index("metric")
        covered.append([table.loc[m, "low"] <= truth <= table.loc[m, "high"]
                        for m, truth in [("hr@5", 500 / 21), ("auc_user", 50.0), ("auc_pooled", 50.0)]])  # fmt: skip
    assert (np.mean(covered, axis=0) > 0.85).all()


def test_the_order_of_the_rows_and_of_the_rankings_changes_nothing():
    rankings = rankings_of({"random": noise, "sasrec": better})
    shuffled = rankings.sample(frac=1, random_state=0).sort_values("protocol", ascending=False, kind="stable")
    pd.testing.assert_frame_equal(table_of(rankings, CONFIG, 0), table_of(shuffled))


def test_the_resamples_follow_the_seed():
    rankings = rankings_of({"random": noise}, protocols=("uniform",))
    first, again, other = (table_of(rankings, CONFIG, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert (first["value"] == other["value"]).all()
    assert (first["low"] != other["low"]).any()


def test_blocks_of_resamples_change_nothing(monkeypatch):
    rankings = rankings_of({"random": noise}, protocols=("uniform",))
    whole = table_of(rankings)
    monkeypatch.setattr("mmsra_pipeline.evaluation.measuring.BLOCK_CELLS", 40 * 32 * 7)
    pd.testing.assert_frame_equal(table_of(rankings), whole)


def test_a_missing_score_is_an_error_that_says_where():
    rankings = rankings_of({"random": noise})
    rankings.loc[5, "score"] = np.nan
    with pytest.raises(DataError, match=r"1 of 1680 scores.*row 'random', user 'u0000', item 'i05'"):
        table_of(rankings)


def test_rows_over_different_candidates_are_not_compared():
    rankings = rankings_of({"random": noise, "sasrec": better})
    with pytest.raises(DataError, match="rows 'random' and 'sasrec' of `rankings` scored different candidates"):
        table_of(rankings.drop(index=rankings[rankings["row"] == "sasrec"].index[:21]))


def test_tables_begin_with_the_rows_in_their_order():
    rankings = rankings_of(dict.fromkeys([*ORDER[::-1], "another"], noise), users=5)
    assert table_of(rankings)["row"].unique().tolist() == [*ORDER, "another"]


def test_the_target_of_each_list_is_known_by_its_item():
    rankings = rankings_of({"random": noise}, users=3, protocols=("uniform",))
    rankings.loc[rankings["is_target"], "item_id"] = ["z", "a", "m"]
    shuffled = rankings.sample(frac=1, random_state=0)
    assert measure(shuffled, CONFIG, 0)[0].targets == ["z", "a", "m"]


def test_the_numbers_to_follow_are_named_by_metric_protocol_and_row():
    table = table_of(rankings_of({"random": noise, "mmsrarec": better, "mmsrarec+cf": better}))
    found = headline(table)
    assert len(found) == 2 * 3 * 2
    assert "auc_user/uniform/mmsrarec" in found
    wanted = table.query("row == 'mmsrarec+cf' and protocol == 'popularity' and metric == 'ndcg@5'")["value"].iloc[0]
    assert found["ndcg@5/popularity/mmsrarec+cf"] == wanted
    assert all(type(value) is float for value in found.values())
