import numpy as np
import pandas as pd
import pytest
from evaluation.synthetic_rankings import CONFIG, METRICS, better, noise, rankings_of, table_of

from mmsra_pipeline.evaluation.by_count import BINS, by_count_table, count_bins
from mmsra_pipeline.evaluation.measuring import measure


def planted(counts):
    """Rankings of one user per count, and training that saw the user's target so often."""
    rankings = rankings_of({"random": noise, "mmsrarec": better}, users=len(counts))
    names = [f"t{number:03}" for number in range(len(counts))]
    for _, part in rankings.groupby(["protocol", "row"]):
        rankings.loc[part.index[part["is_target"]], "item_id"] = names
    training = pd.DataFrame({"item_id": [name for name, count in zip(names, counts) for _ in range(count)]})
    return rankings, training


def test_every_count_has_its_bin():
    expected = ["0", "1-2", "1-2", "3-5", "3-5", "3-5", "6-14", "6-14", "15+", "15+"]
    assert count_bins(np.array([0, 1, 2, 3, 4, 5, 6, 14, 15, 10_000])).tolist() == expected


def test_each_user_is_in_the_bin_of_the_target_and_the_bins_together_are_all_users():
    counts = [0] * 7 + [2] * 5 + [4] * 3 + [9] * 11 + [40] * 4
    rankings, training = planted(counts)
    found = by_count_table(measure(rankings, CONFIG, 0), training, 100, 0)
    assert found.columns.tolist() == [
        "protocol", "row", "count_bin", "users", "metric", "value", "low", "high",
    ]  # fmt: skip
    first = found[(found["row"] == "mmsrarec") & (found["protocol"] == "uniform") & (found["metric"] == "hr@5")]
    assert dict(zip(first["count_bin"], first["users"])) == {"0": 7, "1-2": 5, "3-5": 3, "6-14": 11, "15+": 4}
    assert list(first["count_bin"]) == list(BINS)
    whole = (
        table_of(rankings).query("row == 'mmsrarec' and protocol == 'uniform' and metric == 'hr@5'")["value"].iloc[0]
    )
    assert np.average(first["value"], weights=first["users"]) == pytest.approx(whole)
    assert ((found["low"] <= found["value"] + 1e-9) & (found["value"] <= found["high"] + 1e-9)).all()
    assert found["metric"].unique().tolist() == METRICS[:4]  # the pooled AUC compares users of all bins


def test_a_bin_without_users_has_no_rows():
    rankings, training = planted([0, 0, 3])
    found = by_count_table(measure(rankings, CONFIG, 0), training, 20, 0)
    assert found["count_bin"].unique().tolist() == ["0", "3-5"]


def test_a_row_that_is_good_at_rare_targets_alone_is_seen_to_be():
    rankings, training = planted([0] * 30 + [20] * 30)
    rare = rankings["user_id"] < "u0030"
    rankings.loc[(rankings["row"] == "mmsrarec") & rare, "score"] = rankings["is_target"] * 1.0
    rankings.loc[(rankings["row"] == "mmsrarec") & ~rare, "score"] = 0.0
    found = by_count_table(measure(rankings, CONFIG, 0), training, 50, 0)
    mine = found[(found["row"] == "mmsrarec") & (found["metric"] == "hr@5")].set_index("count_bin")["value"]
    assert (mine["0"] == 100).all()
    np.testing.assert_allclose(mine["15+"], 500 / 21)
