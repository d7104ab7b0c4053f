import numpy as np
import pandas as pd
import pytest
from evaluation.synthetic_rankings import CONFIG, METRICS, better, noise, rankings_of, table_of

from mmsra_pipeline.evaluation.baselines import ORDER
from mmsra_pipeline.evaluation.differences import beyond_evidence, differences_table, followed_differences, pairs
from mmsra_pipeline.evaluation.measuring import measure


def differences_of(rankings):
    return differences_table(measure(rankings, CONFIG, 0))


def test_a_row_differs_from_its_twin_by_exactly_nothing():
    rankings = rankings_of({"sasrec": better}, protocols=("uniform",))
    rankings = pd.concat([rankings, rankings.assign(row="mmsrarec")])
    assert (differences_of(rankings)[["value", "low", "high"]] == 0).all(axis=None)


def test_a_difference_is_that_of_the_values_and_shows_when_it_is_sure():
    rankings = rankings_of({"popularity": noise, "mmsrarec": better}, users=200, protocols=("uniform",))
    found = differences_of(rankings)
    assert found.columns.tolist() == ["protocol", "row", "against", "users", "metric", "value", "low", "high"]
    values = table_of(rankings).pivot_table(index="metric", columns="row", values="value")
    found = found.set_index("metric")
    for metric in METRICS:
        expected = values.loc[metric, "mmsrarec"] - values.loc[metric, "popularity"]
        assert found.loc[metric, "value"] == pytest.approx(expected)
        assert 0 < found.loc[metric, "low"] < found.loc[metric, "value"] < found.loc[metric, "high"]
    assert found["against"].unique().tolist() == ["popularity"]


def test_differences_are_paired_so_that_rows_alike_differ_surely():
    rankings = rankings_of({"sasrec": noise}, users=300, protocols=("uniform",))
    near = rankings.assign(row="mmsrarec", score=rankings["score"] + 0.05 * rankings["is_target"])
    rankings = pd.concat([rankings, near])
    paired = differences_of(rankings).set_index("metric").loc["ndcg@5"]
    unpaired = table_of(rankings).query("metric == 'ndcg@5'")
    width = np.sqrt(((unpaired["high"] - unpaired["low"]) ** 2).sum())  # of a difference of independent rows
    assert paired["high"] - paired["low"] < 0.4 * width
    assert paired["low"] > 0


def test_who_is_compared_with_whom():
    found = pairs(list(ORDER))
    assert {other for row, other in found if row == "mmsrarec"} == set(ORDER) - {"mmsrarec"}
    assert {other for row, other in found if row == "mmsrarec+cf"} == set(ORDER) - {"mmsrarec+cf"}
    assert [other for row, other in found if row == "cf+content"] == [
        "popularity", "popularity_as_of", "cooccurrence", "cooccurrence_as_of", "sasrec", "first_stage",
    ]  # fmt: skip
    assert len(found) == 12 + 12 + 6
    assert pairs(["random", "sasrec"]) == []
    assert differences_of(rankings_of({"random": noise, "sasrec": noise})).empty


def test_the_differences_to_follow_are_named_by_metric_protocol_and_both_rows():
    table = differences_of(rankings_of({"random": noise, "sasrec": noise, "cf+content": noise, "mmsrarec+cf": better}))
    found = followed_differences(table)
    assert len(found) == 3 * 2 * 2  # HR, NDCG and AUC under both protocols, against sasrec and cf+content
    wanted = table.query("row == 'mmsrarec+cf' and against == 'sasrec' and protocol == 'uniform' and metric == 'hr@5'")
    assert found["hr@5/uniform/mmsrarec+cf - sasrec"] == wanted["value"].iloc[0]
    assert all(type(value) is float for value in found.values())
    assert followed_differences(table.head(0)) == {}


def test_a_model_above_the_evidence_passes_and_is_said_to_be_sure():
    rankings = rankings_of({"evidence": noise, "mmsrarec": better}, users=200)
    passed, said = beyond_evidence(differences_of(rankings), "hr@5")
    assert passed
    assert "hr@5 of mmsrarec minus evidence, in points: uniform +" in said
    assert "; popularity +" in said
    assert said.count("without 0: these users show it") == 2


def test_a_model_not_above_the_evidence_under_one_protocol_is_reported():
    ours = rankings_of({"evidence": noise, "mmsrarec": better}, users=200)
    under = ours["protocol"] == "popularity"
    rankings = pd.concat([ours[~under], rankings_of({"evidence": noise}, users=200, protocols=("popularity",))])
    twin = rankings[rankings["protocol"] == "popularity"].assign(row="mmsrarec")
    passed, said = beyond_evidence(differences_of(pd.concat([rankings, twin])), "hr@5")
    assert not passed
    assert "popularity +0.0 [+0.0, +0.0], with 0: it may be chance" in said
    assert said.endswith("The language model adds nothing to the evidence in its prompt")


def test_without_evidence_there_is_nothing_to_compare():
    passed, said = beyond_evidence(differences_of(rankings_of({"random": noise, "mmsrarec": better})), "hr@5")
    assert passed
    assert said == "there are no rows 'mmsrarec' and 'evidence' to compare"
