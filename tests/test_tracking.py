import mlflow
import pytest

from mmsra_pipeline.tracking import flatten, mlflow_run


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


def test_nested_settings_are_joined_with_dots():
    assert flatten({"a": {"b": {"c": 1}}, "d": 2}) == {"a.b.c": 1, "d": 2}
