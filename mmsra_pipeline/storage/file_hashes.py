"""Content hashes of source files, remembered, so that unchanged files are not read again.

A hash is remembered by path, size, modification time, change time and inode. A file that changed within the last
seconds is not remembered: it could change again within the resolution of its times, and nothing would tell. The memory
is one SQLite file that may be deleted at any time; without it, or if it cannot be read, files are read.
"""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from mmsra_pipeline.storage.hashing import file_hash

RACY_SECONDS: Final = 5.0  # more than the resolution of any file system's times, and than clocks of a network differ
WAIT_SECONDS: Final = 5.0  # for another process that writes
KEPT_AT_ONCE: Final = 1000  # so that a kill during the first reading of many files loses little
VERSION: Final = 1  # of the columns; a file of another version begins anew
CREATE: Final = """
create table if not exists hashes (
    path text primary key, size integer not null, mtime_ns integer not null, ctime_ns integer not null,
    inode integer not null, sha256 text not null
) without rowid
"""
FIND: Final = "select sha256 from hashes where path = ? and size = ? and mtime_ns = ? and ctime_ns = ? and inode = ?"
logger = logging.getLogger(__name__)
State = tuple[int, int, int, int]


class FileHashes:
    """Gives content hashes of files; those that it had to read are remembered, at the latest when the block ends."""

    def __init__(self, path: Path) -> None:
        self.read = 0
        """Files that had to be read."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._new: list[tuple[object, ...]] = []

    def __enter__(self) -> "FileHashes":
        self._connection = _opened(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep()
        if self._connection is not None:
            self._connection.close()

    def of(self, file: Path) -> str:
        """Return the sha256 of a file's bytes, in hexadecimal."""
        name, state = str(file.absolute()), _state(file)
        known = self._find(name, state)
        if known is not None:
            return known
        self.read += 1
        sha256 = file_hash(file)
        if not _is_racy(state):  # of before: what changes meanwhile has another state afterwards
            self._new.append((name, *state, sha256))
        if len(self._new) >= KEPT_AT_ONCE:
            self._keep()
        return sha256

    def forget(self, folder: Path) -> int:
        """Drop what is remembered of the files below a folder, and say of how many."""
        below = f"{folder.absolute()}{os.sep}"
        return self._tell("delete from hashes where substr(path, 1, ?) = ?", [(len(below), below)])

    def forget_missing(self) -> int:
        """Drop what is remembered of files that are not there any more, and say of how many."""
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                paths = [str(path) for (path,) in self._connection.execute("select path from hashes")]
                gone = [(path,) for path in paths if not Path(path).is_file()]
                return self._tell("delete from hashes where path = ?", gone)
        return 0

    def _keep(self) -> None:
        self._tell("insert or replace into hashes values (?, ?, ?, ?, ?, ?)", self._new)
        self._new = []

    def _find(self, name: str, state: State) -> str | None:
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None:
                found = self._connection.execute(FIND, (name, *state)).fetchone()
                return str(found[0]) if found else None
        return None

    def _tell(self, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
        if self._connection is None or not rows:
            return 0
        try:
            with self._connection:
                return self._connection.executemany(statement, rows).rowcount
        except sqlite3.Error as error:
            logger.warning("%s was not written (%s): files are read again next time", self._path, error)
            return 0


def _opened(path: Path) -> sqlite3.Connection | None:
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=WAIT_SECONDS)
            if connection.execute("pragma user_version").fetchone() != (VERSION,):
                connection.execute("drop table if exists hashes")
                connection.execute(CREATE)
                connection.execute(f"pragma user_version = {VERSION}")
                connection.commit()
            connection.execute("select count(*) from hashes where path = ''")
            return connection
        except sqlite3.OperationalError as error:  # locked, no space, not writable
            logger.warning("%s cannot be used (%s): files are read", path, error)
            return None
        except sqlite3.DatabaseError as error:
            logger.warning("%s is damaged (%s) and begins anew", path, error)
            path.unlink(missing_ok=True)
    return None


def _state(file: Path) -> State:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _is_racy(state: State) -> bool:
    return max(state[1], state[2]) / 1e9 > time.time() - RACY_SECONDS
