"""What happens by itself once it is switched on (`automation.enabled`), or is started in the UI.

Nothing here has a memory of its own that could be lost: nights and sensors ask Dagster what is stale and look at what
is there.
"""

import dagster as dg
from pydantic import Field

from mmsra_pipeline.config.datasets import list_datasets
from mmsra_pipeline.config.operation import AutomationConfig
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.defs.jobs import everything, retrain
from mmsra_pipeline.errors import MmsraError, PassingError
from mmsra_pipeline.orchestration.abandoned_runs import end_abandoned
from mmsra_pipeline.orchestration.job_names import NIGHT, RETRAIN
from mmsra_pipeline.orchestration.loading import load_definitions
from mmsra_pipeline.orchestration.looking import OP, answers, look
from mmsra_pipeline.orchestration.nights import UNFINISHED, Nights, open_nights
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import size_pools
from mmsra_pipeline.orchestration.retraining import occasion, pin_what_the_training_saw, retraining_reasons
from mmsra_pipeline.orchestration.settings_read import dataset_config, loaded_config
from mmsra_pipeline.storage.paths import find_paths


class RefreshOptions(dg.Config):
    """What a night does, as the launchpad shows it. Settings of stages are in the config file."""

    dataset: str = Field("", description="Only this data set. Empty: all that the datasets folder describes.")
    trainings: bool = Field(
        False, description="Also renew the trained adapters that are stale, as `mmsra refresh` does. Can take hours."
    )
    dry_run: bool = Field(False, description="Compute nothing; the log says what is stale, and why.")


def sensor_status(settings: AutomationConfig) -> dg.DefaultSensorStatus:
    """Return how a sensor begins, until somebody starts or stops it in the UI."""
    return dg.DefaultSensorStatus.RUNNING if settings.enabled else dg.DefaultSensorStatus.STOPPED


def refresh_job(settings: AutomationConfig) -> dg.JobDefinition:
    """Return the job with which a night begins. It computes nothing: the sensor `waves` starts the runs that do."""

    @dg.op(
        name=OP,
        retry_policy=dg.RetryPolicy(
            max_retries=settings.retries, delay=settings.retry_seconds, backoff=dg.Backoff.EXPONENTIAL
        ),
    )
    def look_at_sources(context: dg.OpExecutionContext, config: RefreshOptions) -> None:
        """Observe the sources of all data sets, unless the launchpad names one, and say what is stale."""
        try:
            tags, failures = look(
                context.instance,
                find_paths(),
                load_definitions().resolve_asset_graph(),
                dataset=config.dataset,
                trainings=config.trainings,
                dry_run=config.dry_run,
                say=context.log.info,
            )
        except MmsraError as error:
            raise dg.Failure(str(error), allow_retries=isinstance(error, PassingError)) from None
        context.instance.add_run_tags(context.run_id, tags)
        if failures:
            raise dg.Failure("\n".join(f"dataset {one.partition}: {one.text}" for one in failures), allow_retries=False)

    @dg.job(
        name=NIGHT,
        description="Begin a night: observe the sources, and have all that is stale computed in runs of their own, "
        "wave after wave, but for trainings. Those: `retrain`, or the option `trainings`.",
        executor_def=dg.in_process_executor,
        tags={"dagster/max_retries": str(settings.retries)},  # of runs whose process died; the op retries the others
    )
    def catalog_refresh() -> None:
        """Wrap the one op, so that a schedule can start it."""
        look_at_sources()

    return catalog_refresh


def refresh_schedule(settings: AutomationConfig, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Return the schedule of the job. A look that is not over when the next one comes is not started again."""

    def tonight(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        wanted = dg.RunsFilter(job_name=job.name, statuses=UNFINISHED)
        before = context.instance.get_runs(wanted, limit=1)
        return dg.SkipReason(f"{job.name} of run {before[0].run_id} has not ended yet") if before else dg.RunRequest()

    on, off = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name=NIGHT,
        job=job,
        cron_schedule=settings.cron,
        execution_timezone=settings.timezone,
        execution_fn=tonight,
        default_status=on if settings.enabled else off,
        description="Every night: bring data, pictures, keywords, neighbors and recommendations up to date.",
    )


SETTINGS, LIMITS = loaded_config().automation, loaded_config().limits
catalog_refresh = refresh_job(SETTINGS)
nightly = refresh_schedule(SETTINGS, catalog_refresh)


@dg.sensor(
    jobs=[catalog_refresh, everything], minimum_interval_seconds=10, default_status=dg.DefaultSensorStatus.RUNNING
)
def waves(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Start the next wave of each data set of a night that is open. On from the start: the launchpad needs it too."""
    if context.repository_def is None:
        return dg.SkipReason("the definitions are not loaded")
    asked = answers(context.instance)
    requests: list[dg.RunRequest] = []
    remarks: list[str] = []
    if open_nights(context.instance):  # else the root need not be asked, which may be far away
        nights = Nights(context.instance, find_paths(), context.repository_def.asset_graph, SETTINGS)
        requests, remarks = nights.next_runs()
    if requests or asked:
        return dg.SensorResult(run_requests=[*asked, *requests])
    return dg.SkipReason("; ".join(remarks) or "no night is open")


@dg.sensor(minimum_interval_seconds=60, default_status=sensor_status(SETTINGS))
def new_datasets(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Make a partition of each file in the datasets folder. The command line does so too."""
    known = set(context.instance.get_dynamic_partitions(str(datasets.name)))
    new = [name for name in list_datasets(find_paths().datasets) if name not in known]
    if not new:
        return dg.SkipReason("every file in the datasets folder has its partition")
    return dg.SensorResult(dynamic_partitions_requests=[datasets.build_add_request(new)])


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def abandoned_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Mark runs as failed whose process is gone, which else would hold up all others. On from the start."""
    size_pools(context.instance, LIMITS.step_memory_gb)
    ended = end_abandoned(context.instance)
    return dg.SkipReason(f"marked as failed: {', '.join(ended)}" if ended else "every run at work has its process")


@dg.sensor(
    name="retrain_when_due",  # Dagster keeps under it whether people switched it on or off, and what it asked for
    job=retrain,
    minimum_interval_seconds=60 * SETTINGS.check_minutes,
    default_status=sensor_status(SETTINGS),
)
def ask_for_retraining(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Start `retrain` for data sets that have moved far enough since the recommender was trained, and say why."""
    from mmsra_pipeline.storage.tables import Store

    if context.repository_def is None:
        return dg.SkipReason("the definitions are not loaded")
    graph, store = context.repository_def.asset_graph, Store.of(find_paths())
    requests = []
    for name in context.instance.get_dynamic_partitions(str(datasets.name)):
        pin_what_the_training_saw(context.instance, store, name)
        config = _config(context, name)
        reasons = retraining_reasons(context.instance, graph, store, name, loaded_config().automation, config)
        if reasons and not _is_retraining(context.instance, name):
            context.log.info(f"{name}: {'; '.join(reasons)}")
            tags = {"mmsra/why": "; ".join(reasons)}
            key = occasion(context.instance, graph, name, config)
            requests.append(dg.RunRequest(run_key=key, partition_key=name, tags=tags))
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("no retraining is needed")


def _config(context: dg.SensorEvaluationContext, dataset: str) -> Config | None:
    try:
        return dataset_config(find_paths(), dataset)
    except MmsraError as error:
        context.log.error(f"{dataset}: {error}")
        return None


def _is_retraining(instance: dg.DagsterInstance, dataset: str) -> bool:
    wanted = dg.RunsFilter(job_name=RETRAIN, tags={"dagster/partition": dataset}, statuses=UNFINISHED)
    return bool(instance.get_runs(wanted, limit=1))


@dg.run_failure_sensor(minimum_interval_seconds=30, default_status=sensor_status(SETTINGS))
def alert_on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Tell whom `automation.alert` names that a run failed, unless it is tried again."""
    from mmsra_pipeline.telemetry.alerts import send_alert

    run, alert = context.dagster_run, loaded_config().automation.alert
    if not (alert.command or alert.webhook):
        return dg.SkipReason("automation.alert names nobody")
    if run.tags.get("dagster/will_retry") == "true" or _night_tries_again(context):
        return dg.SkipReason(f"run {run.run_id} is tried again")
    for problem in send_alert(alert, failure_message(context)):
        context.log.error(problem)
    return None


def _night_tries_again(context: dg.RunFailureSensorContext) -> bool:
    graph = load_definitions().resolve_asset_graph()
    return Nights(context.instance, find_paths(), graph, SETTINGS).will_try_again(context.dagster_run)


def _root() -> str:
    paths = find_paths()
    return paths.remote.address(paths.root)


def failure_message(context: dg.RunFailureSensorContext) -> dict[str, object]:
    """Return what is reported of a run that failed."""
    from mmsra_pipeline.orchestration.failures import describe

    run = context.dagster_run
    errors = [(event.step_key, event.step_failure_data.error) for event in context.get_step_failure_events()]
    descriptions = [f"{step}: {describe(error, run.run_id)[0]}" for step, error in errors if error is not None]
    return {
        "what": "run failed",
        "job": run.job_name,
        "dataset": run.tags.get("dagster/partition"),
        "run_id": run.run_id,
        "errors": descriptions or [context.failure_event.message],
        "owner": loaded_config().automation.owner,
        "root": _root(),
    }
