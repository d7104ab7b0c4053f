"""Where curves and settings of a training go: MLflow, or nowhere."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.telemetry.credentials import Guarded, cleaned, hiding, redacted, without_user
from mmsra_pipeline.telemetry.mlflow_database import make_database

EXPERIMENT = "mmsra"
DAGSTER_RUN = "dagster_run_id"
LEVEL, RUN = "mmsra_level", "dagster run"
PARENT = "mlflow.parentRunId"
DELETED_AT_ONCE = 100
UI = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves a store that is no server."""


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

    def __init__(self, client: Any, run_id: str, parent_id: str | None = None) -> None:
        self._client = client
        self.run_id = run_id
        self.parent_id = parent_id
        """Of the run that stands for the run of Dagster."""

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
        entries = [Metric(metric_name(key), float(value), now, step) for key, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=entries)

    def log_folder(self, folder: Path, name: str) -> None:
        """Copy a folder to the run's files, under a name."""
        self._client.log_artifacts(self.run_id, str(folder), name)


@contextlib.contextmanager
def mlflow_run(uri: str, name: str, tags: Mapping[str, str], artifacts: Path) -> Iterator[MlflowTracker]:
    """Open an MLflow run that ends as FINISHED, KILLED on interruption, or FAILED on an error.

    All that share the tag ``DAGSTER_RUN`` are nested in one run, which stands for that run of Dagster.
    """
    client = _client(uri)
    experiment_id = _experiment(client, artifacts)
    parent = _parent(client, experiment_id, tags) if tags.get(DAGSTER_RUN) else None
    nested = {PARENT: parent.info.run_id} if parent else {}
    run = client.create_run(experiment_id, run_name=name, tags={**tags, **nested})
    status = "KILLED"
    try:
        yield MlflowTracker(client, run.info.run_id, parent.info.run_id if parent else None)
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        client.set_terminated(run.info.run_id, status)
        if parent:
            ended_badly = parent.info.status in ("FAILED", "KILLED")
            client.set_terminated(parent.info.run_id, parent.info.status if ended_badly else status)


def annotate(
    uri: str, run_id: str, *, metrics: Mapping[str, float], tags: Mapping[str, str], files: Iterable[Path]
) -> None:
    """Add what is known only once an MLflow run has ended: measures, tags, files."""
    from mlflow.entities import RunTag

    client = _client(uri)
    MlflowTracker(client, run_id).log_metrics(metrics, step=0)
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    for file in files:
        client.log_artifact(run_id, str(file))


def run_link(uri: str, run_id: str) -> str:
    """Return, as Markdown, a link to an MLflow run, and how to serve its store where that is no server itself."""
    experiment = _client(uri).get_run(run_id).info.experiment_id
    served = uri.startswith("http")
    link = f"{without_user(uri).rstrip('/') if served else UI}/#/experiments/{experiment}/runs/{run_id}"
    how = "" if served else f"\n\nServe it with `mlflow ui --backend-store-uri {redacted(uri)}`."
    return f"[{run_id}]({link}){how}"


def metric_name(name: str) -> str:
    """Return a name that MLflow takes; it refuses signs such as those of ndcg@10 and mmsrarec+cf.

    >>> metric_name("ndcg@10/uniform/mmsrarec+cf - sasrec")
    'ndcg_at_10/uniform/mmsrarec_plus_cf - sasrec'
    """
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_").replace("+", "_plus_"))


@dataclass(frozen=True)
class OldRun:
    """An MLflow run, in progress or not."""

    run_id: str
    parent_id: str | None
    artifacts: Path | None
    """Folder of its files, if they lie on this machine."""


def runs_before(uri: str, moment: float) -> list[OldRun]:
    """Return the runs that began before a moment, in seconds since 1970 UTC; those that stand for Dagster's too.

    A run whose process was killed never ends here.
    """
    return _runs(uri, f"attributes.start_time < {int(moment * 1000)}")


def runs_of(uri: str, dataset: str) -> list[OldRun]:
    """Return the runs of a data set; those that stand for Dagster's too."""
    return _runs(uri, f"tags.dataset = '{dataset}'")  # names of data sets have no quotes


def _runs(uri: str, wanted: str) -> list[OldRun]:
    client = _client(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    found, page = [], None
    while True:
        batch = client.search_runs([experiment.experiment_id], wanted, page_token=page)
        found += [OldRun(run.info.run_id, run.data.tags.get(PARENT), _local(run.info.artifact_uri)) for run in batch]
        page = batch.token
        if not page:
            return found


def delete_runs(uri: str, run_ids: Sequence[str]) -> None:
    """Remove runs for good, with their files."""
    client = _client(uri)
    for run_id in run_ids:
        client.delete_run(run_id)  # only marks it
    for start in range(0, len(run_ids), DELETED_AT_ONCE):
        names = ",".join(run_ids[start : start + DELETED_AT_ONCE])
        command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri, "--run-ids", names]
        done = subprocess.run(command, env=os.environ | {"MLFLOW_TRACKING_URI": uri}, capture_output=True, check=False)
        if done.returncode:
            said = cleaned(done.stderr.decode(errors="replace").strip()[-500:], uri)
            raise MmsraError(f"`mlflow gc` failed: {said}")


def _client(uri: str) -> Any:
    import mlflow  # 4 s: only when it is really asked

    with hiding(uri):
        make_database(uri)
        return Guarded(mlflow.MlflowClient(tracking_uri=uri), uri)


def _local(uri: str) -> Path | None:
    return Path(unquote(urlparse(uri).path)).parent if uri.startswith("file:") else None


def _experiment(client: Any, artifacts: Path) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    location = (artifacts / "mlflow").resolve()
    location.mkdir(parents=True, exist_ok=True)
    return str(client.create_experiment(EXPERIMENT, artifact_location=location.as_uri()))


def _parent(client: Any, experiment_id: str, tags: Mapping[str, str]) -> Any:
    """Return the run that stands for a run of Dagster, made by the first stage that asks; as it was before."""
    dagster_run = tags[DAGSTER_RUN]
    wanted = f"tags.{DAGSTER_RUN} = '{dagster_run}' and tags.{LEVEL} = '{RUN}'"
    for found in client.search_runs([experiment_id], wanted, max_results=1):
        client.update_run(found.info.run_id, status="RUNNING")
        return found
    shared = {key: value for key, value in tags.items() if key != "asset"}
    name = f"{tags.get('dataset', '')} {dagster_run[:8]}".strip()
    return client.create_run(experiment_id, run_name=name, tags={**shared, LEVEL: RUN})


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
