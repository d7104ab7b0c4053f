"""What must hold of a root at any instant, and what must hold of one where nothing is at work."""

import contextlib
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow.parquet as pq

from mmsra_pipeline.storage.catalog import CATALOG
from mmsra_pipeline.storage.files import TEMPORARY
from mmsra_pipeline.storage.hashing import file_hash, folder_hash

BUILDING = re.compile(r"\.sample-.*-\d+")  # the half-made sample store of a process
NO_VERSIONS = {"work", "mlflow", "plots", "configs", "sources", "caches"}  # folders of artifacts without pointers


def versions(root: Path) -> dict[str, str]:
    """Give the current version of each slice and artifact."""
    return {
        pointer.parent.relative_to(root).as_posix(): json.loads(pointer.read_text())["version"]
        for pointer in _pointers(root)
    }


def slice_bytes(root: Path) -> dict[str, str]:
    """Give the hash of each file of a table, of old versions too."""
    return {path.relative_to(root).as_posix(): file_hash(path) for path in sorted(root.glob("data/*/*/*.parquet"))}


def torn(root: Path, known: dict[str, str]) -> list[str]:
    """Say what of that which is published is not whole.

    ``known`` has the hash of the bytes of each file of a table that was whole; what is new and can be read is added.
    The version of a slice cannot be computed from its file: Parquet keeps nothing of what lies under a null.
    """
    return [
        *_torn_slices(root, known),
        *_torn_artifacts(root / "artifacts"),
        *_torn_catalog(root / "data"),
    ]


def lost(before: dict[str, str], root: Path) -> list[str]:
    """Say what was published before and is not there now; a newer version may have taken its place."""
    now = versions(root)
    return [f"{place} {version}" for place, version in before.items() if place not in now]


def temporary_files(root: Path) -> list[Path]:
    """Give all that is named as half-written."""
    journals = ("-journal", "-wal", ".wal")
    return [
        path
        for path in root.rglob("*")
        if path.match(TEMPORARY) or BUILDING.fullmatch(path.name) or (path.name.endswith(journals) and _has(path))
    ]


def held_slots(root: Path) -> list[str]:
    """Give pools with a slot that is taken, and runs that are still said to be at work."""
    with dg.DagsterInstance.from_config(str(root / "dagster_home")) as instance:
        storage = instance.event_log_storage
        pools = [storage.get_concurrency_info(name) for name in storage.get_concurrency_keys()]
        held = [f"pool {pool.concurrency_key}" for pool in pools if pool.active_run_ids | pool.pending_run_ids]
        return held + [f"run {run.run_id} {run.status}" for run in instance.get_runs() if not run.is_finished]


def _torn_slices(root: Path, known: dict[str, str]) -> Iterator[str]:
    rows = {}
    for place, found in slice_bytes(root).items():
        try:
            rows[place] = pq.read_table(root / place, partitioning=None).num_rows
        except (OSError, ValueError) as error:
            yield f"{place} cannot be read: {error}"
        else:
            if found != known.setdefault(place, found):
                yield f"{place} has other bytes than before"
    for pointer in sorted(root.glob("data/*/*/current")):
        current = json.loads(pointer.read_text())
        place = (pointer.parent / f"{current['version']}.parquet").relative_to(root).as_posix()
        if not (root / place).is_file():
            yield f"{pointer} names {place}, which is not there"
        elif rows.get(place) != current["rows"]:
            yield f"{pointer} tells another number of rows than {place} has"


def _torn_artifacts(artifacts: Path) -> Iterator[str]:
    for pointer in sorted(artifacts.glob("*/*/current")):
        version = json.loads(pointer.read_text())["version"]
        if not (pointer.parent / version).is_dir():
            yield f"{pointer} names {version}, which is not there"
    for folder in sorted(artifacts.glob("*/*/*")):
        kind = folder.parent.parent.name
        versioned = kind not in NO_VERSIONS and folder.parent.name != "blobs" and folder.name[0] != "."
        if versioned and folder.is_dir() and folder_hash(folder)[:16] != folder.name:
            yield f"{folder} has other content than its name tells"
    for blob in artifacts.glob("*/blobs/*/[!.]*"):
        if hashlib.sha256(blob.read_bytes()).hexdigest() != blob.stem:
            yield f"{blob} has other content than its name tells"
    for cache in artifacts.glob("caches/**/*.sqlite*"):
        if cache.suffix == ".damaged":
            yield f"{cache} was damaged"
        elif cache.suffix == ".sqlite":
            with contextlib.closing(sqlite3.connect(cache)) as connection:
                if connection.execute("pragma quick_check").fetchall() != [("ok",)]:
                    yield f"{cache} is damaged"


def _torn_catalog(data: Path) -> Iterator[str]:
    if not (data / CATALOG).exists():
        return
    try:
        with duckdb.connect(str(data / CATALOG), read_only=True) as catalog:
            query_all(catalog)
    except duckdb.Error as error:
        yield f"{data / CATALOG}: {error}"


def query_all(catalog: duckdb.DuckDBPyConnection) -> int:
    """Count the rows of every view and give their sum."""
    names = catalog.execute("select view_name from duckdb_views() where not internal").fetchall()
    counts = [catalog.execute(f'select count(columns(*)) from "{name}"').fetchall() for (name,) in names]
    return sum(int(count[0][0]) for count in counts)


def _pointers(root: Path) -> list[Path]:
    return sorted([*root.glob("data/*/*/current"), *root.glob("artifacts/*/*/current")])


def _has(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
