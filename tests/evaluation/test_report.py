import json

import pandas as pd
from evaluation.synthetic_rankings import METRICS, better, noise, rankings_of, table_of

from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.evaluation.baselines import ORDER
from mmsra_pipeline.evaluation.by_count import by_count_table
from mmsra_pipeline.evaluation.differences import differences_table
from mmsra_pipeline.evaluation.measuring import measure, metrics_table
from mmsra_pipeline.evaluation.report import (
    format_all,
    format_by_count,
    format_differences,
    format_metrics,
    format_recall,
    metrics_json,
)

FEW = EvaluationConfig(bootstrap=50)
TRAINING = pd.DataFrame({"item_id": ["i00"] * 4})


def all_tables(rankings):
    measured = measure(rankings, FEW, 0)
    return metrics_table(measured), differences_table(measured), by_count_table(measured, TRAINING, 50, 0)


def test_json_has_the_promised_shape():
    table = table_of(rankings_of({"random": noise, "sasrec": better}))
    content = json.loads(json.dumps(metrics_json("sample", table)))
    assert list(content) == ["dataset", "rows", "differences", "by_count", "first_stage"]
    assert content["differences"] is content["by_count"] is content["first_stage"] is None
    assert content["dataset"] == "sample"
    assert [(entry["row"], entry["protocol"]) for entry in content["rows"]] == [
        ("random", "uniform"), ("sasrec", "uniform"), ("random", "popularity"), ("sasrec", "popularity"),
    ]  # fmt: skip
    for entry in content["rows"]:
        assert sorted(entry) == sorted(["row", "sees_later", "protocol", "users", *METRICS])
        assert entry["users"] == 40
        assert sorted(entry["hr@5"]) == ["high", "low", "value"]
        assert 0 <= entry["hr@5"]["low"] <= entry["hr@5"]["value"] <= entry["hr@5"]["high"] <= 100


def test_json_says_of_every_row_whether_it_sees_later_interactions():
    table = table_of(rankings_of(dict.fromkeys(["popularity", "popularity_as_of", "mmsrarec"], noise)))
    found = {entry["row"]: entry["sees_later"] for entry in metrics_json("sample", table)["rows"]}
    assert found == {"popularity": "yes", "popularity_as_of": "no", "mmsrarec": "in part"}


def test_text_has_a_table_per_protocol_and_fits_100_columns():
    table = table_of(rankings_of({"cooccurrence": better, "random": noise}))
    text = format_metrics(table)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.startswith("uniform negatives, 40 users, percent [95 % interval]\n")
    assert "\n\npopularity negatives, 40 users" in text
    value = table.query("row == 'random' and protocol == 'uniform' and metric == 'hr@5'").iloc[0]
    assert f"{value['value']:.1f} [{value['low']:.1f}-" in text


def test_text_of_the_widest_numbers_still_fits():
    table = table_of(rankings_of({"cooccurrence": lambda targets, _: targets * 1.0}))
    lines = format_metrics(table).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert "100.0 [100-100]" in lines[2]


METRICS_OF_ONE = pd.DataFrame(
    [("random", "uniform", 9, "hr@5", 50.0, 40.0, 60.0)],
    columns=["row", "protocol", "users", "metric", "value", "low", "high"],
)
RECALL = pd.DataFrame(
    [("popularity", 20, 10.0, 8.0, 12.0, 597), ("fused", 20, 100.0, 100.0, 100.0, 597),
     ("popularity", 100, 33.333333, 30.0, 36.0, 597), ("fused", 100, 55.0, 52.5, 57.5, 597)],
    columns=["row", "k", "recall", "low", "high", "n"],
)  # fmt: skip


def test_recall_is_reported_as_a_table_of_its_own():
    assert format_recall(RECALL).splitlines() == [
        "first stage, whole catalogue, 597 users, percent [95 % interval]",
        "           recall@20           recall@100",
        "popularity 10.0 [8.0-12.0]     33.3 [30.0-36.0]",
        "fused      100.0 [100.0-100.0] 55.0 [52.5-57.5]",
    ]


def test_recall_as_json_has_an_entry_per_row():
    entries = json.loads(json.dumps(metrics_json("x", METRICS_OF_ONE, recall=RECALL)["first_stage"]))
    assert [(entry["row"], entry["users"]) for entry in entries] == [("popularity", 597), ("fused", 597)]
    assert entries[0]["recall@100"] == {"value": 33.3333, "low": 30.0, "high": 36.0}
    assert list(entries[1]) == ["row", "users", "recall@20", "recall@100"]


def test_differences_and_results_by_count_as_json():
    metrics, differences, by_count = all_tables(rankings_of({"sasrec": noise, "evidence": noise, "mmsrarec": better}))
    content = json.loads(json.dumps(metrics_json("shop", metrics, differences, by_count)))
    first = content["differences"][0]
    assert list(first) == ["protocol", "row", "against", "users", *METRICS]
    keys = [(entry["protocol"], entry["row"], entry["against"], entry["users"]) for entry in content["differences"]]
    assert keys == [
        ("uniform", "mmsrarec", "sasrec", 40), ("uniform", "mmsrarec", "evidence", 40),
        ("popularity", "mmsrarec", "sasrec", 40), ("popularity", "mmsrarec", "evidence", 40),
    ]  # fmt: skip
    expected = differences.iloc[0]
    assert first["hr@5"] == {name: round(float(expected[name]), 4) for name in ("value", "low", "high")}
    assert list(content["by_count"][0]) == ["protocol", "row", "count_bin", "users", *METRICS[:4]]
    assert {(entry["count_bin"], entry["users"]) for entry in content["by_count"]} == {("3-5", 40)}


def test_text_of_all_rows_fits_100_columns_and_tells_who_sees_later():
    scorers = {row: noise if number < 8 else better for number, row in enumerate(ORDER)}
    scorers["mmsrarec"] = lambda targets, _: targets * 1.0
    rankings = rankings_of(scorers, users=1000, protocols=("uniform",))
    rankings.loc[rankings["is_target"], "item_id"] = ["i00", "x0", "x1", "x2", "x3"] * (len(ORDER) * 200)
    measured = measure(rankings, FEW, 0)
    training = pd.DataFrame({"item_id": ["i00"] * 1 + ["x0"] * 3 + ["x1"] * 7 + ["x2"] * 20})
    by_count = by_count_table(measured, training, 50, 0)
    text = format_all("shop", metrics_table(measured), differences_table(measured), by_count, None)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "later than the query or not: popularity, cooccurrence, sasrec.\n" in text
    assert "In part, by the sequential model: first_stage, evidence, cf+content, mmsrarec, mmsrarec+cf." in text
    assert ["0", "(n=200)", "1-2", "(n=200)", "3-5", "(n=200)"] in [line.split()[:6] for line in text.splitlines()]
    assert "first stage: not measured yet. Run `mmsra refresh --dataset shop`." in text


def test_differences_are_reported_with_signs_and_without_chance():
    _, differences, _ = all_tables(rankings_of({"random": noise, "sasrec": noise, "mmsrarec": better}))
    lines = format_differences(differences).splitlines()
    assert lines[0] == "differences, uniform negatives, 40 users, points [95 % interval, paired by user]"
    assert lines[1].split() == ["hr@5", "ndcg@5", "auc_user"]
    row = differences.query("against == 'sasrec' and protocol == 'uniform' and metric == 'hr@5'").iloc[0]
    assert f"mmsrarec - sasrec {row['value']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]" in lines[2]
    assert "random" not in "".join(lines)
    assert format_differences(differences.iloc[:0]) == "differences: no rows to compare"


def test_results_by_count_are_reported_with_the_users_of_each_bin():
    _, _, by_count = all_tables(rankings_of({"random": noise, "mmsrarec": better}, protocols=("uniform",)))
    lines = format_by_count(by_count).splitlines()
    assert lines[0].startswith("hr@5, uniform negatives, by how often training saw what came next, percent")
    assert lines[1].split() == ["3-5", "(n=40)"]
    assert lines[2].startswith("random")
