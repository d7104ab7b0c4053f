"""Takes a data set out of what Dagster and MLflow keep: runs with their events and logs, checks, notes, curves.

Dagster has a call for runs alone. What it keeps of an asset beside them (its last materialization, results of checks,
events of no run) is deleted in its tables; tests/orchestration/test_dataset_removal.py searches every file afterwards.
"""

import contextlib
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.job_names import NIGHT
from mmsra_pipeline.orchestration.nights import DATASETS_TAG, UNFINISHED
from mmsra_pipeline.orchestration.step_processes import PARTITION_TAG
from mmsra_pipeline.storage.files import remove
from mmsra_pipeline.storage.paths import Paths

RUNLESS: Final = ""
"""The id under which Dagster keeps events of no run."""
OWN: Final = "partition = :name"
LAST: Final = """
update asset_keys set last_materialization = (
  select event from event_logs
  where event_logs.asset_key = asset_keys.asset_key and dagster_event_type = 'ASSET_MATERIALIZATION'
  order by event_logs.id desc limit 1)
where last_materialization is not null and not exists (
  select 1 from event_logs
  where event_logs.asset_key = asset_keys.asset_key and event_logs.event = asset_keys.last_materialization)
"""
"""Another data set's last materialization in place of one that is gone."""
logger = logging.getLogger(__name__)


def forget_events(instance: dg.DagsterInstance, name: str) -> int:
    """Delete the runs of a data set and all events of it, and return how many runs there were.

    A look at all data sets (`catalog_refresh`) goes too where it saw this one alone or failed: its log may quote rows.

    Raises:
        MmsraError: if a run of it waits or is at work.
    """
    runs = instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: name}))
    if waiting := [run for run in runs if run.status in UNFINISHED]:
        raise MmsraError(
            f"run {waiting[0].run_id} of dataset {name!r} has not ended. Wait for it, or cancel it in the Dagster UI."
        )
    looks = list(instance.get_runs(dg.RunsFilter(tags={DATASETS_TAG: json.dumps([name])})))
    looks += instance.get_runs(dg.RunsFilter(job_name=NIGHT, statuses=[dg.DagsterRunStatus.FAILURE]))
    gone = {run.run_id for run in (*runs, *looks)}
    home = Path(instance.root_directory)
    for run_id in sorted(gone):
        instance.delete_run(run_id)
        for path in (home / "history" / "runs" / f"{run_id}.db", home / "storage" / run_id):
            remove(path)
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        _forget_rows(connection, name, gone)
    if type(storage).__name__.startswith("Sqlite"):  # which keeps events of no run in a file of their own too
        with storage.run_connection(RUNLESS) as connection:
            _forget_rows(connection, name, gone)
    return len(gone)


def _forget_rows(connection: Any, name: str, runs: set[str]) -> None:
    mine = f"select id from event_logs where {OWN}"
    connection.execute(sa.text(f"delete from asset_event_tags where event_id in ({mine})"), {"name": name})
    connection.execute(sa.text(f"delete from event_logs where {OWN}"), {"name": name})
    connection.execute(sa.text(f"delete from asset_check_executions where {OWN}"), {"name": name})
    for run_id in runs:
        connection.execute(sa.text("delete from asset_check_executions where run_id = :run"), {"run": run_id})
    connection.execute(sa.text(LAST))


def forget_curves(paths: Paths, name: str) -> int:
    """Delete the MLflow runs of a data set for good, with their files, and return how many there were."""
    local = paths.mlflow_uri.removeprefix("sqlite:///")
    if local != paths.mlflow_uri and not Path(local).is_file():
        return 0
    from mmsra_pipeline.telemetry.tracking import delete_runs, runs_of

    runs = runs_of(paths.mlflow_uri, name)
    delete_runs(paths.mlflow_uri, [run.run_id for run in runs])
    for run in runs:
        if run.artifacts:
            remove(run.artifacts)
    return len(runs)


def forget_free_pages(instance: dg.DagsterInstance, paths: Paths) -> None:
    """Write the SQLite databases anew: what was deleted from one lies in its file until other rows take its place."""
    home = Path(instance.root_directory)
    databases = [*home.glob("history/*.db"), *home.glob("history/runs/*.db"), *home.glob("history/runs/.db"),
                 *home.glob("schedules/*.db"), *paths.caches.rglob("*.sqlite")]  # fmt: skip
    if paths.mlflow_uri.startswith("sqlite:///"):
        databases.append(Path(paths.mlflow_uri.removeprefix("sqlite:///")))
    for path in dict.fromkeys(databases):
        if not path.is_file():
            continue
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
                connection.execute("vacuum")
                connection.execute("pragma wal_checkpoint(truncate)")
        except sqlite3.Error as error:
            logger.warning("%s was not written anew (%s); what was deleted may still lie in its file", path, error)
