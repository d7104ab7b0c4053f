"""Removes what an installation does not need any more: files, runs of Dagster, runs of MLflow."""

import itertools
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.operation import RetentionConfig
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.abandoned_runs import at_work
from mmsra_pipeline.orchestration.instance import only_refresh
from mmsra_pipeline.orchestration.materializations import Materialization, latest
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.retraining import pin_what_the_training_saw, watched
from mmsra_pipeline.orchestration.settings_sources import settings_sources
from mmsra_pipeline.orchestration.staleness import AssetGraph, asset_names
from mmsra_pipeline.storage.cache_file import cache_files
from mmsra_pipeline.storage.file_hashes import FileHashes
from mmsra_pipeline.storage.files import remove
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.storage.mirror import NOTHING
from mmsra_pipeline.storage.paths import Paths

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.retention import Removable

ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
MLFLOW_LINK: Final = re.compile(r"\[([0-9a-f]{32})\]")


@dataclass(frozen=True)
class RemovableRun:
    """A run that may go, with the files that go with it."""

    of: str
    """Dagster or MLflow."""
    run_id: str
    files: tuple[Path, ...]
    bytes: int


@dataclass(frozen=True)
class RemovableEntries:
    """What may go of a cache."""

    path: Path
    entries: int
    bytes: int


@dataclass
class Removal:
    """What may go, or went."""

    files: "list[Removable]" = field(default_factory=list)
    runs: list[RemovableRun] = field(default_factory=list)
    caches: list[RemovableEntries] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Of all files and entries of caches; what databases shrink by is not counted."""
        sizes = [one.bytes for one in self.files] + [one.bytes for one in self.runs]
        return sum(sizes) + sum(one.bytes for one in self.caches)

    def lines(self) -> list[str]:
        """Say it, one line a file, folder, cache or run."""
        files = [f"{file.bytes:>12} {file.path}  ({file.why})" for file in self.files]
        caches = [f"{one.bytes:>12} {one.entries} unused entries of {one.path}" for one in self.caches]
        return files + caches + [f"{run.bytes:>12} run {run.run_id} of {run.of}" for run in self.runs]

    def as_json(self) -> dict[str, Any]:
        """Say it in JSON-like values."""
        return {
            "bytes": self.bytes,
            "files": [{"path": str(file.path), "why": file.why, "bytes": file.bytes} for file in self.files],
            "caches": [{"path": str(one.path), "entries": one.entries, "bytes": one.bytes} for one in self.caches],
            "runs": [{"of": run.of, "run_id": run.run_id, "bytes": run.bytes} for run in self.runs],
        }


def collect(
    instance: dg.DagsterInstance, paths: Paths, graph: AssetGraph, config: RetentionConfig, *, dry_run: bool
) -> Removal:
    """Remove what is not needed any more, or with ``dry_run`` only say what that is.

    Raises:
        RefreshBusyError: if a refresh is at work.
        MmsraError: if another run is: what it reads or has just written could look unused.
    """
    from mmsra_pipeline.storage.tables import Store

    if dry_run:
        return _found(instance, paths, graph, config)
    with only_refresh(instance, paths):
        if running := at_work(instance):
            first = f"run {running[0].run_id} of job {running[0].job_name}"
            raise MmsraError(f"{first} is at work. Wait until it has ended, or cancel it in the Dagster UI.")
        for name in _partitions(instance):
            pin_what_the_training_saw(instance, Store.of(paths), name)
        found = _found(instance, paths, graph, config)
        for entry in found.files:
            if entry.stored:
                paths.remote.delete(entry.path)
            remove(entry.path)
        _trimmed(paths, config, dry_run=False)
        _remove_runs(instance, paths, found.runs)
        with FileHashes(paths.file_hashes) as hashes:
            hashes.forget_missing()
    return found


def _found(instance: dg.DagsterInstance, paths: Paths, graph: AssetGraph, config: RetentionConfig) -> Removal:
    from mmsra_pipeline.orchestration.retention import removable_files

    current = list(_current(instance, graph))
    configs = {Path(str(event.metadata["config"])).name for event in current if event.metadata.get("config")}
    files = removable_files(paths, config, used_configs=configs)
    files += _pictures(paths, config, {entry.path for entry in files})
    before = datetime.now(UTC) - timedelta(days=config.run_days)
    runs = [*_dagster_runs(instance, {event.run_id for event in current}, before)]
    runs += _mlflow_runs(paths, current, before)
    return Removal(files, runs, _trimmed(paths, config, dry_run=True))


def _trimmed(paths: Paths, config: RetentionConfig, *, dry_run: bool) -> list[RemovableEntries]:
    """What goes of the caches; of a shared one it goes for all machines."""
    gone = []
    for path in cache_files(paths.caches):
        remote = paths.remote if path in paths.shared_caches and not dry_run else NOTHING
        if path != paths.file_hashes:  # which are forgotten with their files
            with KeyedCache[str](path, remote) as cache:
                found = cache.trim(unused_days=config.cache_days, max_bytes=config.cache_gb * 1e9, dry_run=dry_run)
            if found.entries:
                gone.append(RemovableEntries(path, found.entries, found.bytes))
    return gone


def _current(instance: dg.DagsterInstance, graph: AssetGraph) -> Iterator[Materialization]:
    """The materializations that staleness and the next retraining are judged by: their runs are kept."""
    for name in _partitions(instance):
        for asset in (*asset_names(graph), Tables.REFRESH_REPORT):
            if event := latest(instance, asset, name):
                yield event
        yield from (table.then for table in watched(instance, name) if table.then)


def _partitions(instance: dg.DagsterInstance) -> list[str]:
    return list(instance.get_dynamic_partitions(str(datasets.name)))


def _pictures(paths: Paths, config: RetentionConfig, going: set[Path]) -> "list[Removable]":
    from mmsra_pipeline.items.unused_pictures import unused_pictures
    from mmsra_pipeline.orchestration.retention import HOUR, Removable
    from mmsra_pipeline.storage.artifacts import Artifacts

    kept = [entry.path for entry in paths.remote.find(paths.data / Tables.ITEM_IMAGES, "*/*.parquet")]
    slices = [path for path in kept if path not in going and paths.remote.fetch(path)]
    before = time.time() - config.grace_hours * HOUR
    return [
        Removable(entry.path, "picture of no table", entry.bytes, stored=paths.remote.is_store)
        for entry in unused_pictures(Artifacts.of(paths), slices)
        if entry.changed < before
    ]


def _dagster_runs(instance: dg.DagsterInstance, kept: set[str], before: datetime) -> Iterator[RemovableRun]:
    """Runs that ended long ago. With a run Dagster deletes its materializations, so those of current ones stay."""
    from mmsra_pipeline.orchestration.retention import size

    kept = kept | _observers(instance)
    home = Path(instance.root_directory)
    for run in instance.get_runs(dg.RunsFilter(statuses=ENDED, updated_before=before)):
        if run.run_id and run.run_id not in kept:
            files = (home / "history" / "runs" / f"{run.run_id}.db", home / "storage" / run.run_id)
            there = tuple(path for path in files if path.exists())
            yield RemovableRun("Dagster", run.run_id, there, sum(map(size, there)))


def _observers(instance: dg.DagsterInstance) -> set[str]:
    """The runs that last observed the sources."""
    found = set()
    for name, key in itertools.product(_partitions(instance), (dg.AssetKey("source_files"), *settings_sources())):
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[name])
        found |= {record.run_id for record in instance.fetch_observations(wanted, limit=1).records}
    return found


def _mlflow_runs(paths: Paths, current: Iterable[Materialization], before: datetime) -> Iterator[RemovableRun]:
    """Runs of long ago, but for those that made a current adapter and those that these are nested in.

    A tracking server is looked after by whoever runs it.
    """
    from mmsra_pipeline.orchestration.retention import size
    from mmsra_pipeline.telemetry.tracking import runs_before

    if not (paths.mlflow_uri.startswith("sqlite:///") and Path(paths.mlflow_uri.removeprefix("sqlite:///")).is_file()):
        return
    links = [MLFLOW_LINK.match(str(event.metadata.get("mlflow_run"))) for event in current]
    kept = {link[1] for link in links if link}
    old = runs_before(paths.mlflow_uri, before.timestamp())
    kept |= {run.parent_id for run in old if run.run_id in kept and run.parent_id}
    for run in old:
        if run.run_id not in kept:
            there = (run.artifacts,) if run.artifacts and run.artifacts.exists() else ()
            yield RemovableRun("MLflow", run.run_id, there, sum(map(size, there)))


def _remove_runs(instance: dg.DagsterInstance, paths: Paths, runs: Iterable[RemovableRun]) -> None:
    from mmsra_pipeline.telemetry.tracking import delete_runs

    of_mlflow = [run.run_id for run in runs if run.of == "MLflow"]
    if of_mlflow:
        delete_runs(paths.mlflow_uri, of_mlflow)
    for run in runs:
        if run.of == "Dagster":
            instance.delete_run(run.run_id)
        for path in run.files:
            remove(path)
