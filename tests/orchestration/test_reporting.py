import dagster as dg
import numpy as np
import pandas as pd
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration import reporting
from mmsra_pipeline.orchestration.checks.results import check, specs
from mmsra_pipeline.orchestration.failures import failures_of
from mmsra_pipeline.orchestration.reporting import HIDDEN, report, sample_table
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.storage.paths import Paths

ROWS = pd.DataFrame({"row": ["random"], "value": [50.0]})


@pytest.fixture
def stage(tmp_path):
    return Stage(Tables.METRICS, "shop", "run", "1-abc", Config(), Paths(tmp_path), blocking=frozenset({"sound"}))


def version(stage: Stage) -> str:
    [result] = report(stage)
    return result.data_version.value


def again(stage: Stage) -> Stage:
    return Stage(stage.asset, stage.dataset, stage.run_id, stage.code_version, stage.config, stage.paths)


def run(stage: Stage, passed: bool, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Materialize an asset that writes a row and then checks it."""

    @dg.asset(check_specs=specs("guarded", blocking=["sound"]))
    def guarded():
        stage.write(Tables.METRICS, ROWS)
        yield from report(stage, checks=[check("sound", passed, "what was found")])

    @dg.asset(deps=[guarded])
    def later():
        return dg.MaterializeResult()

    return dg.materialize([guarded, later], instance=instance, raise_on_error=False)


def test_a_blocking_check_that_fails_leaves_the_asset_unmade_and_says_what_was_found(stage):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(stage, passed=False, instance=instance)
        evaluation = next(one for one in result.get_asset_check_evaluations() if one.check_name == "sound")
        assert not result.success
        assert not evaluation.passed
        assert instance.get_latest_materialization_event(dg.AssetKey("guarded")) is None
        assert instance.get_latest_materialization_event(dg.AssetKey("later")) is None
        [failure] = [event for event in result.all_events if event.is_step_failure]
        message = failure.step_failure_data.error.cause.message
        assert "asset 'metrics' of dataset 'shop' did not pass its checks. sound: what was found" in message


def test_a_check_that_passes_is_kept_with_what_was_made(stage):
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(stage, passed=True, instance=instance)
        assert result.success
        assert [evaluation.passed for evaluation in result.get_asset_check_evaluations()] == [True, True, True]
        assert instance.get_latest_materialization_event(dg.AssetKey("later")) is not None


def test_the_same_rows_have_the_same_version_and_others_another(stage):
    stage.write(Tables.METRICS, ROWS)
    same, other = again(stage), again(stage)
    same.write(Tables.METRICS, ROWS)
    other.write(Tables.METRICS, ROWS.assign(value=51.0))
    assert version(stage) == version(same) != version(other)


def test_a_report_says_how_long_it_took_and_how_much_memory(stage):
    stage.write(Tables.METRICS, ROWS)
    [reported] = report(stage)
    metadata = reported.metadata
    assert 0 < metadata["seconds"] < 60
    assert 0.05 < metadata["peak_memory_gb"] < 60


def test_the_first_table_has_its_columns_and_counts_under_the_names_of_dagster(stage):
    stage.write(Tables.METRICS, ROWS)
    stage.write(Tables.DIFFERENCES, ROWS.head(0))
    [reported] = report(stage)
    metadata = reported.metadata
    assert (metadata["dagster/row_count"], metadata["dagster/partition_row_count"]) == (1, 1)
    assert [column.name for column in metadata["dagster/column_schema"].columns] == ["row", "value"]
    assert metadata["differences rows"] == 0


def test_a_tracking_server_that_is_gone_fails_the_asset_and_dagster_keeps_no_password(stage, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s3cretword@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    @dg.asset
    def tracked():
        with stage.tracked():
            pass

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([tracked], instance=instance, raise_on_error=False)
        kept = "".join(entry.to_json() for entry in instance.all_logs(run.run_id))
        [failure] = failures_of(run.all_events, run.run_id, "shop", success=run.success)
    assert not run.success
    assert failure.text.startswith("tracked: the MLflow tracking server http://***@127.0.0.1:1")
    assert failure.may_pass
    assert "s3cretword" not in kept + failure.text


def test_a_table_that_nothing_reads_on_does_not_count(stage):
    stage.write(Tables.METRICS, ROWS)
    more = again(stage)
    more.write(Tables.METRICS, ROWS)
    more.write(Tables.FUNNEL, ROWS, read_on=False)
    assert version(stage) == version(more)


def test_an_adapter_stands_for_a_training_and_its_curve_does_not_count(stage):
    versions = []
    for loss in (1.0, 2.0):
        training = again(stage)
        with training.publish() as folder:
            (folder / "adapter").write_bytes(b"the same weights")
        training.write(training.asset, pd.DataFrame({"step": [1], "loss": [loss]}), read_on=False)
        versions.append(version(training))
    assert versions[0] == versions[1]


def test_adapters_of_a_training_that_was_switched_off_are_none(stage):
    with stage.artifacts.publish("summarizer", "shop") as folder:
        (folder / "adapter").write_bytes(b"of earlier settings")
    stage.store.replace("summarizer", "shop", pd.DataFrame({"step": [1], "reward": [0.5]}))
    assert [folder.parent.parent.name for folder in stage.adapters("summarizer")] == ["summarizer"]
    stage.store.replace("summarizer", "shop", pd.DataFrame({"step": [], "reward": []}))
    assert stage.adapters("summarizer") == []


def test_work_on_other_input_has_another_fingerprint(stage):
    before = stage.fingerprint()
    stage.store.replace(Tables.SEQUENCES, "shop", ROWS)
    stage.read(Tables.SEQUENCES)
    assert stage.fingerprint() != before


def test_a_sample_shows_lists_as_text_and_missing_numbers_as_nothing():
    rows = pd.DataFrame({"words": [np.array(["red", "mug"])], "score": [float("nan")], "item_id": ["x" * 300]})
    [record] = sample_table(rows).records
    assert record.data == {"words": "red, mug", "score": None, "item_id": "x" * 100}


SEEN = {
    "similar_users": {"user_id": "u1", "neighbor_id": "u2", "item_id": "i1"},
    "cooccurrence_neighbors": {"neighbor_id": "i2", "item_id": "i1"},
    "raw_reviews": {"user_id": "u1", "review": "mine", "item_id": "i1"},
    "rejects": {"file": "reviews.csv", "line": 7, "reason": "no item", "text": "u1,,mine"},
}


@pytest.mark.parametrize("table", SEEN)
def test_a_sample_shows_no_user_and_nothing_that_one_wrote_unless_that_is_set(table, monkeypatch):
    rows = pd.DataFrame([SEEN[table]])
    [record] = sample_table(rows).records
    visible = {name: value for name, value in record.data.items() if value != HIDDEN}
    assert not {"u1", "u2", "mine", "u1,,mine"} & set(visible.values())
    assert set(SEEN[table]) - set(visible) == {
        "similar_users": {"user_id", "neighbor_id"}, "cooccurrence_neighbors": set(),
        "raw_reviews": {"user_id", "review"}, "rejects": {"text"},
    }[table]  # fmt: skip
    monkeypatch.setattr(reporting, "loaded_config", lambda: Config.model_validate({"automation": {"show_users": True}}))
    assert sample_table(rows).records[0].data == SEEN[table]


def test_a_step_that_took_more_memory_than_a_step_is_reckoned_to_need_is_warned_of(stage, monkeypatch):
    for gigabytes, passed in ((1e3, True), (0.01, False)):
        settings = Config.model_validate({"limits": {"step_memory_gb": gigabytes}})
        monkeypatch.setattr(reporting, "loaded_config", lambda settings=settings: settings)
        repeated = again(stage)
        repeated.write(Tables.METRICS, ROWS)
        [reported] = report(repeated)
        [found] = [one for one in reported.check_results if one.check_name == "memory_within_limits"]
        assert (found.passed, found.severity) == (passed, dg.AssetCheckSeverity.WARN)
        assert found.metadata["peak_memory_gb"].value > 0.05


def test_a_sample_shows_six_digits_of_a_number():
    [record] = sample_table(pd.DataFrame({"share": [0.1 + 0.2], "large": [1234567.89], "count": [12345678]})).records
    assert record.data == {"share": 0.3, "large": 1234570.0, "count": 12345678}
