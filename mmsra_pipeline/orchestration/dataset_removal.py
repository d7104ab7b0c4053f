"""Takes a data set out of an installation."""

import contextlib
from pathlib import Path

import dagster as dg

from mmsra_pipeline.config.datasets import dataset_file, load_dataset, remove_dataset
from mmsra_pipeline.errors import ConfigError, MmsraError
from mmsra_pipeline.orchestration.event_removal import forget_curves, forget_events, forget_free_pages
from mmsra_pipeline.orchestration.instance import only_refresh
from mmsra_pipeline.orchestration.job_names import MODELS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.storage.file_hashes import FileHashes
from mmsra_pipeline.storage.files import remove as remove_path
from mmsra_pipeline.storage.locks import try_lock
from mmsra_pipeline.storage.mirror import turn_file
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock


def remove(instance: dg.DagsterInstance, paths: Paths, name: str) -> list[str]:
    """Drop all that there is of a data set, and say what was dropped: tables, artifacts, scores, runs of Dagster and
    MLflow with what they logged, partition and description. Source files stay.

    Pictures, keywords and sentence embeddings are kept by their content and may serve other data sets, so they stay
    too: they are of items, not of users.

    Raises:
        ConfigError: if it is not described.
        MmsraError: if a refresh is at work, or another run of this data set waits or is.
    """
    from mmsra_pipeline.storage.tables import Store

    file = dataset_file(paths.datasets, name)
    if not file.is_file():
        load_dataset(paths.datasets, name)
    own = dataset_lock(paths, name)
    with only_refresh(instance, paths), try_lock(own) as free, contextlib.ExitStack() as turn:
        if not free:
            raise MmsraError(
                f"dataset {name!r} is being computed. Wait until its run has ended, or cancel it in the Dagster UI."
            )
        turn.enter_context(paths.remote.turn(name, f"the data set {name}"))
        runs = forget_events(instance, name)  # first, as it refuses where one has not ended
        curves = forget_curves(paths, name)
        tables = Store.of(paths).remove(name)
        places = [place for place in _places(paths, name) if place.exists() or paths.remote.listing(place)]
        for place in places:
            paths.remote.delete(place)
            remove_path(place)
        forgotten = _forget_files(paths, name)
        known = instance.has_dynamic_partition(str(datasets.name), name)
        if known:
            instance.delete_dynamic_partition(str(datasets.name), name)
        forget_free_pages(instance, paths)
        remove_dataset(paths.datasets, name, paths.remote)
        paths.remote.delete(turn_file(paths.root, name))  # all is done, so another may make it anew
    return [
        f"tables: {', '.join(tables) or 'none'}",
        f"artifacts: {', '.join(map(paths.remote.address, places)) or 'none'}",
        f"remembered source files: {forgotten}",
        f"runs of Dagster: {runs}, of MLflow: {curves}",
        f"partition: {name if known else 'none'}",
        f"description: {paths.remote.address(file)}",
    ]


def _places(paths: Paths, name: str) -> list[Path]:
    """What a data set has among the artifacts; of the stages alone, so that no name reaches another's."""
    return [
        *(paths.artifacts / kind / name for kind in (*MODELS, "sources", "plots", "lists")),
        paths.scores / name,
        *sorted(paths.work.glob(f"*/{name}")),
        dataset_lock(paths, name),
    ]


def _forget_files(paths: Paths, name: str) -> int:
    """Drop what is remembered of the source files, and say of how many."""
    try:
        source = load_dataset(paths.datasets, name).path
    except ConfigError:
        return 0  # its description is broken, so nobody knows where they lie; `mmsra gc` forgets what is gone
    if source is None:
        return 0
    with FileHashes(paths.file_hashes) as hashes:
        return hashes.forget(source)
