import sqlite3
import subprocess
import sys
import time

import mlflow
import pytest

from mmsra_pipeline.errors import TrackingError
from mmsra_pipeline.telemetry import losing, tracking
from mmsra_pipeline.telemetry.tracking import annotate, mlflow_run


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


@pytest.fixture
def impatient(monkeypatch):
    """MLflow gives a locked database up at once; it sets its 20 s by a statement."""
    import sqlalchemy

    whole = sqlalchemy.text

    def shorter(text):
        return whole(text.replace("busy_timeout = 20000", "busy_timeout = 10"))

    monkeypatch.setattr("mlflow.store.db.utils.sql.text", shorter)


@pytest.fixture
def lock():
    """Locks a database until it is unlocked, as a program that writes does."""
    held = []

    def lock_file(file):
        held.append(sqlite3.connect(file, isolation_level=None, timeout=5))
        held[-1].execute("begin exclusive")
        return held[-1]

    yield lock_file
    for each in held:
        each.close()


def warned(caplog):
    return [
        each.getMessage() for each in caplog.records if each.name.startswith("mmsra") and each.levelname == "WARNING"
    ]


def test_a_locked_database_costs_points_of_a_curve_and_one_warning_but_no_training(
    uri, tmp_path, impatient, lock, monkeypatch, caplog
):
    monkeypatch.setattr(losing, "PAUSE_SECONDS", 0.0)
    with mlflow_run(uri, "summarizer", {}, tmp_path) as tracker:
        tracker.log_metrics({"loss": 3.0}, step=0)
        held = lock(tmp_path / "mlflow.db")
        tracker.log_metrics({"loss": 2.0}, step=1)
        tracker.log_params({"rank": 8})
        tracker.log_metrics({"loss": 1.5}, step=2)
        assert len(warned(caplog)) == 1
        assert "the point of the curves at step 1" in warned(caplog)[0]
        assert "database is locked" in warned(caplog)[0]
        held.execute("rollback")
        tracker.log_metrics({"loss": 1.0}, step=3)
    client = mlflow.MlflowClient(tracking_uri=uri)
    history = client.get_metric_history(tracker.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (3, 1.0)]
    assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert f"3 points or settings of run {tracker.run_id}" in warned(caplog)[-1]


def test_after_a_lost_point_none_is_tried_for_a_while(uri, tmp_path, impatient, lock, monkeypatch):
    with mlflow_run(uri, "summarizer", {}, tmp_path) as tracker:
        held = lock(tmp_path / "mlflow.db")
        tracker.log_metrics({"loss": 2.0}, step=0)
        held.execute("rollback")
        tracker.log_metrics({"loss": 1.0}, step=1)
        monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + losing.PAUSE_SECONDS)
        tracker.log_metrics({"loss": 0.5}, step=2)
    client = mlflow.MlflowClient(tracking_uri=uri)
    assert [point.step for point in client.get_metric_history(tracker.run_id, "loss")] == [2]


def test_a_database_that_is_locked_to_the_end_keeps_the_training_and_its_error(uri, tmp_path, impatient, lock, caplog):
    with mlflow_run(uri, "summarizer", {"dagster_run_id": "a" * 36}, tmp_path):
        held = lock(tmp_path / "mlflow.db")
    assert "the end of the training" in warned(caplog)[-1]
    held.execute("rollback")

    def failing():
        with mlflow_run(uri, "summarizer", {}, tmp_path):
            lock(tmp_path / "mlflow.db")
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        failing()


def test_one_that_is_locked_at_the_start_is_said_before_anything_is_trained(uri, tmp_path, impatient, lock):
    with mlflow_run(uri, "a", {}, tmp_path):
        pass
    lock(tmp_path / "mlflow.db")
    with pytest.raises(TrackingError, match=r"database is locked.*Try again later"), mlflow_run(uri, "b", {}, tmp_path):
        pytest.fail("it was opened")


def test_what_is_wrong_in_a_call_is_not_lost_in_silence(uri, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "metric_name", str)
    with pytest.raises(mlflow.MlflowException, match="ndcg@10"), mlflow_run(uri, "a", {}, tmp_path) as tracker:
        tracker.log_metrics({"ndcg@10": 1.0}, step=0)
