"""What of the files of an installation is not needed any more. Nothing is removed here: what is found can be looked at.

Never found: what is current, pinned, younger than the grace, or the work of a training that goes on.
"""

import contextlib
import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmsra_pipeline.config.operation import RetentionConfig
from mmsra_pipeline.orchestration.job_names import MODELS
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.cache_file import DAMAGED, FORMER
from mmsra_pipeline.storage.files import TEMPORARY, is_abandoned
from mmsra_pipeline.storage.locks import is_locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.processes import lives
from mmsra_pipeline.storage.run_locks import dataset_lock
from mmsra_pipeline.storage.tables import Store

HOUR, DAY = 3600.0, 86400.0
LEFT: Final = "left half written by a process that is gone"
SAMPLE_BUILDING: Final = re.compile(r"\.sample-.*-(\d+)")  # the half-made sample store of a process


@dataclass(frozen=True)
class Removable:
    """A file or folder that may go, and why."""

    path: Path
    why: str
    bytes: int
    stored: bool = False
    """Whether the object store behind the folder has it, and loses it too."""


def removable_files(paths: Paths, config: RetentionConfig, *, used_configs: Collection[str]) -> list[Removable]:
    """Return what may go of tables, artifacts, work, temporary files, plots and stored configurations.

    Args:
        paths: the installation.
        config: the rules.
        used_configs: names of stored configurations that materializations point to.
    """
    if paths.remote.is_store:
        return _of_a_mirror(paths, config, used_configs)
    found = [
        *_temporary(paths),
        *((path, "old version of a table") for path in _old_slices(Store.of(paths), config.versions)),
        *((path, "old version of an artifact") for path in _old_artifacts(Artifacts.of(paths), config.versions)),
        *_work(paths, config),
        *_no_caches(paths),
        *((path, "plot of no table") for path in _plots(paths)),
        *((path, "configuration of no materialization") for path in _configs(paths, used_configs)),
    ]
    return _aged(found, config)


def _aged(found: Iterable[tuple[Path, str]], config: RetentionConfig) -> list[Removable]:
    aged = [(path, why) for path, why in found if why == LEFT or not within_grace(path, config)]
    return [Removable(path, why, size(path)) for path, why in aged]


def _of_a_mirror(paths: Paths, config: RetentionConfig, used_configs: Collection[str]) -> list[Removable]:
    """What is of this machine alone, by the clock here; and what the object store has."""
    from mmsra_pipeline.orchestration.retention_store import old_objects

    own = _aged([*_temporary(paths), *_work(paths, config), *_no_caches(paths)], config)
    old = old_objects(paths, config, used_configs)
    return own + [Removable(one.entry.path, one.why, one.entry.bytes, stored=not one.only_here) for one in old]


def within_grace(path: Path, config: RetentionConfig) -> bool:
    """Whether a file, or anything in a folder, changed so lately that somebody may be at it."""
    return newest(path) >= time.time() - config.grace_hours * HOUR


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(_stat(file)[0] for file in files if not file.is_dir())


def newest(path: Path) -> float:
    """When a file or anything in a folder was changed last, in seconds since 1970 UTC."""
    return max((_stat(file)[1] for file in (path, *(path.rglob("*") if path.is_dir() else []))), default=0.0)


def _stat(path: Path) -> tuple[int, float]:
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        return found.st_size, found.st_mtime
    return 0, 0.0


def _temporary(paths: Paths) -> Iterator[tuple[Path, str]]:
    for root in (paths.data, paths.artifacts, paths.datasets, paths.dagster_home):
        yield from ((path, LEFT) for path in root.rglob(TEMPORARY) if is_abandoned(path))
    for path in paths.artifacts.glob("sources/*/.sample-*"):
        found = SAMPLE_BUILDING.fullmatch(path.name)
        if found and not lives(int(found[1])):
            yield path, LEFT


def _old_slices(store: Store, kept: int) -> Iterator[Path]:
    # What was staged and never published has no pointer beside it, or the pointer to another version.
    for folder in sorted({path.parent for path in store.root.glob("*/*/*.parquet")}):
        table, dataset = folder.parent.name, folder.name
        needed = store.needed(table, dataset)
        old = [entry.path for entry in store.versions(table, dataset) if entry.path.stem not in needed]
        yield from old[kept:]


def _old_artifacts(artifacts: Artifacts, kept: int) -> Iterator[Path]:
    homes = {pointer.parent for pointer in artifacts.root.glob("*/*/current")}
    homes |= {path for kind in MODELS for path in artifacts.root.glob(f"{kind}/*") if path.is_dir()}
    for home in sorted(homes):
        current = artifacts.version(home.parent.name, home.name)
        old = [path for path in home.iterdir() if path.is_dir() and path.name[0] != "."]
        old.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        yield from [path for path in old if path.name != current][kept:]


def _work(paths: Paths, config: RetentionConfig) -> Iterator[tuple[Path, str]]:
    """Folders of work that has ended, or that nobody went on with."""
    abandoned = time.time() - config.work_days * DAY
    store = Store.of(paths)
    for folder in sorted(paths.work.glob("*/*/*")):
        asset, dataset = folder.parent.parent.name, folder.parent.name
        if not folder.is_dir() or is_locked(dataset_lock(paths, dataset)):
            continue
        pointer = store.root / asset / dataset / "current"
        if pointer.is_file() and pointer.stat().st_mtime >= newest(folder):
            yield folder, "work that has ended"
        elif newest(folder) < abandoned:
            yield folder, "work that nobody went on with"


def _no_caches(paths: Paths) -> Iterator[tuple[Path, str]]:
    """What looks like a cache and is read by nobody."""
    yield from ((path, "damaged cache") for path in sorted(paths.caches.rglob(f"*{DAMAGED}")))
    for name in FORMER:
        if (paths.artifacts / name).exists():
            yield paths.artifacts / name, "cache of an earlier version"


def _plots(paths: Paths) -> Iterator[Path]:
    store = Store.of(paths)
    for path in sorted((paths.artifacts / "plots").glob("*/*.png")):
        if not store.has(path.stem, path.parent.name):
            yield path


def _configs(paths: Paths, used: Collection[str]) -> Iterator[Path]:
    yield from (path for path in sorted((paths.artifacts / "configs").glob("*.json")) if path.name not in used)
