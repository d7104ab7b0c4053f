"""Ends runs of a worker that is gone, where Dagster's storage is shared by several machines.

No machine can ask for the processes of another. But a run holds the turn of its data set by an object in the root's
store, which it writes anew every few seconds (``storage.leases``). A run that is said to be at work while that object
stays what it was has no process. It is marked as failed, so that the queue gives the data set to others; should its
process wake up, it finds at its next pointer that the turn is not its own.
"""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.storage.hashing import content_hash
from mmsra_pipeline.storage.leases import LEASE_SECONDS
from mmsra_pipeline.storage.mirror import turn_file
from mmsra_pipeline.storage.paths import Paths

PARTITION_TAG: Final = "dagster/partition"
WAITS: Final = 2  # lease times: who waits for a dead holder begins to write after one
GONE: Final = (
    "The worker of this run is gone: it has not renewed the turn of its data set. What it had materialized stays; "
    "start the run again, on any worker."
)
logger = logging.getLogger(__name__)


def shared_by_machines(instance: dg.DagsterInstance, paths: Paths) -> bool:
    """Whether runs may be of other machines, and what they hold can be seen from here."""
    return paths.remote.is_store and not type(instance.event_log_storage).__name__.startswith("Sqlite")


def end_runs_of_dead_workers(
    instance: dg.DagsterInstance, paths: Paths, seen: str | None, lease_seconds: float = LEASE_SECONDS
) -> tuple[list[str], str]:
    """Mark the runs as failed whose turn was not renewed for two lease times, and free what they held.

    Args:
        instance: Dagster's.
        paths: of a root in an object store.
        seen: what the last look gave; None at the first.
        lease_seconds: after which a turn is taken over.

    Returns:
        Their ids, and what was seen, for the next look.
    """
    before: Mapping[str, Any] = json.loads(seen) if seen else {}
    now, ended = time.time(), []
    found: dict[str, list[Any]] = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])):
        if PARTITION_TAG not in run.tags:
            continue
        content = paths.remote.read(turn_file(paths.root, run.tags[PARTITION_TAG])) or b""
        state, (known, since) = content_hash(content), before.get(run.run_id, ["", now])
        found[run.run_id] = [state, since if state == known else now]
        if now - found[run.run_id][1] > WAITS * lease_seconds:
            logger.warning("run %s of %s has no worker any more", run.run_id, run.tags[PARTITION_TAG])
            instance.report_run_failed(run, GONE)
            if instance.event_log_storage.supports_global_concurrency_limits:
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            del found[run.run_id]
            ended.append(run.run_id)
    return ended, json.dumps(found, sort_keys=True)
