"""Asks what of a data set is stale, and what of that can be computed at once: the next wave.

The one place where this is asked: by `mmsra refresh`, by the nightly run and by the sensor that goes on with it. It
has no memory: whatever was lost or killed, the next question has the right answer.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from mmsra_pipeline.config.datasets import load_dataset
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.job_names import MODELS
from mmsra_pipeline.orchestration.materializations import changed_settings, latest
from mmsra_pipeline.orchestration.outcome import AssetOutcome, Planned, asset_outcomes
from mmsra_pipeline.orchestration.refresh_report import DatasetRefresh, report_refresh
from mmsra_pipeline.orchestration.retraining import pin_what_the_training_saw
from mmsra_pipeline.orchestration.settings_read import READS, dataset_config, loaded_config, settings_of
from mmsra_pipeline.orchestration.settings_sources import observe_settings, settings_sources
from mmsra_pipeline.orchestration.staleness import AssetGraph, Stale, asset_names, codes_behind, next_wave, stale_assets
from mmsra_pipeline.storage.file_hashes import FileHashes
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.paths import Paths

SOURCE: Final = "source_files"


class Waves:
    """What is stale of the data sets of an installation.

    ``leave_out`` are assets that are not computed; what they made last is used.
    """

    def __init__(
        self, instance: dg.DagsterInstance, paths: Paths, graph: AssetGraph, leave_out: Collection[str] = ()
    ) -> None:
        self.instance = instance
        self.paths = paths
        self.graph = graph
        self._leave_out = leave_out

    def examine(self, name: str, at: datetime | None = None) -> tuple[DatasetRefresh, list[Failure]]:
        """Observe the source and note what is stale, or that the source cannot be read."""
        summary = DatasetRefresh(name, at or datetime.now(UTC))
        try:
            self._observe(name)
        except MmsraError as error:
            summary.failed[SOURCE] = str(error)
            return summary, [Failure(name, str(error))]
        summary.note(self.stale(name))
        return summary, []

    def stale(self, name: str) -> list[Stale]:
        """Return all that is stale of a data set but for what is left out, each asset after those it depends on."""
        return self._stale(name, self._leave_out)

    def next(self, stale: Collection[Stale]) -> list[Stale]:
        """Return what of it can be computed at once."""
        return next_wave(self.graph, stale)

    def planned(self, stale: Collection[Stale]) -> list[Planned]:
        """Return the same with the seconds that each took last time."""
        last = [(entry, latest(self.instance, entry.asset, entry.partition)) for entry in stale]
        return [
            Planned(entry.asset, entry.partition, entry.reasons, before.seconds if before else None)
            for entry, before in last
        ]

    def key(self, name: str, wave: Sequence[Stale]) -> str:
        """Name a wave by its assets, their code and settings, and the last events of them and of what they depend on.

        A wave that was computed well has another key from then on: its assets have newer events.
        """
        behind = codes_behind(self.graph, [entry.asset for entry in wave])
        events = {asset: latest(self.instance, asset, name) for asset in behind}
        numbers = {asset: event.number if event else None for asset, event in events.items()}
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(SOURCE), asset_partitions=[name])
        seen = [record.storage_id for record in self.instance.fetch_observations(wanted, limit=1).records]
        config = dataset_config(self.paths, name)
        settings = {entry.asset: settings_of(entry.asset, config) for entry in wave if entry.asset in READS}
        return fingerprint([name, settings, [entry.asset for entry in wave], behind, numbers, seen])

    def report(self, summary: DatasetRefresh) -> list[AssetOutcome]:
        """Put what became of a data set into ``refresh_report``, and tell Dagster."""
        from mmsra_pipeline.storage.tables import Store

        if not summary.failed:
            summary.left_out = {entry.asset: entry for entry in self._left_out(summary.dataset)}
        rows = report_refresh(
            self.instance,
            Store.of(self.paths),
            summary,
            asset_names(self.graph),
            most_rows=loaded_config().retention.report_rows,
        )
        return asset_outcomes(summary.dataset, rows)

    def pin(self, name: str) -> None:
        """Keep the slices that the recommender was trained on."""
        from mmsra_pipeline.storage.tables import Store

        pin_what_the_training_saw(self.instance, Store.of(self.paths), name)

    def _observe(self, name: str) -> None:
        """Tell Dagster the content hash of a data set's source files, and its settings."""
        from mmsra_pipeline.ingest.source_hash import source_version

        with FileHashes(self.paths.file_hashes) as hashes:
            version = source_version(load_dataset(self.paths.datasets, name), hashes.of)
        tags = {"dagster/data_version": version}
        self.instance.report_runless_asset_event(dg.AssetObservation(SOURCE, partition=name, tags=tags))
        keys = [key for key in settings_sources() if self.graph.has(key)]
        observe_settings(self.instance, name, dataset_config(self.paths, name), keys)

    def _stale(self, name: str, leave_out: Collection[str]) -> list[Stale]:
        config = dataset_config(self.paths, name)
        return stale_assets(
            self.instance,
            self.graph,
            name,
            leave_out=leave_out,
            exists=lambda asset: self._exists(asset, name),
            changes=lambda asset: changed_settings(asset, latest(self.instance, asset, name), config),
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

        store, artifacts = Store.of(self.paths), Artifacts.of(self.paths)
        if not store.has(asset, partition):
            return False
        return asset not in MODELS or artifacts.has(asset, partition) or store.current(asset, partition).rows == 0
