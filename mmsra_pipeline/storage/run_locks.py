"""Who computes a data set and who has a model on a device: one process at a time.

Runs of the queue are ordered by Dagster's pools and limits (docs/decisions/0016); these locks of the operating system
order them and a `mmsra refresh` in a terminal, which no queue knows. A kill leaves none behind. They are taken in this
order: data set (if the root is in an object store, then among machines too), work, device. So nobody waits for one who
waits for him.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.paths import Paths

_ours: set[Path] = set()  # data sets whose turn this process has


def dataset_lock(paths: Paths, dataset: str) -> Path:
    """Return the file whose lock a process holds while it computes a data set."""
    return paths.work / f".dataset-{dataset}.lock"


def device_lock(paths: Paths, device: str) -> Path:
    """Return the file whose lock a process holds while it has a model on a device."""
    return paths.work / f".device-{device}.lock"


def work_lock(paths: Paths, work: str) -> Path:
    """Return the file whose lock a process holds while it computes what ``work``, a hexadecimal fingerprint, names.

    Works share 256 of them, so that no file is left for each. Who waits for one holds no device.
    """
    return paths.work / f".work-{work[:2]}.lock"


@contextlib.contextmanager
def turn_of(paths: Paths, dataset: str) -> Iterator[None]:
    """Wait until no other process computes the data set, and hold its turn.

    A process that has the turn already goes on: a refresh has it for all its runs.
    """
    own = dataset_lock(paths, dataset)
    if own in _ours:
        yield
        return
    what = f"the data set {dataset}"
    with locked(own, what), paths.remote.turn(dataset, what):
        _ours.add(own)
        try:
            yield
        finally:
            _ours.discard(own)
