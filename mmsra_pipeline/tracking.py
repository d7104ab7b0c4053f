"""Where curves and settings of a training go: MLflow, or nowhere."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

EXPERIMENT = "mmsra"


class Tracker(Protocol):
    """What a training says of itself."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Note settings, nested ones with dots."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Note values at a step."""


class NullTracker:
    """Keeps nothing."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Do nothing."""


class MlflowTracker:
    """One MLflow run. Values are sent in batches: one call a value takes 40 times as long."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Note settings; MLflow bounds a value's length."""
        from mlflow.entities import Param

        entries = [Param(key, str(value)[:500]) for key, value in flatten(params).items()]
        self._client.log_batch(self.run_id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Note values at a step, in one call."""
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        # MLflow refuses the @ of names such as ndcg@10.
        entries = [Metric(key.replace("@", "_at_"), float(value), now, step) for key, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=entries)


@contextlib.contextmanager
def mlflow_run(uri: str, name: str, tags: Mapping[str, str], artifacts: Path) -> Iterator[MlflowTracker]:
    """Open an MLflow run that ends as FINISHED, KILLED on interruption, or FAILED on an error."""
    import mlflow  # 4 s: only when a run is really opened

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        location = (artifacts / "mlflow").resolve()
        location.mkdir(parents=True, exist_ok=True)
        experiment_id = client.create_experiment(EXPERIMENT, artifact_location=location.as_uri())
    else:
        experiment_id = experiment.experiment_id
    run = client.create_run(experiment_id, run_name=name, tags=dict(tags))
    status = "KILLED"
    try:
        yield MlflowTracker(client, run.info.run_id)
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        client.set_terminated(run.info.run_id, status)


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join nested keys with dots.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
