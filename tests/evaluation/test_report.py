import json

import numpy as np
import pandas as pd
import pytest

from mmsra_pipeline.config import EvaluationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.report import (
    differences,
    format_metrics,
    format_recall,
    metrics_json,
    metrics_table,
    recall_json,
)

CONFIG = EvaluationConfig(bootstrap=400)
METRICS = ["hr@5", "ndcg@5", "mrr@5", "auc_user", "auc_pooled"]


def rankings_of(scorers, users: int = 40, protocols=("uniform", "popularity"), seed: int = 0) -> pd.DataFrame:
    """``scorers``: row name to a function of (is_target, generator) that gives scores."""
    parts = []
    for protocol in protocols:
        base = pd.DataFrame(
            {
                "protocol": protocol,
                "user_id": np.repeat([f"u{number:04}" for number in range(users)], 21),
                "position": 7,
                "item_id": [f"i{place:02}" for place in range(21)] * users,
                "is_target": np.arange(21 * users) % 21 == 0,
            }
        )
        for row, scorer in scorers.items():
            scores = scorer(base["is_target"].to_numpy(), np.random.default_rng([seed, len(row)]))
            parts.append(base.assign(row=row, score=scores, p=np.nan))
    return pd.concat(parts, ignore_index=True)


def noise(targets, generator):
    return generator.random(len(targets))


def better(targets, generator):
    return generator.random(len(targets)) + 0.4 * targets


def constant(targets, _):
    return np.zeros(len(targets))


def test_a_constant_scorer_earns_chance_with_no_width_at_all():
    table = metrics_table(rankings_of({"constant": constant}), CONFIG, 0).set_index(["protocol", "metric"])
    found = table.loc["uniform"]
    assert found.loc["hr@5", "value"] == pytest.approx(500 / 21)
    assert found.loc["ndcg@5", "value"] == pytest.approx(14.0403, abs=1e-4)
    assert found.loc["auc_user", "value"] == pytest.approx(50)
    assert found.loc["auc_pooled", "value"] == pytest.approx(50)
    np.testing.assert_allclose(found["low"].astype(float), found["value"].astype(float))
    np.testing.assert_allclose(found["high"].astype(float), found["value"].astype(float))


def test_the_table_has_every_row_protocol_and_metric_in_order():
    table = metrics_table(rankings_of({"sasrec": better, "random": noise, "extra": noise}), CONFIG, 0)
    assert table.columns.tolist() == ["row", "protocol", "users", "metric", "value", "low", "high"]
    assert table["row"].unique().tolist() == ["random", "sasrec", "extra"]
    assert table["metric"].tolist() == METRICS * 6
    assert (table["users"] == 40).all()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    rankings = rankings_of({"random": noise}, users=400, protocols=("uniform",))
    hit = metrics_table(rankings, EvaluationConfig(bootstrap=2000), 0).set_index("metric").loc["hr@5"]
    share = hit["value"] / 100
    error = 100 * np.sqrt(share * (1 - share) / 400)
    assert hit["low"] == pytest.approx(hit["value"] - 1.96 * error, abs=0.5)
    assert hit["high"] == pytest.approx(hit["value"] + 1.96 * error, abs=0.5)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    covered = []
    for seed in range(40):
        rankings = rankings_of({"random": noise}, users=60, protocols=("uniform",), seed=seed)
        table = metrics_table(rankings, EvaluationConfig(bootstrap=200), seed).set_index("metric")
        covered.append([table.loc[m, "low"] <= truth <= table.loc[m, "high"]
                        for m, truth in [("hr@5", 500 / 21), ("auc_user", 50.0), ("auc_pooled", 50.0)]])  # fmt: skip
    assert (np.mean(covered, axis=0) > 0.85).all()


def test_the_order_of_the_rows_and_of_the_rankings_changes_nothing():
    rankings = rankings_of({"random": noise, "sasrec": better})
    shuffled = rankings.sample(frac=1, random_state=0).sort_values("protocol", ascending=False, kind="stable")
    pd.testing.assert_frame_equal(metrics_table(rankings, CONFIG, 0), metrics_table(shuffled, CONFIG, 0))


def test_the_resamples_follow_the_seed():
    rankings = rankings_of({"random": noise}, protocols=("uniform",))
    first, again, other = (metrics_table(rankings, CONFIG, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert (first["value"] == other["value"]).all()
    assert (first["low"] != other["low"]).any()


def test_blocks_of_resamples_change_nothing(monkeypatch):
    rankings = rankings_of({"random": noise}, protocols=("uniform",))
    whole = metrics_table(rankings, CONFIG, 0)
    monkeypatch.setattr("mmsra_pipeline.evaluation.report.BLOCK_CELLS", 40 * 32 * 7)
    pd.testing.assert_frame_equal(metrics_table(rankings, CONFIG, 0), whole)


def test_a_row_differs_from_itself_by_exactly_nothing():
    rankings = rankings_of({"random": noise, "sasrec": better}, protocols=("uniform",))
    rankings = pd.concat([rankings, rankings[rankings["row"] == "sasrec"].assign(row="mmsrarec")])
    same = differences(rankings, "mmsrarec", "sasrec", CONFIG, 0)
    assert (same[["value", "low", "high"]] == 0).all(axis=None)


def test_a_difference_is_that_of_the_values_and_shows_when_it_is_sure():
    rankings = rankings_of({"popularity": noise, "mmsrarec": better}, users=200, protocols=("uniform",))
    found = differences(rankings, "mmsrarec", "popularity", CONFIG, 0).set_index("metric")
    values = metrics_table(rankings, CONFIG, 0).pivot_table(index="metric", columns="row", values="value")
    for metric in METRICS:
        expected = values.loc[metric, "mmsrarec"] - values.loc[metric, "popularity"]
        assert found.loc[metric, "value"] == pytest.approx(expected)
        assert 0 < found.loc[metric, "low"] < found.loc[metric, "value"] < found.loc[metric, "high"]
    assert found["baseline"].unique().tolist() == ["popularity"]


def test_a_difference_to_a_row_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"have rows \['popularity'\], not both mmsrarec and popularity"):
        differences(rankings_of({"popularity": noise}), "mmsrarec", "popularity", CONFIG, 0)


def test_a_missing_score_is_an_error_that_says_where():
    rankings = rankings_of({"random": noise})
    rankings.loc[5, "score"] = np.nan
    with pytest.raises(DataError, match=r"1 of 1680 scores.*row 'random', user 'u0000', item 'i05'"):
        metrics_table(rankings, CONFIG, 0)


def test_rows_over_different_candidates_are_not_compared():
    rankings = rankings_of({"random": noise, "sasrec": better})
    with pytest.raises(DataError, match="rows 'random' and 'sasrec' of `rankings` scored different candidates"):
        metrics_table(rankings.drop(index=rankings[rankings["row"] == "sasrec"].index[:21]), CONFIG, 0)


def test_json_has_the_promised_shape():
    table = metrics_table(rankings_of({"random": noise, "sasrec": better}), CONFIG, 0)
    content = json.loads(json.dumps(metrics_json("sample", table)))
    assert sorted(content) == ["dataset", "rows"]
    assert content["dataset"] == "sample"
    assert [(entry["row"], entry["protocol"]) for entry in content["rows"]] == [
        ("random", "uniform"), ("sasrec", "uniform"), ("random", "popularity"), ("sasrec", "popularity"),
    ]  # fmt: skip
    for entry in content["rows"]:
        assert sorted(entry) == sorted(["row", "protocol", "users", *METRICS])
        assert entry["users"] == 40
        assert sorted(entry["hr@5"]) == ["high", "low", "value"]
        assert 0 <= entry["hr@5"]["low"] <= entry["hr@5"]["value"] <= entry["hr@5"]["high"] <= 100


def test_text_has_a_table_per_protocol_and_fits_100_columns():
    table = metrics_table(rankings_of({"cooccurrence": better, "random": noise}), CONFIG, 0)
    text = format_metrics(table)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.startswith("uniform negatives, 40 users, percent [95 % interval]\n")
    assert "\n\npopularity negatives, 40 users" in text
    value = table.query("row == 'random' and protocol == 'uniform' and metric == 'hr@5'").iloc[0]
    assert f"{value['value']:.1f} [{value['low']:.1f}-" in text


def test_text_of_the_widest_numbers_still_fits():
    table = metrics_table(rankings_of({"cooccurrence": lambda targets, _: targets * 1.0}), CONFIG, 0)
    lines = format_metrics(table).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert "100.0 [100-100]" in lines[2]


RECALL = pd.DataFrame(
    [("popularity", 20, 10.0, 8.0, 12.0, 597), ("fused", 20, 100.0, 100.0, 100.0, 597),
     ("popularity", 100, 33.333333, 30.0, 36.0, 597), ("fused", 100, 55.0, 52.5, 57.5, 597)],
    columns=["row", "k", "recall", "low", "high", "n"],
)  # fmt: skip


def test_recall_is_told_as_a_table_of_its_own():
    assert format_recall(RECALL).splitlines() == [
        "first stage, whole catalogue, 597 users, percent [95 % interval]",
        "           recall@20           recall@100",
        "popularity 10.0 [8.0-12.0]     33.3 [30.0-36.0]",
        "fused      100.0 [100.0-100.0] 55.0 [52.5-57.5]",
    ]


def test_recall_as_json_has_an_entry_per_row():
    entries = json.loads(json.dumps(recall_json(RECALL)))
    assert [(entry["row"], entry["users"]) for entry in entries] == [("popularity", 597), ("fused", 597)]
    assert entries[0]["recall@100"] == {"value": 33.3333, "low": 30.0, "high": 36.0}
    assert list(entries[1]) == ["row", "users", "recall@20", "recall@100"]
