"""The asset of metrics on made-up rankings: tables, checks and what the UI gets."""

import dagster as dg
import mlflow
import numpy as np
import pandas as pd
import pytest
from recommendation.synthetic_lists import synthetic_lists

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.defs.evaluation import metrics
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.storage.tables import Store

PLANTED = {"sequence": 1.0, "taste*rare": 1.5, "logit": 0.8}


@pytest.fixture(scope="module")
def materialized(tmp_path_factory):
    """The tables and the result of one run: the row evidence ranks by what drew the targets, mmsrarec at random."""
    root = tmp_path_factory.mktemp("root")
    (root / "datasets").mkdir()
    (root / "datasets" / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    store = Store(root / "data")
    tested = pd.concat([synthetic_lists(30, PLANTED, 3, protocol=name) for name in ("uniform", "popularity")])
    generator = np.random.default_rng(0)
    rows = [
        tested[["protocol", "user_id", "position", "item_id", "is_target"]].assign(row=name, score=score, p=np.nan)
        for name, score in (("evidence", tested["logit"]), ("mmsrarec", generator.random(len(tested))))
    ]
    store.replace(Tables.RANKINGS, "shop", pd.concat(rows, ignore_index=True))
    targets = tested.loc[tested["is_target"], "item_id"]
    of_targets = pd.DataFrame({"user_id": "t", "item_id": targets.tolist(), "position": range(len(targets))})
    asked = tested[tested["is_target"]].drop_duplicates(["user_id", "position"])[["user_id", "position"]]
    times = pd.array([None] * len(asked), dtype="Int64")
    before = [
        {"user_id": user, "item_id": "ab"[place % 2], "position": place}
        for user, position in asked.itertuples(index=False, name=None)
        for place in range(position)
    ]
    everything = pd.concat([of_targets, pd.DataFrame(before)], ignore_index=True).sort_values(["user_id", "position"])
    everything["timestamp"] = pd.array([None] * len(everything), dtype="Int64")
    store.replace(Tables.INTERACTIONS, "shop", everything.reset_index(drop=True))
    sequences = asked.assign(split="test", history_start=asked["position"] - 2, target="t", timestamp=times)
    store.replace(Tables.SEQUENCES, "shop", sequences)
    pictures = pd.DataFrame({"item_id": targets.unique(), "image_sha256": "0" * 64})
    store.replace(Tables.ITEM_IMAGES, "shop", pictures)
    store.replace(Tables.TRAINING_BOUNDS, "shop", pd.DataFrame({"user_id": ["t"], "bound": [len(targets)]}))
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MMSRA_ROOT", str(root))
        instance.add_dynamic_partitions("dataset", ["shop"])
        resources = {"mmsra": Installation()}
        yield store, dg.materialize([metrics], instance=instance, partition_key="shop", resources=resources)


def check_of(materialized, name):
    [found] = [each for each in materialized[1].get_asset_check_evaluations() if each.check_name == name]
    return found


def test_rows_are_measured_and_compared_over_all_users_and_by_training_count(materialized):
    store, result = materialized
    assert result.success
    assert store.read(Tables.METRICS, "shop")["row"].unique().tolist() == ["evidence", "mmsrarec"]
    differences = store.read(Tables.DIFFERENCES, "shop")
    assert set(zip(differences["row"], differences["against"])) == {("mmsrarec", "evidence")}
    assert set(store.read(Tables.METRICS_BY_COUNT, "shop")["count_bin"]) == {"1-2"}
    parts = store.read(Tables.METRICS_BY_SLICE, "shop")
    assert set(zip(parts["slice"], parts["part"])) == {
        ("training count", "1-2"), ("history length", "1-2"), ("picture", "with"), ("time", "unknown"),
    }  # fmt: skip
    pairs = store.read(Tables.PAIRWISE, "shop")
    assert set(zip(pairs["row"], pairs["against"])) == {("evidence", "mmsrarec")}
    assert len(store.read(Tables.USER_METRICS, "shop")) == 2 * 2 * 30
    [event] = result.asset_materializations_for_node("metrics")
    for name in ("hr@5/uniform/mmsrarec", "auc_user/uniform/mmsrarec", "ndcg@5/popularity/mmsrarec - evidence"):
        assert isinstance(event.metadata[name].value, float)


def test_what_was_measured_is_an_mlflow_run_beside_those_of_trainings(materialized):
    store, result = materialized
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{store.root.parent / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mmsra").experiment_id])
    [measured] = [run for run in runs if run.data.tags.get("asset") == "metrics"]
    [event] = result.asset_materializations_for_node("metrics")
    assert measured.data.metrics["hr_at_5/uniform/mmsrarec"] == event.metadata["hr@5/uniform/mmsrarec"].value
    difference = event.metadata["hr@5/uniform/mmsrarec - evidence"].value
    assert measured.data.metrics["hr_at_5/uniform/mmsrarec - evidence"] == difference
    assert measured.info.status == "FINISHED"
    parent = client.get_run(measured.data.tags["mlflow.parentRunId"])
    assert parent.data.tags["dagster_run_id"] == result.run_id
    assert measured.info.run_id in event.metadata["mlflow_run"].value


def test_a_model_that_adds_nothing_to_the_evidence_is_warned_of_and_the_run_goes_on(materialized):
    found = check_of(materialized, "adds_to_evidence")
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "hr@5 of mmsrarec minus evidence, in points: uniform -" in found.description
    assert check_of(materialized, "metrics_are_numbers").passed
