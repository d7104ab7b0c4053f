"""Materializes what is stale, in waves: whatever comes out unchanged ends the chain there.

A wave is one Dagster run of a data set: all that is surely stale. Then what depends on it is asked again. The first run
of a data set is one wave, as everything is missing.
"""

import functools
import logging
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

import dagster as dg

from mmsra_pipeline.config.datasets import list_datasets, load_dataset
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.abandoned_runs import REFRESH_TAG
from mmsra_pipeline.orchestration.failures import Failure, failures_of
from mmsra_pipeline.orchestration.instance import only_refresh
from mmsra_pipeline.orchestration.job_names import EVERYTHING, MODELS
from mmsra_pipeline.orchestration.loading import load_definitions
from mmsra_pipeline.orchestration.materializations import changed_settings, latest
from mmsra_pipeline.orchestration.outcome import MaterializedAsset, Outcome, Planned, asset_outcomes, failed_checks
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh_report import DatasetRefresh, report_refresh
from mmsra_pipeline.orchestration.renewals import Approve, check_approved, renewals
from mmsra_pipeline.orchestration.retraining import pin_what_the_training_saw
from mmsra_pipeline.orchestration.settings_read import dataset_config, loaded_config
from mmsra_pipeline.orchestration.settings_sources import observe_settings, settings_sources
from mmsra_pipeline.orchestration.staleness import Stale, asset_names, next_wave, stale_assets
from mmsra_pipeline.storage.disk import check_free, explained_errors
from mmsra_pipeline.storage.file_hashes import FileHashes
from mmsra_pipeline.storage.leftovers import sweep_all
from mmsra_pipeline.storage.locks import is_locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock, turn_of

SOURCE = "source_files"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # the stages' own log lines reach the terminal
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
        definitions: other assets than those of this package, with a job 'everything'.
        approve: is asked before trainings are repeated because settings changed. None: they are.
        tell: is told what is to be computed of a data set, before it is.

    Raises:
        ConfigError: if ``dataset`` is not described, or ``approve`` says no.
        RefreshBusyError: if another refresh is at work.
        NoSpaceError: if there is too little free space to begin, or none to go on.
    """
    definitions = definitions or load_definitions()
    names = [load_dataset(paths.datasets, dataset).name] if dataset else list_datasets(paths.datasets)
    outcome = Outcome()
    with explained_errors(paths.root, "the refresh"):
        add_partitions(instance, names)
        worker = _Refresh(instance, paths, definitions, leave_out)
        if dry_run:
            for name in names:
                worker.examine(name, outcome)
            return outcome
        with only_refresh(instance, paths):
            sweep_all(paths)
            check_free(paths.root, loaded_config().retention.min_free_gb, "a refresh")
            # First what no run of the UI is at: waiting for a training there must not hold up the others.
            for name in sorted(names, key=lambda name: is_locked(dataset_lock(paths, name))):
                with turn_of(paths, name, loaded_config().limits.run_memory_gb):
                    known = len(outcome.plan)
                    account = worker.examine(name, outcome)
                    if tell and outcome.plan[known:]:
                        tell(outcome.plan[known:])
                    if approve:
                        settings = functools.partial(dataset_config, paths)
                        check_approved(renewals(instance, account.stale.values(), settings), approve)
                    worker.bring_up_to_date(account, outcome)
    return outcome


def add_partitions(instance: dg.DagsterInstance, names: Iterable[str]) -> None:
    """Make a partition of each data set that has none yet."""
    known = set(instance.get_dynamic_partitions(str(datasets.name)))
    new = [name for name in names if name not in known]
    if new:
        instance.add_dynamic_partitions(str(datasets.name), new)


class _Refresh:
    def __init__(
        self, instance: dg.DagsterInstance, paths: Paths, definitions: dg.Definitions, leave_out: Collection[str]
    ) -> None:
        self._instance = instance
        self._paths = paths
        self._graph = definitions.resolve_asset_graph()
        self._job = definitions.resolve_job_def(EVERYTHING)
        self._leave_out = leave_out

    def examine(self, name: str, outcome: Outcome) -> DatasetRefresh:
        """Note what is stale of a data set, or that its source cannot be read."""
        account = DatasetRefresh(name, datetime.now(UTC))
        try:
            self._observe(name)
        except MmsraError as error:
            outcome.failures.append(Failure(name, str(error)))
            account.failed[SOURCE] = str(error)
        else:
            account.note(self._stale(name, self._leave_out))
            outcome.stale += account.stale.values()
            outcome.plan += [self._planned(entry) for entry in account.stale.values()]
        return account

    def bring_up_to_date(self, account: DatasetRefresh, outcome: Outcome) -> None:
        """Compute wave after wave, until nothing is stale or one fails, and report it."""
        from mmsra_pipeline.storage.tables import Store

        name, stale, store = account.dataset, list(account.stale.values()), Store.of(self._paths)
        pin_what_the_training_saw(self._instance, store, name)
        while not account.failed and (wave := next_wave(self._graph, stale)):
            logger.info("%s: materializing %s", name, ", ".join(entry.asset for entry in wave))
            self._materialize(account, wave, outcome)
            account.note(stale := self._stale(name, self._leave_out))
        if not account.failed:
            account.left_out = {entry.asset: entry for entry in self._left_out(name)}
        most = loaded_config().retention.report_rows
        rows = report_refresh(self._instance, store, account, asset_names(self._graph), most_rows=most)
        outcome.assets += asset_outcomes(name, rows)

    def _planned(self, entry: Stale) -> Planned:
        made = latest(self._instance, entry.asset, entry.partition)
        return Planned(entry.asset, entry.partition, entry.reasons, made.seconds if made else None)

    def _observe(self, name: str) -> None:
        """Tell Dagster the content hash of a data set's source files, and its settings."""
        from mmsra_pipeline.ingest.source_hash import source_version

        with FileHashes(self._paths.file_hashes) as hashes:
            version = source_version(load_dataset(self._paths.datasets, name), hashes.of)
        tags = {"dagster/data_version": version}
        self._instance.report_runless_asset_event(dg.AssetObservation(SOURCE, partition=name, tags=tags))
        keys = [key for key in settings_sources() if self._graph.has(key)]
        observe_settings(self._instance, name, dataset_config(self._paths, name), keys)

    def _stale(self, name: str, leave_out: Collection[str]) -> list[Stale]:
        config = dataset_config(self._paths, name)
        return stale_assets(
            self._instance,
            self._graph,
            name,
            leave_out=leave_out,
            exists=lambda asset: self._exists(asset, name),
            changes=lambda asset: changed_settings(asset, latest(self._instance, asset, name), config),
        )

    def _left_out(self, name: str) -> list[Stale]:
        """What would be computed too, were nothing left out; not what was computed with what is left out as it is."""
        if not self._leave_out:
            return []
        return [entry for entry in self._stale(name, ()) if entry.certain or entry.asset in self._leave_out]

    def _exists(self, asset: str, partition: str) -> bool:
        """Whether the table is still there, and the artifact of what was trained or fitted."""
        from mmsra_pipeline.storage.artifacts import Artifacts
        from mmsra_pipeline.storage.tables import Store

        store, artifacts = Store.of(self._paths), Artifacts.of(self._paths)
        if not store.has(asset, partition):
            return False
        return asset not in MODELS or artifacts.has(asset, partition) or store.current(asset, partition).rows == 0

    def _materialize(self, account: DatasetRefresh, wave: list[Stale], outcome: Outcome) -> None:
        name = account.dataset
        account.before |= {entry.asset: latest(self._instance, entry.asset, name) for entry in wave}
        result = self._job.execute_in_process(
            instance=self._instance,
            partition_key=name,
            asset_selection=[dg.AssetKey(entry.asset) for entry in wave],
            run_config=QUIET,
            tags={REFRESH_TAG: "true"},
            raise_on_error=False,
        )
        made = [
            event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key
        ]
        outcome.materialized += [MaterializedAsset(asset, name) for asset in made]
        outcome.failed_checks += failed_checks(result, name)
        failures = failures_of(result, name)
        outcome.failures += failures
        account.failed |= {failure.asset: failure.text for failure in failures}
        for step in self._instance.get_run_step_stats(result.run_id):
            if step.start_time and step.end_time:
                account.seconds[step.step_key] = step.end_time - step.start_time
                account.runs[step.step_key] = result.run_id
