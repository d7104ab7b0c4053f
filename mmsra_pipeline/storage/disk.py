"""Free space: asked for before long work, and reported plainly where it ran out."""

import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mmsra_pipeline.errors import NoSpaceError

GB = 1e9
FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SQLITE_FULL: Final = {"SQLITE_FULL", "SQLITE_IOERR_WRITE"}  # the second where a quota or a bound of files is met
NEXT_TO_NOTHING: Final = 1_000_000  # bytes; with less free, any other "disk I/O error" of SQLite is of a full disk


def check_free(folder: Path, least_gb: float, purpose: str) -> None:
    """See that the disk of ``folder``, which need not be there yet, has space for ``purpose``.

    Raises:
        NoSpaceError: saying how much is free and how to get more.
    """
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free / GB
    if free < least_gb:
        raise NoSpaceError(
            f"{purpose} needs {least_gb:g} GB of free space and {there} has {free:.1f} GB. See what "
            "`mmsra gc --dry-run` would remove, set MMSRA_ROOT (with a root in an object store: "
            "MMSRA_SCRATCH) to a folder on a larger disk, or lower retention.min_free_gb."
        )


@contextlib.contextmanager
def explained_errors(folder: Path, purpose: str) -> Iterator[None]:
    """Have an error that comes of a full disk or quota say so; it may come out of any library that writes.

    Raises:
        NoSpaceError: in place of it.
    """
    try:
        yield
    except Exception as error:
        full = next((cause for cause in _causes(error) if _is_of_a_full_disk(cause, folder)), None)
        if full is None:
            raise
        raise NoSpaceError(
            f"the disk or quota of {folder} is full ({full}), so {purpose} could not go on. What it had made stays. "
            "See what `mmsra gc --dry-run` would remove, free some space, and run the command again."
        ) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_of_a_full_disk(error: BaseException, folder: Path) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        name = getattr(error, "sqlite_errorname", "")
        nothing_left = "IOERR" in name and shutil.disk_usage(folder).free < NEXT_TO_NOTHING
        return name in SQLITE_FULL or nothing_left
    return isinstance(error, OSError) and error.errno in FULL
