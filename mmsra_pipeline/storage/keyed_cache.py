"""The one cache of what is costly to compute again: values by a key that names all that they depend on.

A cache is one SQLite file, for several processes at once. What ``put`` took stays whatever kills the process, whole
entries only. It holds nothing that cannot be computed again, so it never stops a run: what cannot be read or written
is done without, and the log says so. Therefore whoever puts a value holds on to it, and does not read it back.

Where the root mirrors an object store, a cache that was given it shares its entries with other machines there
(``cache_exchange``). ``mmsra gc`` bounds caches by the day on which entries were last asked for, and by bytes.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, NamedTuple, TypeVar

from mmsra_pipeline.storage.cache_exchange import Entries, Exchange
from mmsra_pipeline.storage.cache_file import MEMORY, connected, open_cache_file
from mmsra_pipeline.storage.mirror import NOTHING, Remote

ASKED_AT_ONCE: Final = 500  # below SQLite's bound of variables
DAY_SECONDS: Final = 86400
SIZE: Final = "length(key) + length(cast(value as blob))"
UNUSED: Final = f"""
select key, size from (
    select key, used, {SIZE} as size, sum({SIZE}) over (order by used desc, rowid desc) as with_later from entries
) where used < ? or with_later > ?
"""
Value = TypeVar("Value", str, bytes)
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class Trimmed(NamedTuple):
    """What may go of a cache, or went."""

    entries: int
    bytes: int


class KeyedCache(Generic[Value]):
    """Values, all text or all bytes, by key."""

    def __init__(self, path: Path | None, remote: Remote = NOTHING, *, stamps: bool = True) -> None:
        """Open the cache.

        Args:
            path: its file; None: it is in memory alone.
            remote: where it is shared, if that is an object store.
            stamps: note when an entry was last asked for.

        Raises:
            StorageError: if the object store does not answer.
        """
        self._path = path
        self._stamps = stamps
        self._lock = threading.Lock()
        self._warned = False
        self._connection = self._opened()
        self._exchange = Exchange(path.with_suffix(""), remote) if path and remote.is_store else None
        if self._exchange:
            known = {name for (name,) in self._rows("select name from parts")}
            whole = [self._add(entries, part, over=False) for part, entries in self._exchange.new_parts(known)]
            if self._exchange.has_many_parts and all(whole):
                self._fold(self._exchange)

    def __enter__(self) -> "KeyedCache[Value]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; else that happens when nobody holds the cache any more."""
        self._connection.close()

    def get(self, key: str) -> Value | None:
        """Return the value of a key."""
        return self.find([key]).get(key)

    def find(self, keys: Iterable[str]) -> dict[str, Value]:
        """Return the values of those keys that have one."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Value] = {}
        for start in range(0, len(wanted), ASKED_AT_ONCE):
            found |= self._found(wanted[start : start + ASKED_AT_ONCE])
        return found

    def put(self, entries: Mapping[str, Value]) -> None:
        """Store values by key, all of them or none; they take the place of earlier ones.

        Raises:
            StorageError: if the object store in which the cache is shared does not answer.
        """
        if not entries:
            return
        part = self._exchange.write(entries) if self._exchange else None
        self._add(entries, part.name if part else None)
        if self._exchange and part:
            self._exchange.push(part)

    def forget(self, keys: Iterable[str]) -> int:
        """Drop entries, and say how many there were."""
        doomed = [(key,) for key in keys]
        return self._do(lambda at: at.executemany("delete from entries where key = ?", doomed).rowcount, 0)

    def keep(self, keys: Iterable[str]) -> None:
        """Drop all other entries, so that the cache stays as large as what is asked for."""
        self.forget(set(self) - set(keys))

    def __iter__(self) -> Iterator[str]:
        """Give all keys, those first that were put first."""
        return iter([key for (key,) in self._rows("select key from entries order by rowid")])

    def __len__(self) -> int:
        return sum(count for (count,) in self._rows("select count(*) from entries"))

    def trim(self, *, unused_days: float, max_bytes: float, dry_run: bool = False) -> Trimmed:
        """Drop what was not asked for within so many days, and of the rest the oldest beyond so many bytes.

        Raises:
            StorageError: if the object store in which the cache is shared does not answer.
        """
        rows = self._rows(UNUSED, (_today() - unused_days, max_bytes))
        if rows and not dry_run:
            self.forget(key for key, _ in rows)
            if self._exchange:
                self._fold(self._exchange)
        return Trimmed(len(rows), sum(size for _, size in rows))

    def _found(self, keys: list[str]) -> dict[str, Value]:
        select = f"select key, value, used from entries where key in ({', '.join('?' * len(keys))})"
        rows = self._rows(select, keys)
        stamps = [(_today(), key) for key, _, used in rows if self._stamps and used < _today()]
        if stamps:
            self._do(lambda at: at.executemany("update entries set used = ? where key = ?", stamps), None)
        return {key: value for key, value, _ in rows}

    def _add(self, entries: Entries, part: str | None, *, over: bool = True) -> bool:
        """Store entries and the name of the part that they are shared in; say whether that was done."""
        insert = f"insert or {'replace' if over else 'ignore'} into entries values (?, ?, ?)"

        def add(at: sqlite3.Connection) -> bool:
            at.executemany(insert, [(key, value, _today()) for key, value in entries.items()])
            if part:
                at.execute("insert or ignore into parts values (?)", (part,))
            return True

        return self._do(add, False)

    def _fold(self, exchange: Exchange) -> None:
        """Share all entries as one part."""
        if rows := self._rows("select key, value from entries"):
            self._add({}, exchange.replace_all(dict(rows)))

    def _rows(self, select: str, values: Sequence[object] = ()) -> list[Any]:
        return self._do(lambda at: at.execute(select, values).fetchall(), [])

    def _do(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        """Return what ``work`` does as one transaction, or ``otherwise``; where the file is damaged it begins anew."""
        with self._lock:
            for again in (False, True):
                try:
                    with self._connection:
                        return work(self._connection)
                except sqlite3.DatabaseError as error:
                    damaged = type(error) is sqlite3.DatabaseError
                    if damaged and not again:
                        self._connection.close()
                        self._connection = self._opened(thoroughly=True)
                    elif damaged or isinstance(error, sqlite3.OperationalError):  # locked, no space, not writable
                        self._tell(error)
                        break
                    else:
                        raise  # a mistake of the caller
        return otherwise

    def _opened(self, *, thoroughly: bool = False) -> sqlite3.Connection:
        if self._path:
            try:
                return open_cache_file(self._path, thoroughly=thoroughly)
            except (OSError, sqlite3.Error) as error:
                self._tell(error)
        return connected(MEMORY)

    def _tell(self, error: Exception) -> None:
        if not self._warned:  # else each of a million look-ups would say so
            logger.warning("%s cannot be used (%s): what is not known is computed, and not kept", self._path, error)
        self._warned = True


def _today() -> int:
    """Days since 1970 UTC."""
    return int(time.time() // DAY_SECONDS)
