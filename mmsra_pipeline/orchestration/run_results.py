"""What a run of Dagster made, read from its events: the same for a run of this process and for one of the queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from mmsra_pipeline.orchestration.failures import Failure, failures_of
from mmsra_pipeline.orchestration.outcome import FailedCheck, MaterializedAsset, failed_checks


@dataclass(frozen=True)
class RunResult:
    """What became of a run of a data set that has ended."""

    run_id: str
    materialized: list[MaterializedAsset] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    failed_checks: list[FailedCheck] = field(default_factory=list)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By asset, of what was computed, whether it ended well or not."""


def result_of(instance: dg.DagsterInstance, run_id: str, partition: str) -> RunResult:
    """Read the events of a run that has ended."""
    run = instance.get_run_by_id(run_id)
    events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event]
    assets = [event.asset_key.to_user_string() for event in events if _is(event, "ASSET_MATERIALIZATION")]  # type: ignore[union-attr]
    evaluations: list[Any] = [event.event_specific_data for event in events if _is(event, "ASSET_CHECK_EVALUATION")]
    success = run is not None and run.status == dg.DagsterRunStatus.SUCCESS
    canceled = run is not None and run.status == dg.DagsterRunStatus.CANCELED
    return RunResult(
        run_id,
        materialized=[MaterializedAsset(asset, partition) for asset in assets],
        failures=failures_of(events, run_id, partition, success=success, canceled=canceled),
        failed_checks=failed_checks(evaluations, run_id, partition),
        seconds={
            stats.step_key: stats.end_time - stats.start_time
            for stats in instance.get_run_step_stats(run_id)
            if stats.start_time and stats.end_time
        },
    )


def _is(event: dg.DagsterEvent, kind: str) -> bool:
    return event.event_type_value == kind
