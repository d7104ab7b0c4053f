"""The Dagster instance of an installation: its folder, its settings, and who may compute."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

import dagster as dg

from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.abandoned_runs import end_abandoned
from mmsra_pipeline.orchestration.instance_files import make_databases
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.locks import try_lock
from mmsra_pipeline.storage.paths import Paths

LOCK: Final = ".refresh.lock"
INSTANCE_YAML: Final = """\
# The local Dagster instance. Runs, events and schedules are kept in SQLite files beside this file (Dagster's default);
# Postgres can take their place here, without a change of code.

# Up to four runs at a time, one of a data set. Runs that the UI, a backfill or a schedule start beyond
# that wait in the queue, and the queue outlives a restart.
#
# Each step of a run is a process of its own, and of one of two pools: `device`, where it reads a model, or `memory`.
# One step at a time has a model; `dagster instance concurrency set device 2` says otherwise, for two devices. The size
# of `memory` follows the setting limits.step_memory_gb. A slot that a kill -9 leaves taken is freed by the sensor
# abandoned_runs within a minute, and by the next `mmsra refresh`.
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - key: dagster/partition
        limit: 1
        value: {applyLimitPerUniqueValue: true}
  pools:
    default_limit: 1
    granularity: op

# Runs that do not start, or do not answer a cancel, are ended after a time. The daemon resumes none
# (max_resume_run_attempts stays 0, else a user's cancel does not reach the step): trainings go on from their
# checkpoints when the asset is materialized again. A run whose process died is marked as failed by the server that
# started it, and if that is gone too, by the sensor abandoned_runs.
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  cancel_timeout_seconds: 180
  max_resume_run_attempts: 0
  poll_interval_seconds: 60
  free_slots_after_run_end_seconds: 60

# A run is tried again only if its job says so (tag dagster/max_retries) and its process died: what failed by itself was
# either retried by its own rule or would fail again.
run_retries:
  enabled: true
  max_retries: 0
  retry_on_asset_or_op_failure: false

# What sensors and schedules said, in days. `mmsra gc` does the same for runs.
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days:
      skipped: 7
      failure: 30
      started: 30
      success: 90

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


class RefreshBusyError(MmsraError):
    """Another process has the right to refresh."""


def open_instance(paths: Paths) -> dg.DagsterInstance:
    """Return the instance, making its folder first where there is none."""
    home = paths.dagster_home.resolve()
    if not (home / "dagster.yaml").is_file():
        write_atomically(home / "dagster.yaml", INSTANCE_YAML.encode())
    os.environ["DAGSTER_HOME"] = str(home)
    make_databases(home)
    return dg.DagsterInstance.get()


@contextlib.contextmanager
def only_refresh(instance: dg.DagsterInstance, paths: Paths) -> Iterator[None]:
    """Hold the right to refresh. Runs that a killed refresh left behind are marked as failed first.

    Raises:
        RefreshBusyError: if another process holds it.
    """
    with try_lock(paths.dagster_home / LOCK) as free:
        if not free:
            where = paths.remote.address(paths.root)
            raise RefreshBusyError(
                f"another refresh is at work in {where}. Wait until it has ended (the Dagster UI shows its runs), "
                "or stop it."
            )
        # Whoever holds the lock is the only refresh, so a run of another one that is still in progress has no process.
        end_abandoned(instance, no_refresh=True)
        yield
