"""Takes a data set out of an installation."""

import shutil
from pathlib import Path

import dagster as dg

from mmsra_pipeline.datasets import load_dataset, remove_dataset
from mmsra_pipeline.defs.instance import only_refresh
from mmsra_pipeline.defs.jobs import COSTLY
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.paths import Paths


def remove(instance: dg.DagsterInstance, paths: Paths, name: str) -> list[str]:
    """Drop tables, artifacts, partition and description of a data set, and say what was dropped. Source files stay.

    Pictures and keywords are kept by their content and may serve other data sets, so they stay too.

    Raises:
        ConfigError: if it is not described.
        MmsraError: if a refresh is at work.
    """
    from mmsra_pipeline.store import Store

    file = paths.datasets / f"{name}.yaml"
    if not file.is_file():
        load_dataset(paths.datasets, name)
    with only_refresh(instance, paths):
        tables = Store(paths.data).remove(name)
        folders = [folder for folder in _folders(paths, name) if folder.is_dir()]
        for folder in folders:
            shutil.rmtree(folder)
        known = instance.has_dynamic_partition(str(datasets.name), name)
        if known:
            instance.delete_dynamic_partition(str(datasets.name), name)
        remove_dataset(paths.datasets, name)
    return [
        f"tables: {', '.join(tables) or 'none'}",
        f"artifacts: {', '.join(str(folder) for folder in folders) or 'none'}",
        f"partition: {name if known else 'none'}",
        f"description: {file}",
    ]


def _folders(paths: Paths, name: str) -> list[Path]:
    """The folders of a data set among the artifacts; those of the stages alone, so that no name reaches another's."""
    work = paths.artifacts / "work"
    return [
        *(paths.artifacts / kind / name for kind in (*COSTLY, "sources", "plots")),
        *(sorted(work.glob(f"*/{name}")) if work.is_dir() else []),
    ]
