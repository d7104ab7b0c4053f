"""Locks between processes. The operating system holds them, so a process that is killed leaves none behind."""

import contextlib
import fcntl
import logging
import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.5  # a wait that is asked now and then can be interrupted at once
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Wait until no other process holds the lock of that file, and hold it; ``what`` names it in the log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        waiting = False
        while not _taken(handle.fileno()):
            if not waiting:
                logger.info("waiting for another process to be done with %s", what)
            waiting = True
            time.sleep(POLL_SECONDS)
        yield


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of that file if no process has it, and say whether it is held now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        yield _taken(handle.fileno())


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of that file."""
    if not path.is_file():
        return False
    with path.open() as handle:
        return not _taken(handle.fileno())


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
