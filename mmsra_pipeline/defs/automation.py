"""What happens by itself once it is switched on: new data sets become partitions, the cheap part is kept fresh."""

import dagster as dg

from mmsra_pipeline.datasets import list_datasets
from mmsra_pipeline.defs.jobs import COSTLY
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.paths import find_paths

NIGHTLY = "0 3 * * *"


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.STOPPED)
def new_datasets(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Make a partition of each file in the datasets folder. The command line does so too."""
    known = set(context.instance.get_dynamic_partitions(str(datasets.name)))
    new = [name for name in list_datasets(find_paths().datasets) if name not in known]
    if not new:
        return dg.SkipReason("every file in the datasets folder has its partition")
    return dg.SensorResult(dynamic_partitions_requests=[datasets.build_add_request(new)])


@dg.op
def refresh_cheap_part(context: dg.OpExecutionContext) -> None:
    """Materialize what is stale of all data sets, but for trainings, with the adapters there are."""
    from mmsra_pipeline.defs.refresh import refresh

    outcome = refresh(context.instance, find_paths(), leave_out=frozenset(COSTLY))
    context.log.info("materialized: %s", ", ".join(str(entry) for entry in outcome.materialized) or "nothing was stale")
    if outcome.failures:
        raise dg.Failure("\n".join(failure.text for failure in outcome.failures), allow_retries=False)


@dg.job(
    description="Observe the sources and materialize what is stale, but for trainings (`retrain`, `mmsra refresh`).",
    executor_def=dg.in_process_executor,
)
def catalog_refresh() -> None:
    """Wrap the one op, so that a schedule can start it."""
    refresh_cheap_part()


nightly = dg.ScheduleDefinition(
    name="catalog_refresh",
    job=catalog_refresh,
    cron_schedule=NIGHTLY,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every night: bring data, pictures, keywords, neighbors and recommendations up to date.",
)
