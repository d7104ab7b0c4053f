"""Writing that a kill cannot tear, and names that are safe as file names."""

import contextlib
import functools
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.storage.processes import lives

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
TEMPORARY = ".*-*.tmp*"  # DuckDB puts a ".wal" behind its name


def write_atomically(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` so that any reader, at any instant, sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = temporary(path.parent)
    try:
        with beside.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)


def temporary(folder: Path) -> Path:
    """Return a place in ``folder`` for what is yet to be completed and renamed. Its name tells ``sweep`` whose."""
    return folder / f".{_this_process(os.getpid())}-{secrets.token_hex(4)}.tmp"


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Return an empty folder in ``folder`` that is gone afterwards, unless it was renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    created = temporary(folder)
    created.mkdir()
    try:
        yield created
    finally:
        remove(created)


def is_abandoned(path: Path) -> bool:
    """Whether ``path`` is named as a temporary file or folder, '.PID-….tmp', of a process that is no more."""
    pid = path.name[1:].split("-", 1)[0]
    if not (path.match(TEMPORARY) and pid.isdigit()):
        return False
    # In a container each process may have the number of the one that was killed before it.
    own = int(pid) == os.getpid() and not path.name.startswith(f".{_this_process(os.getpid())}-")
    return own or not lives(int(pid))


def sweep(folder: Path) -> list[Path]:
    """Remove what processes that are no more left half written in ``folder``, and give it."""
    left = [path for path in folder.glob(TEMPORARY) if is_abandoned(path)]
    for path in left:
        remove(path)
    return left


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it; nothing to do where another process was faster."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@functools.cache
def _this_process(pid: int) -> str:
    return f"{pid}-{secrets.token_hex(4)}"


def sync_file(file: Path) -> None:
    """Make what was written to a file by others survive a loss of power."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clean_name(name: str) -> str:
    """Return ``name`` back if it is safe as a folder name.

    Raises:
        ConfigError: if it is not, so that no name can lead out of its folder.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a dataset or table. Use 1 to 64 letters, digits, '_', '-' or '.', "
            "and begin with a letter or digit."
        )
    return name
