"""The SQLite file of a cache: its tables, and what becomes of a file that is damaged or of another version.

It is in WAL mode: readers do not wait for writers, and a commit asks for no flush to disk, so it takes microseconds. A
kill loses no commit; a loss of power may lose the last ones.
"""

import logging
import sqlite3
from pathlib import Path
from typing import Final

from mmsra_pipeline.storage.locks import locked

VERSION: Final = 1  # of the tables; a file of another version begins anew
WAIT_SECONDS: Final = 60.0  # for another process that writes
SUFFIX: Final = ".sqlite"
DAMAGED: Final = ".damaged"
FORMER: Final = ("keyword_cache", "verification_cache", "sentence_cache", "scores", "file_hashes.sqlite")
"""Where caches of earlier versions lay among the artifacts."""
TABLES: Final = {
    "entries": "key text primary key not null, value not null, used integer not null",  # the day, since 1970 UTC
    "parts": "name text primary key not null",  # of the object store, that were taken in
}
MEMORY: Final = ":memory:"
logger = logging.getLogger(__name__)


def open_cache_file(path: Path, *, thoroughly: bool = False) -> sqlite3.Connection:
    """Open the file of a cache, or make it; a damaged one is set aside under another name and begins anew.

    Args:
        path: the file.
        thoroughly: look for damage on all pages, which takes a second for some 500 MB.

    Raises:
        OSError, sqlite3.Error: if it cannot be used.
    """
    with locked(path.with_name(f".{path.name}.lock"), f"opening {path}"):  # two must not set it aside at once
        try:
            connection = connected(path)
            if not thoroughly or connection.execute("pragma quick_check(1)").fetchone() == ("ok",):
                return connection
            connection.close()
        except sqlite3.OperationalError:  # locked, no space, not writable
            raise
        except sqlite3.DatabaseError as error:
            logger.debug("%s: %s", path, error)
        aside = path.with_name(path.name + DAMAGED)
        logger.warning("%s is damaged: it is %s now, and what it held is computed again", path, aside.name)
        path.replace(aside)
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
        return connected(path)


def connected(path: Path | str) -> sqlite3.Connection:
    """Open a file, or ``MEMORY``, and see that its tables are there."""
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False)
    try:
        connection.execute("pragma auto_vacuum = full")  # before the first table; the file shrinks with what it holds
        connection.execute("pragma journal_mode = wal")  # it stays as it is where files cannot be shared memory
        connection.execute("pragma synchronous = normal")
        if connection.execute("pragma user_version").fetchone() != (VERSION,):
            with connection:
                connection.execute("begin immediate")
                for name, columns in TABLES.items():
                    connection.execute(f"drop table if exists {name}")
                    connection.execute(f"create table {name} ({columns})")
                connection.execute(f"pragma user_version = {VERSION}")
        connection.execute("select 1 from entries, parts limit 1")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def cache_files(folder: Path) -> list[Path]:
    """Return the files of the caches below a folder."""
    return sorted(folder.rglob(f"*{SUFFIX}"))
