"""Who computes when: one process a data set, as many data sets at once as memory allows, one process a device.

All of these are locks of the operating system in the folder of work, so a kill leaves none behind, and runs of
Dagster and `mmsra refresh` take turns alike (docs/decisions/0006). They are taken in this order: data set (if the root
is in an object store, then among machines too), place in memory, work, device. So nobody waits for one who waits for
him.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mmsra_pipeline.storage.locks import POLL_SECONDS, locked, try_lock
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.processes import machine_memory

GB: Final = 1e9
logger = logging.getLogger(__name__)
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
def turn_of(paths: Paths, dataset: str, run_memory_gb: float) -> Iterator[None]:
    """Wait until no other process computes the data set and memory has a place for it, and hold both.

    A process that has the turn already goes on: a refresh has it for all its runs. At least one data set is computed at
    a time, however little memory there is.

    Args:
        paths: the installation.
        dataset: what will be computed.
        run_memory_gb: what computing one data set is reckoned to need.
    """
    own = dataset_lock(paths, dataset)
    if own in _ours:
        yield
        return
    what = f"the data set {dataset}"
    with locked(own, what), paths.remote.turn(dataset, what), _place(paths.work, run_memory_gb):
        _ours.add(own)
        try:
            yield
        finally:
            _ours.discard(own)


@contextlib.contextmanager
def _place(folder: Path, run_memory_gb: float) -> Iterator[None]:
    """Hold one of as many places as runs fit into memory."""
    memory = machine_memory() / GB
    places = max(int(memory / run_memory_gb), 1)
    waiting = False
    with contextlib.ExitStack() as held:
        while not any(held.enter_context(try_lock(folder / f".place-{number}.lock")) for number in range(places)):
            if not waiting:
                logger.info(
                    "waiting for memory: %d at work, as many as fit into %.1f GB (limits.run_memory_gb: %g)",
                    places,
                    memory,
                    run_memory_gb,
                )
            waiting = True
            held.close()
            time.sleep(POLL_SECONDS)
        yield
