"""What is known of each picture's URL: kept picture by picture, so that a kill costs only those on their way.

Where the root mirrors an object store, machines share a copy there, which is brought before a run and put after it.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.items.picture_store import Picture
from mmsra_pipeline.items.web.downloads import Validators
from mmsra_pipeline.storage.files import temporary
from mmsra_pipeline.storage.mirror import Remote

VERSION = 1  # of the columns; a journal of another version begins anew
WAIT_SECONDS = 60  # for another process that writes
ASKED_AT_ONCE = 500  # below SQLite's bound of variables
COLUMNS = (*Picture._fields, "url", "settings_key", "checked_at", "tries", "final_url", "etag", "last_modified")
CREATE = f"""
create table pictures (
    image_sha256 text, status text not null, reason text, width integer, height integer, perceptual_hash text,
    mean_color text, source_key text, url text primary key, settings_key text not null, checked_at real not null,
    tries integer not null, final_url text, etag text, last_modified text
) without rowid;
pragma user_version = {VERSION};
"""
SHARED = "fetch_journal.shared.sqlite"
MERGE = """
insert or replace into pictures
select theirs.* from other.pictures as theirs left join pictures as ours using (url)
where ours.url is null or ours.checked_at < theirs.checked_at
"""
WRITE = f"insert or replace into pictures ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})"


class Entry(NamedTuple):
    """What is known of one URL."""

    url: str
    picture: Picture
    settings_key: str
    """Of the settings that the outcome depends on."""
    checked_at: float
    """When the server was last asked; seconds since 1970 UTC."""
    tries: int = 1
    """In the run of that time."""
    validators: Validators | None = None


class FetchJournal:
    """A table of entries in one SQLite file, for several threads and processes.

    Raises:
        DataError: if the file cannot be read; it says how to fix that.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._path = path
        self._connection = sqlite3.connect(path, timeout=WAIT_SECONDS, check_same_thread=False, isolation_level=None)
        try:
            self._connection.execute("pragma journal_mode = wal")
            # A kill loses no commit; a loss of power may lose the last ones, which are then fetched again.
            self._connection.execute("pragma synchronous = normal")
            self._make_table()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DataError(
                f"{path}: what is known of pictures by URL cannot be read ({error}). Remove this file and those that "
                "begin with its name; the pictures are then fetched again."
            ) from None

    def read(self, urls: Sequence[str]) -> dict[str, Entry]:
        """Return the entries of those URLs that have one."""
        found: dict[str, Entry] = {}
        for start in range(0, len(urls), ASKED_AT_ONCE):
            asked = urls[start : start + ASKED_AT_ONCE]
            marks = ", ".join("?" * len(asked))
            with self._lock:
                rows = self._connection.execute(
                    f"select {', '.join(COLUMNS)} from pictures where url in ({marks})", asked
                ).fetchall()
            found |= {entry.url: entry for entry in map(_entry, rows)}
        return found

    def write(self, entry: Entry) -> None:
        """Replace what is known of a URL. Once this returns, no kill loses it."""
        validators = entry.validators or (None, None, None)
        row = (*entry.picture, entry.url, entry.settings_key, entry.checked_at, entry.tries, *validators)
        with self._lock:
            self._connection.execute(WRITE, row)

    def merge(self, other: Path) -> None:
        """Take over what another journal knows of URLs, as far as it asked later."""
        with self._lock:
            self._connection.execute("attach ? as other", (str(other),))
            if self._connection.execute("pragma other.user_version").fetchone() == (VERSION,):
                self._connection.execute(MERGE)
            self._connection.execute("detach other")

    def copy(self, place: Path) -> None:
        """Write a whole and compact copy to a file that is not there yet."""
        with self._lock:
            self._connection.execute("vacuum into ?", (str(place),))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _make_table(self) -> None:
        """Two processes may begin at once: the second waits and then finds the table made."""
        self._connection.execute("begin immediate")
        if self._connection.execute("pragma user_version").fetchone() != (VERSION,):
            self._connection.execute("drop table if exists pictures")
            for statement in filter(str.strip, CREATE.split(";")):
                self._connection.execute(statement)
        self._connection.execute("commit")


def bring_journal(path: Path, remote: Remote) -> None:
    """Let the journal at ``path`` know what other machines shared; nothing to do without an object store.

    Raises:
        DataError: if the journal cannot be read.
        StorageError: if the object store does not answer.
    """
    shared = path.with_name(SHARED)
    if remote.is_store and remote.read(shared) is not None:
        with contextlib.closing(FetchJournal(path)) as journal:
            journal.merge(shared)


def share_journal(path: Path, remote: Remote) -> None:
    """Put a copy of the journal at ``path``, and of what others shared meanwhile, where they find it.

    Of two machines that do so at the same moment the later one wins; the other shares its part the next time.

    Raises:
        StorageError: if the object store does not answer.
    """
    if not remote.is_store:
        return
    bring_journal(path, remote)
    beside = temporary(path.parent)
    with contextlib.closing(FetchJournal(path)) as journal:
        try:
            journal.copy(beside)
            remote.write(path.with_name(SHARED), beside.read_bytes())
        finally:
            beside.unlink(missing_ok=True)


def _entry(row: tuple) -> Entry:
    picture, rest = Picture(*row[: len(Picture._fields)]), row[len(Picture._fields) :]
    url, settings_key, checked_at, tries, *validators = rest
    return Entry(url, picture, settings_key, checked_at, tries, Validators(*validators) if validators[0] else None)
