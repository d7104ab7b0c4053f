"""Materializes what is stale, in waves: whatever comes out unchanged ends the chain there.

A wave is one Dagster run of a data set: all that is surely stale. Then what depends on it is asked again. The first run
of a data set is one wave, as everything is missing.
"""

import functools
import logging
from collections.abc import Callable, Collection, Iterable

import dagster as dg

from mmsra_pipeline.config.datasets import list_datasets, load_dataset
from mmsra_pipeline.orchestration.abandoned_runs import REFRESH_TAG
from mmsra_pipeline.orchestration.instance import only_refresh
from mmsra_pipeline.orchestration.job_names import EVERYTHING
from mmsra_pipeline.orchestration.loading import everything, load_definitions
from mmsra_pipeline.orchestration.outcome import Outcome, Planned
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE, size_pools
from mmsra_pipeline.orchestration.refresh_report import DatasetRefresh
from mmsra_pipeline.orchestration.renewals import Approve, check_approved, renewals
from mmsra_pipeline.orchestration.run_results import RunResult, result_of
from mmsra_pipeline.orchestration.settings_read import dataset_config, loaded_config
from mmsra_pipeline.orchestration.staleness import Stale
from mmsra_pipeline.orchestration.step_processes import PARTITION_TAG, expect
from mmsra_pipeline.orchestration.waves import Waves
from mmsra_pipeline.storage.disk import check_free, explained_errors
from mmsra_pipeline.storage.leftovers import sweep_all
from mmsra_pipeline.storage.locks import is_locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock, turn_of

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # the stages' own log lines reach the terminal
TAGS = {REFRESH_TAG: "true"}
logger = logging.getLogger(__name__)


def refresh(
    instance: dg.DagsterInstance,
    paths: Paths,
    *,
    dataset: str | None = None,
    dry_run: bool = False,
    leave_out: Collection[str] = (),
    definitions: dg.Definitions | None = None,
    approve: Approve | None = None,
    tell: Callable[[list[Planned]], None] | None = None,
) -> Outcome:
    """Observe the sources, and materialize what is stale of one data set or of all.

    A data set that fails is reported and the others go on.

    Args:
        instance: Dagster's; runs show in its UI.
        paths: the installation.
        dataset: only this one.
        dry_run: only say what is stale.
        leave_out: assets that are not computed; what they made last is used.
        definitions: other assets than those of this package, with a job 'everything'; they run in this process.
        approve: is asked before trainings are repeated because settings changed. None: they are.
        tell: is given what is to be computed of a data set, before it is.

    Raises:
        ConfigError: if ``dataset`` is not described, or ``approve`` says no.
        RefreshBusyError: if another refresh is at work.
        NoSpaceError: if there is too little free space to begin, or none to go on.
    """
    names = [load_dataset(paths.datasets, dataset).name] if dataset else list_datasets(paths.datasets)
    outcome = Outcome()
    with explained_errors(paths.root, "the refresh"):
        add_partitions(instance, names)
        graph = (definitions or load_definitions()).resolve_asset_graph()
        waves = Waves(instance, paths, graph, leave_out)
        if dry_run:
            for name in names:
                _examine(waves, name, outcome)
            return outcome
        with only_refresh(instance, paths):
            size_pools(instance, loaded_config().limits.step_memory_gb)
            sweep_all(paths)
            check_free(paths.root, loaded_config().retention.min_free_gb, "a refresh")
            # First what no run of the UI is at: waiting for a training there must not hold up the others.
            for name in sorted(names, key=lambda name: is_locked(dataset_lock(paths, name))):
                with turn_of(paths, name):
                    known = len(outcome.plan)
                    summary = _examine(waves, name, outcome)
                    if tell and outcome.plan[known:]:
                        tell(outcome.plan[known:])
                    if approve:
                        settings = functools.partial(dataset_config, paths)
                        check_approved(renewals(instance, summary.stale.values(), settings), approve)
                    _bring_up_to_date(waves, summary, outcome, definitions)
    return outcome


def again(
    instance: dg.DagsterInstance, paths: Paths, name: str, asset: str, definitions: dg.Definitions | None = None
) -> RunResult:
    """Compute one asset of a data set though nothing of what it depends on changed: it shows what lies beside.

    Raises:
        RefreshBusyError: if another refresh is at work.
    """
    with explained_errors(paths.root, "the refresh"), only_refresh(instance, paths), turn_of(paths, name):
        wave = [Stale(asset, name, ("asked for",), certain=True)]
        return result_of(instance, _run(instance, name, wave, definitions), name)


def add_partitions(instance: dg.DagsterInstance, names: Iterable[str]) -> None:
    """Make a partition of each data set that has none yet."""
    known = set(instance.get_dynamic_partitions(str(datasets.name)))
    new = [name for name in names if name not in known]
    if new:
        instance.add_dynamic_partitions(str(datasets.name), new)


def _examine(waves: Waves, name: str, outcome: Outcome) -> DatasetRefresh:
    """Note what is stale of a data set, or that its source cannot be read."""
    summary, failures = waves.examine(name)
    outcome.failures += failures
    outcome.stale += summary.stale.values()
    outcome.plan += waves.planned(summary.stale.values())
    return summary


def _bring_up_to_date(
    waves: Waves, summary: DatasetRefresh, outcome: Outcome, definitions: dg.Definitions | None
) -> None:
    """Compute wave after wave, until nothing is stale or one fails, and report it."""
    name, stale = summary.dataset, list(summary.stale.values())
    waves.pin(name)
    expect(entry.asset for entry in stale if waves.graph.get(dg.AssetKey(entry.asset)).pools == {DEVICE})
    while not summary.failed and (wave := waves.next(stale)):
        logger.info("%s: materializing %s", name, ", ".join(entry.asset for entry in wave))
        summary.begin(waves.instance, wave)
        result = result_of(waves.instance, _run(waves.instance, name, wave, definitions), name)
        summary.end(result)
        outcome.materialized += result.materialized
        outcome.failed_checks += result.failed_checks
        outcome.failures += result.failures
        summary.note(stale := waves.stale(name))
    outcome.assets += waves.report(summary)


def _run(instance: dg.DagsterInstance, name: str, wave: list[Stale], definitions: dg.Definitions | None) -> str:
    """Compute a wave, each step in a process of its own, and give the id of its run."""
    keys = [dg.AssetKey(entry.asset) for entry in wave]
    if definitions is not None:  # which no other process could load
        job = definitions.resolve_job_def(EVERYTHING)
        return job.execute_in_process(
            instance=instance, partition_key=name, asset_selection=keys, run_config=QUIET, tags=TAGS,
            raise_on_error=False,
        ).run_id  # fmt: skip
    tags = {**TAGS, PARTITION_TAG: name}
    with dg.execute_job(dg.reconstructable(everything), instance, QUIET, tags, asset_selection=keys) as done:
        return done.run_id
