import dagster as dg
import pandas as pd
import pytest
from orchestration.small_graph import MEMORY, SECONDS, add_shop, small_graph, written

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration import waves
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.storage.tables import Store

LINE = "user_id,item_id\n"


@dg.asset(deps=["interactions"], partitions_def=datasets, code_version="1")
def recommender(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A training."""
    return written("recommender", context.partition_key, pd.DataFrame({"step": []}))


@pytest.fixture
def definitions():
    return small_graph(recommender)


def rows(paths, dataset="shop"):
    return Store(paths.data).read(Tables.REFRESH_REPORT, dataset)


def outcomes(report):
    return dict(zip(report["asset"], report["outcome"], strict=True))


def test_the_report_says_what_was_computed_cut_off_or_kept_and_what_that_saved(instance, paths, shop, definitions):
    refresh(instance, paths, definitions=definitions)
    first = rows(paths)
    assert outcomes(first) == dict.fromkeys(["raw_reviews", "interactions", "recommender"], "changed")
    assert first["reasons"].tolist() == ["was never materialized"] * 3
    assert (first["seconds"] > 0).all()
    assert (first["seconds_saved"] == 0).all()
    assert first["rows"].tolist() == [1, 1, 0]
    assert first["peak_memory_gb"].tolist() == [MEMORY] * 3
    assert [instance.get_run_by_id(run).is_success for run in first["run_id"]] == [True] * 3

    shop.write_text(f"{LINE}u2,i2\n")  # as many lines as before
    refresh(instance, paths, definitions=definitions)
    second = rows(paths).head(3)
    assert outcomes(second) == {"raw_reviews": "unchanged", "interactions": "cut off", "recommender": "cut off"}
    assert second["reasons"].tolist()[:2] == ["source_files has changed", "may change with raw_reviews"]
    assert second["seconds_saved"].tolist() == [0, SECONDS, SECONDS]
    assert second["peak_memory_gb"].isna().tolist() == [False, True, True]
    assert second["at"].iloc[0] > first["at"].iloc[0]

    refresh(instance, paths, definitions=definitions)
    third = rows(paths)
    assert len(third) == 1 + 3 + 3
    assert third.iloc[0][["asset", "outcome", "seconds_saved"]].tolist() == ["(all)", "fresh", 3 * SECONDS]

    shop.write_text(f"{LINE}u1,i1\nu2,i2\n")
    refresh(instance, paths, definitions=definitions, leave_out={"recommender"})
    fourth = rows(paths).head(3)
    assert outcomes(fourth) == {"raw_reviews": "changed", "interactions": "changed", "recommender": "left out"}
    assert fourth["reasons"].iloc[2] == "interactions has changed"
    event = instance.get_latest_materialization_event(dg.AssetKey(Tables.REFRESH_REPORT)).asset_materialization
    assert event.partition == "shop"
    assert event.metadata["left out"].value == 1
    assert event.metadata["seconds saved"].value == SECONDS


def test_a_failure_and_what_had_to_wait_for_it_are_in_the_report(instance, paths, shop, definitions):
    shop.write_text("broken")
    add_shop(paths, "unread").unlink()
    refresh(instance, paths, definitions=definitions)
    report = rows(paths)
    assert outcomes(report) == {
        "raw_reviews": "failed", "interactions": "not reached", "recommender": "not reached",
    }  # fmt: skip
    assert "was never materialized; raw_reviews: interactions.csv, line 2" in report["reasons"].iloc[0]
    [unread] = rows(paths, "unread").to_dict("records")
    assert (unread["asset"], unread["outcome"]) == ("source_files", "failed")
    assert "no file fits 'interactions.csv'" in unread["reasons"]


def test_the_report_is_bounded_and_the_oldest_rows_go(instance, paths, shop, definitions, monkeypatch):
    monkeypatch.setattr(waves, "loaded_config", lambda: Config.model_validate({"retention": {"report_rows": 4}}))
    refresh(instance, paths, definitions=definitions)
    for _ in range(2):
        refresh(instance, paths, definitions=definitions)
    assert rows(paths)["asset"].tolist() == ["(all)", "(all)", "raw_reviews", "interactions"]


def test_a_report_of_another_form_begins_anew(instance, paths, shop, definitions):
    Store(paths.data).replace(Tables.REFRESH_REPORT, "shop", pd.DataFrame({"other": [1]}))
    refresh(instance, paths, definitions=definitions)
    assert len(rows(paths)) == 3


def test_a_dry_run_is_not_reported(instance, paths, shop, definitions):
    refresh(instance, paths, definitions=definitions, dry_run=True)
    assert not Store(paths.data).has(Tables.REFRESH_REPORT, "shop")
