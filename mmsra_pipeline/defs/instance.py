"""The Dagster instance of an installation: its folder, its settings, and who may compute."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import Final

import dagster as dg

from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.files import write_atomically
from mmsra_pipeline.paths import Paths

REFRESH_TAG: Final = "mmsra/refresh"
IN_PROGRESS: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
LOCK: Final = ".refresh.lock"
INSTANCE_YAML: Final = """\
# The local Dagster instance. Runs, events and schedules are kept in SQLite files beside this file (Dagster's default);
# Postgres can take their place here, without a change of code.

# One run at a time, one process each: models share the cores and the memory of one machine. Runs that the UI, a
# backfill or a schedule start beyond that wait in the queue.
concurrency:
  runs:
    max_concurrent_runs: 1

# A run whose process died is marked as failed. The daemon resumes none (max_resume_run_attempts stays 0, else a user's
# cancel does not reach the step): trainings go on from their checkpoints when the asset is materialized again.
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  free_slots_after_run_end_seconds: 60

# What the stages log is in the log of the run.
python_logs:
  managed_python_loggers: [mmsra_pipeline]
  python_log_level: INFO

telemetry:
  enabled: false

# No form that asks for an address at the first visit.
nux:
  enabled: false
"""


def open_instance(paths: Paths) -> dg.DagsterInstance:
    """Give the instance, making its folder first where there is none."""
    home = paths.dagster_home.resolve()
    if not (home / "dagster.yaml").is_file():
        write_atomically(home / "dagster.yaml", INSTANCE_YAML.encode())
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


@contextlib.contextmanager
def only_refresh(instance: dg.DagsterInstance, paths: Paths) -> Iterator[None]:
    """Hold the right to refresh. Runs that a killed refresh left behind are marked as failed first.

    Raises:
        MmsraError: if another process holds it.
    """
    with (paths.dagster_home / LOCK).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MmsraError(
                f"another refresh is at work in {paths.root}. Wait until it has ended (the Dagster UI shows its runs), "
                "or stop it."
            ) from None
        _end_abandoned(instance)
        yield


def _end_abandoned(instance: dg.DagsterInstance) -> None:
    # Whoever holds the lock is the only refresh, so a run of another one that is still in progress has no process.
    left = instance.get_runs(dg.RunsFilter(tags={REFRESH_TAG: "true"}, statuses=IN_PROGRESS))
    for run in left:
        instance.report_run_failed(run, "The process of this run is gone. What it had materialized stays.")
