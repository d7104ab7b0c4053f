"""What keeps several workers going."""

import dagster as dg

from mmsra_pipeline.orchestration.dead_workers import end_runs_of_dead_workers, shared_by_machines
from mmsra_pipeline.storage.paths import find_paths


@dg.sensor(minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def dead_workers(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Mark runs of other machines as failed whose worker is gone, which else would hold their data set. On at once."""
    paths = find_paths()
    if not shared_by_machines(context.instance, paths):
        return dg.SkipReason("runs are processes of this machine; the sensor abandoned_runs looks after them")
    ended, seen = end_runs_of_dead_workers(context.instance, paths, context.cursor)
    context.update_cursor(seen)
    return dg.SkipReason(f"marked as failed: {', '.join(ended)}" if ended else "every run at work renews its turn")
