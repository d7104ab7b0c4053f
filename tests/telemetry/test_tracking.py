import subprocess
import sys
import time

import mlflow
import pytest

from mmsra_pipeline.telemetry.tracking import annotate, flatten, mlflow_run


def test_a_run_keeps_params_curves_and_its_end(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with mlflow_run(uri, "summarizer", {"dataset": "shop"}, tmp_path) as tracker:
        tracker.log_params({"lora": {"rank": 8}})
        tracker.log_metrics({"loss": 2.0}, step=0)
        tracker.log_metrics({"loss": 1.0}, step=1)
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"lora.rank": "8"}
    assert [point.value for point in client.get_metric_history(tracker.run_id, "loss")] == [2.0, 1.0]
    assert run.data.tags["dataset"] == "shop"

    class Stop(BaseException): ...

    with pytest.raises(ValueError, match="bad"), mlflow_run(uri, "a", {}, tmp_path) as failed:
        raise ValueError("bad")
    with pytest.raises(Stop), mlflow_run(uri, "b", {}, tmp_path) as killed:
        raise Stop
    assert client.get_run(failed.run_id).info.status == "FAILED"
    assert client.get_run(killed.run_id).info.status == "KILLED"


@pytest.mark.slow
def test_a_kill_while_the_database_is_made_does_not_stop_later_trainings(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    opening = "import sys; from mmsra_pipeline.telemetry.tracking import *\n"
    opening += "with mlflow_run(sys.argv[1], 'a', {}, Path(sys.argv[2])): pass"
    process = subprocess.Popen([sys.executable, "-c", opening, uri, str(tmp_path)])
    while not any(path.stat().st_size > 0 for path in tmp_path.glob(".*.tmp")):
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(0.1)
    process.kill()
    process.wait()
    with mlflow_run(uri, "b", {}, tmp_path) as tracker:
        tracker.log_metrics({"loss": 2.0}, step=0)
    assert mlflow.MlflowClient(tracking_uri=uri).get_run(tracker.run_id).info.status == "FINISHED"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mlflow.db.lock", "mlflow", "mlflow.db"]


def test_nested_settings_are_joined_with_dots():
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}


def test_stages_of_one_dagster_run_are_nested_in_one_run(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)

    def stage(asset, dagster_run, error=None):
        tags = {"dataset": "shop", "asset": asset, "dagster_run_id": dagster_run}
        try:
            with mlflow_run(uri, asset, tags, tmp_path) as tracker:
                parent = client.get_run(tracker.parent_id)
                assert parent.info.status == "RUNNING"
                if error:
                    raise error
        except ValueError:
            pass
        return tracker

    first, second, other = stage("summarizer", "a" * 36), stage("recommender", "a" * 36), stage("summarizer", "b" * 36)
    assert first.parent_id == second.parent_id != other.parent_id
    nested, parent = client.get_run(first.run_id), client.get_run(first.parent_id)
    assert nested.data.tags["mlflow.parentRunId"] == first.parent_id
    assert parent.data.tags["dagster_run_id"] == "a" * 36
    assert "asset" not in parent.data.tags
    assert (parent.info.run_name, parent.info.status) == ("shop aaaaaaaa", "FINISHED")

    stage("alignment", "c" * 36, ValueError("bad"))
    after = stage("summarizer", "c" * 36)
    assert client.get_run(after.parent_id).info.status == "FAILED"


def test_measures_tags_and_files_are_added_to_a_run_that_has_ended(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with mlflow_run(uri, "summarizer", {}, tmp_path) as tracker:
        pass
    plot = tmp_path / "curve.png"
    plot.write_bytes(b"picture")
    annotate(uri, tracker.run_id, metrics={"format_rate": 0.5}, tags={"artifact": "/a/b"}, files=[plot])
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(tracker.run_id)
    assert run.data.metrics == {"format_rate": 0.5}
    assert run.data.tags["artifact"] == "/a/b"
    assert [file.path for file in client.list_artifacts(tracker.run_id)] == ["curve.png"]
