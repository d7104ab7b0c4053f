"""Ends runs whose process is gone. Dagster does so only while the server that started the process lives.

After a crash of the machine, or of `dagster dev` with all below it, such a run stays "started" for ever, and where one
run may be at work at a time, nothing else begins.
"""

import logging
from collections.abc import Collection, Iterator
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.storage.processes import lives_since

REFRESH_TAG: Final = "mmsra/refresh"
IN_PROGRESS: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
GONE: Final = "The process of this run is gone. What it had materialized stays."
logger = logging.getLogger(__name__)


def end_abandoned(instance: dg.DagsterInstance, *, no_refresh: bool = False) -> list[str]:
    """Mark the runs as failed whose process is no more, free what they held, and give their ids.

    Args:
        instance: Dagster's.
        no_refresh: whether it is known that no refresh is at work, so that a run of one has no process.
    """
    at_work = instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))
    if no_refresh:  # a kill between the making of a run and its begin
        unstarted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED], tags={REFRESH_TAG: "true"})
        at_work = [*at_work, *instance.get_runs(unstarted)]
    local = _runs_are_local(instance)
    gone = [
        run
        for run in at_work
        if (no_refresh and REFRESH_TAG in run.tags) or (local and _has_no_process(instance, run.run_id))
    ]
    for run in gone:
        logger.warning("run %s of job %s has no process any more and is marked as failed", run.run_id, run.job_name)
        instance.report_run_failed(run, GONE)
    for run_id in _holders(instance) - {run.run_id for run in at_work if run not in gone}:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return [run.run_id for run in gone]


def at_work(instance: dg.DagsterInstance, *, besides: Collection[str] = ()) -> list[dg.DagsterRun]:
    """Return the runs that are in progress, but for those of these ids."""
    return [run for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)) if run.run_id not in besides]


def _has_no_process(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the process that last said that it executes the run is gone; False where none said so."""
    processes = list(_processes(instance, run_id))
    return bool(processes) and not lives_since(*processes[-1])


def _processes(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[int, float]]:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        metadata: Any = entry.dagster_event.engine_event_data.metadata if entry.dagster_event else {}
        if "pid" in metadata:
            yield int(metadata["pid"].value), entry.timestamp


def _holders(instance: dg.DagsterInstance) -> set[str]:
    """Runs that hold a slot of a pool, or wait for one."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return set()
    pools = [storage.get_concurrency_info(name) for name in storage.get_concurrency_keys()]
    return {run for pool in pools for run in pool.active_run_ids | pool.pending_run_ids | pool.assigned_run_ids}


def _runs_are_local(instance: dg.DagsterInstance) -> bool:
    """Whether runs are processes of this machine: with other launchers and shared storage they are anywhere."""
    launcher, storage = type(instance.run_launcher).__name__, type(instance.event_log_storage).__name__
    return launcher == "DefaultRunLauncher" and storage.startswith("Sqlite")
