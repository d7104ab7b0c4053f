"""Materializes what is stale, in waves: whatever comes out unchanged ends the chain there.

A wave is one Dagster run of a data set: all that is surely stale. Then what depends on it is asked again. The first run
of a data set is one wave, as everything is missing.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from mmsra_pipeline.datasets import list_datasets, load_dataset
from mmsra_pipeline.defs.instance import REFRESH_TAG, only_refresh
from mmsra_pipeline.defs.jobs import COSTLY, EVERYTHING
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.defs.reporting import SETTINGS
from mmsra_pipeline.defs.settings import settings_of
from mmsra_pipeline.defs.staleness import Stale, next_wave, stale_assets
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.paths import Paths

SOURCE = "source_files"
OWN_ERRORS = ("ConfigError", "DataError", "MissingInputError", "MmsraError")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # the stages' own log lines reach the terminal
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """An asset of a data set that was computed."""

    asset: str
    partition: str

    def __str__(self) -> str:
        return f"{self.asset}[{self.partition}]"


@dataclass(frozen=True)
class Failure:
    """Why a data set, or one asset of it, was not brought up to date."""

    partition: str
    text: str


@dataclass
class Outcome:
    """What a refresh found and did."""

    stale: list[Stale] = field(default_factory=list)
    materialized: list[Made] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def refresh(
    instance: dg.DagsterInstance,
    paths: Paths,
    *,
    dataset: str | None = None,
    dry_run: bool = False,
    leave_out: Collection[str] = (),
    definitions: dg.Definitions | None = None,
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

    Raises:
        ConfigError: if ``dataset`` is not described.
        MmsraError: if another refresh is at work.
    """
    if definitions is None:
        from mmsra_pipeline.definitions import defs

        definitions = defs()
    names = [load_dataset(paths.datasets, dataset).name] if dataset else list_datasets(paths.datasets)
    add_partitions(instance, names)
    worker = _Refresh(instance, paths, definitions, leave_out)
    outcome = Outcome()
    if dry_run:
        for name in names:
            worker.examine(name, outcome)
        return outcome
    with only_refresh(instance, paths):
        for name in names:
            if worker.examine(name, outcome):
                worker.bring_up_to_date(name, outcome)
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

    def examine(self, name: str, outcome: Outcome) -> bool:
        """Note what is stale of a data set; False if its source cannot be read."""
        try:
            self._observe(name)
        except MmsraError as error:
            outcome.failures.append(Failure(name, str(error)))
            return False
        outcome.stale += self._stale(name)
        return True

    def bring_up_to_date(self, name: str, outcome: Outcome) -> None:
        """Compute wave after wave, until nothing is stale or one fails."""
        while wave := next_wave(self._graph, self._stale(name)):
            logger.info("%s: materializing %s", name, ", ".join(entry.asset for entry in wave))
            if not self._materialize(name, wave, outcome):
                return

    def _observe(self, name: str) -> None:
        """Tell Dagster the content hash of a data set's source files."""
        from mmsra_pipeline.interactions.sources import source_version

        version = source_version(load_dataset(self._paths.datasets, name))
        tags = {"dagster/data_version": version}
        self._instance.report_runless_asset_event(dg.AssetObservation(SOURCE, partition=name, tags=tags))

    def _stale(self, name: str) -> list[Stale]:
        return stale_assets(
            self._instance,
            self._graph,
            name,
            leave_out=self._leave_out,
            exists=lambda asset: self._exists(asset, name),
            changes=lambda asset: self._changes(asset, name),
        )

    def _exists(self, asset: str, partition: str) -> bool:
        """Whether table, and for a training the adapter, are still there."""
        from mmsra_pipeline.artifacts import Artifacts
        from mmsra_pipeline.store import Store

        store, artifacts = Store(self._paths.data), Artifacts(self._paths.artifacts)
        if not store.has(asset, partition):
            return False
        return asset not in COSTLY or artifacts.has(asset, partition) or store.current(asset, partition).rows == 0

    def _materialize(self, name: str, wave: list[Stale], outcome: Outcome) -> bool:
        result = self._job.execute_in_process(
            instance=self._instance,
            partition_key=name,
            asset_selection=[dg.AssetKey(entry.asset) for entry in wave],
            run_config=QUIET,
            tags={REFRESH_TAG: "true"},
            raise_on_error=False,
        )
        made = (event.asset_key for event in result.get_asset_materialization_events())
        outcome.materialized += [Made(key.to_user_string(), name) for key in made if key]
        outcome.failures += [Failure(name, text) for text in _failures(result)]
        return bool(result.success)

    def _changes(self, asset: str, partition: str) -> list[str]:
        """Say which settings differ from those of the last materialization."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition])
        records = self._instance.fetch_materializations(wanted, limit=1).records
        event = records[0].asset_materialization if records else None
        stored = event.metadata.get(SETTINGS) if event else None
        before: dict[str, Any] = getattr(stored, "data", None) or {}
        now = {path: list(value) if isinstance(value, tuple) else value for path, value in settings_of(asset).items()}
        paths = sorted(set(before) | set(now)) if before else []
        changed = [path for path in paths if path not in before or path not in now or before[path] != now[path]]
        return [f"{path} {before.get(path, 'absent')} -> {now.get(path, 'absent')}" for path in changed]


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Say why steps failed; those that were skipped after them say nothing."""
    texts = []
    run = result.run_id
    for event in result.all_events:
        if event.is_step_failure:
            error: Any = event.step_failure_data.error
            while error.cause is not None:
                error = error.cause
            kind, _, rest = str(error.message).strip().partition(": ")
            own = kind.rpartition(".")[2] in OWN_ERRORS
            frames = [frame.strip() for frame in error.stack if "mmsra_pipeline" in frame]
            unforeseen = f"{kind}: {rest}\n{frames[-1] if frames else ''}\nThe whole trace is in the log of run {run}."
            texts.append(f"{event.step_key}: {rest if own else unforeseen}")
    if not texts and not result.success:
        texts.append(f"run {run} failed; its log is in the Dagster UI")
    return texts
