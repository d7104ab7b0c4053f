"""Sweeps what killed processes left half written, wherever something is written."""

from collections.abc import Iterator
from pathlib import Path

from mmsra_pipeline.storage.files import sweep
from mmsra_pipeline.storage.paths import Paths

BLOBS = "blobs"


def sweep_all(paths: Paths) -> list[Path]:
    """Remove what dead processes left, but among the blobs, where it takes long to look; give what was removed."""
    return [path for folder in _folders(paths) for path in sweep(folder)]


def _folders(paths: Paths) -> Iterator[Path]:
    """The folders that are written into: of tables, artifacts, work, and what lies beside them."""
    yield paths.datasets
    yield paths.dagster_home
    for root in (paths.data, paths.artifacts):
        yield root
        for pattern in ("*", "*/*", "work/*/*"):
            yield from (folder for folder in root.glob(pattern) if folder.is_dir() and folder.name != BLOBS)
