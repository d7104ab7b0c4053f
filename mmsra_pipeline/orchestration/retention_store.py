"""What of an object store, and of its mirror on this machine, is not needed any more. Nothing is removed here.

As in ``retention``, what is current, pinned, or younger than the grace is never found: younger by the store's clock.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from mmsra_pipeline.config.operation import RetentionConfig
from mmsra_pipeline.storage.artifacts import Artifacts, by_version
from mmsra_pipeline.storage.cache_file import FORMER
from mmsra_pipeline.storage.mirror import NOTHING, Entry
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.tables import Store

HOUR = 3600.0
OWN = frozenset({"work", "sources", "images", "mlflow", "caches"})
"""Kinds of artifacts whose folders are no versions."""
COPY = "copy of what the object store does not have any more"


@dataclass(frozen=True)
class Old:
    """A file or folder that may go, and why."""

    entry: Entry
    why: str
    only_here: bool = False
    """The object store does not have it."""


def old_objects(paths: Paths, config: RetentionConfig, used_configs: Collection[str]) -> list[Old]:
    """Return what may go of tables, artifacts, plots and stored configurations in the store, and of copies here.

    Args:
        paths: the installation; its root mirrors an object store.
        config: the rules.
        used_configs: names of stored configurations that materializations point to.
    """
    tables, files = paths.remote.listing(paths.data), paths.remote.listing(paths.artifacts)
    there = {entry.path for entry in (*tables, *files)}
    found = [
        *(Old(entry, "old version of a table") for entry in _old_slices(paths, tables, config.versions)),
        *(Old(entry, "old version of an artifact") for entry in _old_artifacts(paths, files, config.versions)),
        *(Old(entry, "plot of no table") for entry in files if _is_plot_of_nothing(paths, entry.path, there)),
        *(
            Old(entry, "configuration of no materialization")
            for entry in files
            if entry.path.parent == paths.artifacts / "configs" and entry.path.name not in used_configs
        ),
        *(Old(entry, "cache of an earlier version") for entry in files if _is_in(entry.path, paths.artifacts, FORMER)),
        *(Old(entry, COPY, only_here=True) for entry in _copies(paths, there)),
    ]
    before = time.time() - config.grace_hours * HOUR
    return [old for old in found if old.entry.changed < before]


def _old_slices(paths: Paths, tables: list[Entry], kept: int) -> Iterator[Entry]:
    store = Store.of(paths)
    slices = [entry for entry in tables if entry.path.suffix == ".parquet"]
    for folder, group in groupby(slices, key=lambda entry: entry.path.parent):
        needed = store.needed(folder.parent.name, folder.name)
        old = [entry for entry in group if entry.path.stem not in needed]
        yield from sorted(old, key=lambda entry: entry.changed, reverse=True)[kept:]


def _old_artifacts(paths: Paths, files: list[Entry], kept: int) -> Iterator[Entry]:
    artifacts = Artifacts.of(paths)
    for pointer in files:
        home = pointer.path.parent
        if pointer.path.name == "current" and home.parent.parent == paths.artifacts:
            current = artifacts.version(home.parent.name, home.name)
            versions = by_version([entry for entry in files if entry.path.is_relative_to(home)], home)
            yield from [entry for entry in versions if entry.path.name != current][kept:]


def _is_in(path: Path, root: Path, names: Collection[str]) -> bool:
    return path.relative_to(root).parts[0] in names


def _is_plot_of_nothing(paths: Paths, path: Path, there: Collection[Path]) -> bool:
    is_plot = path.suffix == ".png" and path.parent.parent == paths.artifacts / "plots"
    return is_plot and paths.data / path.stem / path.parent.name / "current" not in there


def _copies(paths: Paths, there: Collection[Path]) -> Iterator[Entry]:
    """What lies here of what never changes and is not there; versions of artifacts as a whole."""
    for root, pattern in (
        (paths.data, "*/*/*.parquet"),
        (paths.artifacts, "images/blobs/*/*"),
        (paths.artifacts, "plots/*/*.png"),
        (paths.artifacts, "configs/*.json"),
    ):
        yield from (entry for entry in NOTHING.find(root, pattern) if entry.path not in there)
    holding = {folder for path in there for folder in path.parents}
    for home in sorted(path for path in paths.artifacts.glob("*/*") if path.is_dir()):
        if home.parent.name in OWN:
            continue
        yield from (entry for entry in by_version(NOTHING.listing(home), home) if entry.path not in holding)
