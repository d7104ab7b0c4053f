"""Locks between processes. The operating system holds them, so a process that is killed leaves none behind."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

POLL_SECONDS = 0.5  # a wait that is asked now and then can be interrupted at once
logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(path: Path, what: str, poll_seconds: float = POLL_SECONDS) -> Iterator[None]:
    """Wait until no other process holds the lock of that file, and hold it; ``what`` names it in the log."""
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.info("waiting for another process to be done with %s", what)
        lock.acquire(poll_interval=poll_seconds)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of that file if no process has it, and say whether it is held now."""
    lock = _lock(path)
    with contextlib.suppress(Timeout):
        lock.acquire(blocking=False)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of that file."""
    if not path.is_file():
        return False
    with try_lock(path) as free:
        return not free


def _lock(path: Path) -> FileLock:
    """Return the lock, which threads may pass on. Without ``flock`` it fails: a lock that is a file outlives a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, thread_local=False, fallback_to_soft=False)
