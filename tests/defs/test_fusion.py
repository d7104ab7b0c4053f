"""Fusion, rankings and recommendations on the tiny sample store with a tiny random backbone, in this process.

Keywords are words of the text, and nothing is aligned: what these assets do with answers is what is tested.
"""

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import yaml
from defs.tiny_settings import SETTINGS
from tiny import tiny_fastvlm

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.defs import interactions, items, recommendation, retrieval, summarization
from mmsra_pipeline.defs.fusion import CHECKS, fusion
from mmsra_pipeline.defs.rankings import rankings
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.recommendation.fusion import load_models
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.tables import Store

pytestmark = [pytest.mark.slow, pytest.mark.weights]  # the sentence encoder's weights

ROWS = {
    "random", "popularity", "popularity_as_of", "cooccurrence", "cooccurrence_as_of", "sasrec", "first_stage",
    "content", "evidence", "cf+content", "mmsrarec", "mmsrarec+cf", "ceiling",
}  # fmt: skip
WITH_P = {"cf+content", "mmsrarec", "mmsrarec+cf"}
QUERY = ["user_id", "position"]
LIST = ["protocol", *QUERY]
SIGNALS = [f"{kind}_{slot}" for slot in SLOTS for kind in ("signal", "class")]
ANSWERS = ["logit", "mass", "p"]
SERVED = 4


def module_assets(*modules):
    return [each for module in modules for each in vars(module).values() if isinstance(each, dg.AssetsDefinition)]


@pytest.fixture(scope="module")
def fused_root(tmp_path_factory):
    """The root and the result of one run."""
    root = tmp_path_factory.mktemp("root")
    (root / "datasets").mkdir()
    (root / "datasets" / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    config = SETTINGS | {
        "backbone": {**SETTINGS["backbone"], "model": str(tiny_fastvlm(root / "tiny"))},
        "alignment": {"steps": 0},
        "grpo": {"steps": 0},
        "summarization": {"writer": "extractive", "draft_items": 1},
    }
    (root / "mmsra.yaml").write_text(yaml.safe_dump(config))
    stages = module_assets(interactions, items, summarization, retrieval, recommendation)
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MMSRA_ROOT", str(root))
        patch.delenv("MMSRA_CONFIG", raising=False)
        instance.add_dynamic_partitions("dataset", ["shop"])
        run = {"instance": instance, "partition_key": "shop", "resources": {"mmsra": Installation()}}
        yield root, dg.materialize([*stages, fusion, rankings], **run)


@pytest.fixture(scope="module")
def store(fused_root):
    return Store(fused_root[0] / "data")


@pytest.fixture(scope="module")
def sequences(store):
    return store.read(Tables.SEQUENCES, "shop")


@pytest.fixture(scope="module")
def models(fused_root):
    return load_models(Artifacts(fused_root[0] / "artifacts").current("fusion", "shop"))


def metadata_of(fused_root, asset):
    [event] = fused_root[1].asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def split_of(lists, sequences):
    asked = lists[QUERY].drop_duplicates().merge(sequences, on=QUERY)
    assert len(asked) == len(lists[QUERY].drop_duplicates())
    return set(asked["split"])


def test_the_artifact_holds_both_fusions_and_the_table_their_coefficients(store, models):
    assert list(models) == ["cf+content", "mmsrarec+cf"]
    table = store.read(Tables.FUSION, "shop")
    assert table.columns.tolist() == ["kind", "feature", "value", "low", "high"]
    for kind, model in models.items():
        own = table[table["kind"] == kind]
        weights = own[~own["feature"].str.endswith("at the pivot")]
        np.testing.assert_allclose(weights["value"], model.weights)
        assert len(own) == 1.5 * len(weights)
        assert (own["low"] <= own["high"]).all()


def test_it_is_fitted_on_validation_lists_with_signals_classes_and_answers(store, sequences):
    lists = store.read(Tables.VALIDATION_CANDIDATES, "shop")
    assert {*LIST, "item_id", "is_target", "first_stage_rank", *SIGNALS, *ANSWERS} == set(lists.columns)
    assert set(lists["protocol"]) == {"uniform", "popularity", "served"}
    assert lists["user_id"].nunique() == SETTINGS["evaluation"]["validation_users"]
    assert split_of(lists, sequences) == {"validation"}
    drawn = lists[lists["protocol"] != "served"].groupby(LIST)["is_target"]
    assert set(drawn.size()) == {6}
    assert set(drawn.sum()) == {1}
    assert lists[ANSWERS].notna().all(axis=None)
    assert lists[[name for name in SIGNALS if name.startswith("class")]].isin(range(10)).all(axis=None)


def test_a_served_list_is_what_the_first_stage_gives_in_its_order(store):
    lists = store.read(Tables.VALIDATION_CANDIDATES, "shop")
    served = lists[lists["protocol"] == "served"]
    for _, own in served.groupby(QUERY):
        assert own["first_stage_rank"].tolist() == list(range(1, SERVED + 1))
        assert own["is_target"].sum() <= 1


def test_an_answer_does_not_depend_on_the_list_in_which_a_candidate_stands(store):
    for table in (Tables.VALIDATION_CANDIDATES, Tables.CANDIDATES):
        lists = store.read(table, "shop")
        once = lists.groupby([*QUERY, "item_id"])
        assert (once[["logit", "mass", *SIGNALS]].nunique() <= 1).all(axis=None)
        assert once.ngroups < len(lists)


def test_the_checks_of_the_fusion_only_warn(fused_root):
    assert fused_root[1].success
    found = {each.check_name: each for each in fused_root[1].get_asset_check_evaluations() if each.check_name in CHECKS}
    assert set(found) == set(CHECKS) == {"calibrated", "answers_are_words", "few_ties", "not_inverted"}
    assert {each.severity for each in found.values()} == {dg.AssetCheckSeverity.WARN}
    assert not found["answers_are_words"].passed  # a random model says anything
    assert "fusion.max_calibration_error: 0.05" in found["calibrated"].description


def test_the_ui_says_how_far_p_can_be_trusted(fused_root, store):
    found = metadata_of(fused_root, "fusion")
    lists = store.read(Tables.VALIDATION_CANDIDATES, "shop")
    served = lists[lists["protocol"] == "served"]
    for suffix in ("", " without the model"):
        assert found[f"served candidates judged{suffix}"] == len(served)
        assert found[f"share that came next{suffix}"] == pytest.approx(served["is_target"].mean())
        assert 0 <= found[f"ece{suffix}"] <= 1
        assert 0 <= found[f"brier{suffix}"] <= 1
    assert found["answer_mass"] == pytest.approx(lists["mass"].mean())
    assert {"tie_rate", "validation_auc", "weight of the logit", "plot", "mlflow_run", "artifact"} <= set(found)
    assert found["weight of the logit low"] <= found["weight of the logit high"]
    assert len(found["coefficients"].records) == len(store.read(Tables.FUSION, "shop"))


def test_mlflow_has_the_measures(fused_root):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{fused_root[0] / 'mlflow.db'}")
    [experiment] = client.search_experiments(filter_string="name = 'mmsra'")
    runs = client.search_runs([experiment.experiment_id], "tags.asset = 'fusion'")
    assert {"ece", "brier", "weight of the logit", "answer_mass"} <= set(runs[0].data.metrics)


def test_all_rows_rank_the_same_test_lists_under_every_protocol(store, sequences):
    table = store.read(Tables.RANKINGS, "shop")
    assert set(table["protocol"]) == {"uniform", "popularity"}
    columns = [*LIST, "item_id", "is_target"]
    lists = store.read(Tables.CANDIDATES, "shop")
    assert split_of(lists, sequences) == {"test"}
    for protocol, ranked in table.groupby("protocol"):
        assert set(ranked["row"]) == ROWS
        expected = lists.loc[lists["protocol"] == protocol, columns].reset_index(drop=True)
        for _, own in ranked.groupby("row"):
            pd.testing.assert_frame_equal(own[columns].reset_index(drop=True), expected)


def test_p_is_given_where_a_score_is_one(store, models):
    table, lists = store.read(Tables.RANKINGS, "shop"), store.read(Tables.CANDIDATES, "shop")
    assert set(table.loc[table["p"].notna(), "row"]) == WITH_P
    assert table.loc[table["row"].isin(WITH_P), "p"].between(0, 1).all()
    ours = table[table["row"] == "mmsrarec"]
    np.testing.assert_array_equal(ours["p"], ours["score"])
    np.testing.assert_array_equal(ours["p"], lists["p"])
    for kind, model in models.items():
        own = table[table["row"] == kind]
        np.testing.assert_array_equal(own["p"], model.probability(lists))
        np.testing.assert_array_equal(own["score"], model.score(lists))


def test_what_the_shop_took_is_possible_by_the_ceiling(store):
    table = store.read(Tables.RANKINGS, "shop")
    ceiling = table[table["row"] == "ceiling"]
    assert np.isfinite(ceiling.loc[ceiling["is_target"], "score"]).all()
    assert (ceiling["score"] <= 0).all()


def test_what_is_recommended_is_served_in_the_order_of_the_fusion(store, models):
    lists = store.read(Tables.RECOMMENDATIONS, "shop")
    assert lists.groupby("user_id").size().tolist() == [2, 2, 2]
    for _, own in lists.groupby("user_id"):
        assert own["p"].is_monotonic_decreasing
    assert lists["p"].between(0, 1).all()
