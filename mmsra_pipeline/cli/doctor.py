"""Looks over an installation: what is there, what is missing, and how to fix it."""

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from packaging.requirements import InvalidRequirement, Requirement

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.datasets import DatasetSpec, config_of, list_datasets, load_dataset
from mmsra_pipeline.config.loading import load_config
from mmsra_pipeline.errors import MissingInputError, MmsraError
from mmsra_pipeline.storage.paths import Paths, find_paths
from mmsra_pipeline.storage.processes import machine_memory

State = Literal["ok", "note", "missing"]
PACKAGE = "mmsra-pipeline"
CONSTRAINTS = "constraints.txt"
FREE_DISK_GB = 5
FREE_MEMORY_GB = 4


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``missing`` must be fixed, ``note`` is worth knowing."""

    state: State
    subject: str
    found: str
    fix: str = ""


def examine() -> list[Finding]:
    """Look at versions, device, disk, memory, settings, weights, the instance and the data sets."""
    paths = find_paths()
    looks: list[Callable[[Paths], Iterator[Finding]]] = [
        _versions, _device, _root, _disk, _memory, _settings, _weights, _instance, _mlflow, _datasets,
    ]  # fmt: skip
    return [finding for look in looks for finding in look(paths)]


def examine_dataset(name: str) -> list[Finding]:
    """Look at one data set: its files, what was refused of them and why, and items without text or picture.

    Raises:
        ConfigError: if there is none of that name.
    """
    paths = find_paths()
    spec = load_dataset(paths.datasets, name)
    return [_dataset(name, spec), *_source(spec), *_rejects(paths, name), *_without(paths, name)]


def _source(spec: DatasetSpec) -> Iterator[Finding]:
    from mmsra_pipeline.ingest.reading import files_reader

    if spec.format == "sample":
        return
    try:
        files = files_reader(spec).files()
    except MmsraError as error:
        yield Finding("missing", "files", str(error))
        return
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in files)
    yield Finding("ok", "files", sizes)


def _rejects(paths: Paths, name: str) -> Iterator[Finding]:
    from mmsra_pipeline.ingest.refused import reject_counts

    try:
        counts = reject_counts(paths, name)
    except MissingInputError as error:
        yield Finding("note", "rejects", "the data set was not read yet", str(error))
        return
    for row in counts.to_dict(orient="records"):
        found = f"{row['rows']} rows of {row['file']}: {row['reason']}; the first in line {row['first_line']}"
        yield Finding("note", "rejects", found, f"See them: `mmsra show rejects --dataset {name}`.")
    if counts.empty:
        yield Finding("ok", "rejects", "no row was refused")


def _without(paths: Paths, name: str) -> Iterator[Finding]:
    from mmsra_pipeline.storage.tables import Store

    store = Store.of(paths)
    for table, flaw, said in (
        (Tables.ITEM_TEXT, "text = ''", "have no text"),
        (Tables.ITEM_IMAGES, "status <> 'ok'", "have no usable picture"),
    ):
        if not store.has(table, name):
            continue
        query = f"select count(*) filter ({flaw}), count(*) from read_parquet($file, hive_partitioning = false)"
        with store.duckdb() as connection:
            file = str(store.current(table, name).path)
            without, count = connection.execute(query, {"file": file}).fetchone() or (0, 0)
        yield Finding("note" if without else "ok", table, f"{without} of {count} items {said}")


def _versions(paths: Paths) -> Iterator[Finding]:
    python = platform.python_version_tuple()
    supported = python[:2] in {("3", "11"), ("3", "12")}
    yield Finding(
        "ok" if supported else "missing",
        "python",
        platform.python_version(),
        "" if supported else "Use Python 3.11 or 3.12: `make setup`.",
    )
    wrong = [*_unmet(_declared(), "missing"), *_unmet(_constraints(paths.root / CONSTRAINTS), "note")]
    yield from wrong or [Finding("ok", "packages", "all have the versions that were tried together")]


def _declared() -> list[Requirement]:
    declared = map(Requirement, importlib.metadata.requires(PACKAGE) or [])
    return [needed for needed in declared if needed.marker is None or needed.marker.evaluate({"extra": ""})]


def _constraints(file: Path) -> list[Requirement]:
    found = []
    for line in file.read_text().splitlines() if file.is_file() else []:
        try:
            found.append(Requirement(line.partition("#")[0].strip()))
        except InvalidRequirement:
            continue  # options of pip and comments
    return [pin for pin in found if _installed(pin.name)]


def _unmet(requirements: list[Requirement], state: State) -> Iterator[Finding]:
    for needed in requirements:
        version = _installed(needed.name)
        if version is None:
            yield Finding(state, needed.name, "not installed", "Install it: `make setup`.")
        elif not needed.specifier.contains(version, prereleases=True):
            fix = f"Install {needed.name}{needed.specifier}: `make setup`."
            yield Finding(state, needed.name, f"{version}, wanted {needed.specifier}", fix)


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device(_paths: Paths) -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("missing", "device", f"torch cannot be imported: {error}", "Install it: `make setup`.")
        return
    cores = os.cpu_count()
    if torch.cuda.is_available():
        name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Finding("ok", "device", f"{name}, {memory:.0f} GB; {cores} CPU cores")
    else:
        yield Finding("ok", "device", f"CPU, {cores} cores, {torch.get_num_threads()} threads; no CUDA device")


def _root(paths: Paths) -> Iterator[Finding]:
    where = paths.remote.address(paths.root)
    yield Finding("ok", "root", f"{where}, mirrored in {paths.root}" if paths.remote.is_store else where)
    if paths.remote.is_store and "DAGSTER_HOME" not in os.environ:
        yield Finding(
            "note",
            "dagster",
            f"what was computed when is known in {paths.dagster_home} alone, a folder of the mirror",
            "Set DAGSTER_HOME to a folder that is kept; for several machines one with Postgres storage.",
        )


def _disk(paths: Paths) -> Iterator[Finding]:
    free = shutil.disk_usage(paths.root).free / 2**30
    fix = f"Free {FREE_DISK_GB} GB, or set MMSRA_ROOT to a folder on a larger disk." if free < FREE_DISK_GB else ""
    yield Finding("note" if fix else "ok", "disk", f"{free:.1f} GB free at {paths.root}", fix)


def _memory(_paths: Paths) -> Iterator[Finding]:
    free = min(psutil.virtual_memory().available, machine_memory()) / 2**30
    fix = f"The demo needs about {FREE_MEMORY_GB} GB: close other programs." if free < FREE_MEMORY_GB else ""
    yield Finding("note" if fix else "ok", "memory", f"{free:.1f} GB available", fix)


def _settings(_paths: Paths) -> Iterator[Finding]:
    try:
        load_config()
    except MmsraError as error:
        yield Finding("missing", "settings", str(error), "Fix the file, or unset MMSRA_CONFIG.")
    else:
        yield Finding("ok", "settings", os.environ.get("MMSRA_CONFIG") or "preset sample")


def _weights(paths: Paths) -> Iterator[Finding]:
    from mmsra_pipeline.backbone.embedded.packaged_weights import sources
    from mmsra_pipeline.storage.artifacts import Artifacts

    for source in sources():
        try:
            source.checked_path()
        except MmsraError as error:
            yield Finding("missing", source.package, str(error))
        else:
            yield Finding("ok", source.package, f"weights as pinned; licence: {source.licence}")
    built = Artifacts.of(paths).has("backbone", "embedded")
    yield Finding("ok", "backbone", "built" if built else "not built yet; the first refresh builds it")


def _instance(paths: Paths) -> Iterator[Finding]:
    home = paths.dagster_home
    remark = "" if (home / "dagster.yaml").is_file() else ", made by the first command"
    yield Finding("ok", "dagster", f"instance in {home}{remark}")


def _mlflow(paths: Paths) -> Iterator[Finding]:
    from mmsra_pipeline.telemetry.mlflow_database import schema_state

    found, fix = schema_state(paths.mlflow_uri)
    yield Finding("missing" if fix else "ok", "mlflow", found, fix)


def _datasets(paths: Paths) -> Iterator[Finding]:
    names = list_datasets(paths.datasets)
    if not names:
        fix = "Add one: `mmsra dataset add sample --format sample`."
        yield Finding("note", "datasets", f"none in {paths.datasets}", fix)
    for name in names:
        try:
            spec = load_dataset(paths.datasets, name)
        except MmsraError as error:
            yield Finding("missing", f"dataset {name}", str(error))
            continue
        yield _dataset(name, spec)


def _dataset(name: str, spec: DatasetSpec) -> Finding:
    if spec.path is not None and not spec.path.is_dir():
        fix = f"Put the files there, or correct `path` in {spec.file}."
        return Finding("missing", f"dataset {name}", f"{spec.path} is not a folder", fix)
    try:
        config_of(spec)
    except MmsraError as error:
        return Finding("missing", f"dataset {name}", str(error))
    own = [f"preset {spec.preset}"] if spec.preset else []
    own += [f"settings of its own for {', '.join(spec.settings)}"] if spec.settings else []
    details = [f"format {spec.format}", str(spec.path or "made by code"), *own]
    return Finding("ok", f"dataset {name}", ", ".join(details))
