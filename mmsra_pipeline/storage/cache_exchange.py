"""How machines share a cache in an object store: by parts, each of the entries of one ``put``, that never change.

A part is a Parquet file with the columns key and value, named by its content. A file of SQLite that is being written
could not be put: a copy of it is no database. Here a part lies only until it is in the store, or was taken in; what a
kill kept from going up goes when the cache is opened next. So a machine that is lost costs one batch at most.
"""

import contextlib
import io
import logging
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from mmsra_pipeline.errors import StorageError
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import content_hash
from mmsra_pipeline.storage.mirror import Remote

PATTERN: Final = "*.parquet"
FOLD_ABOVE: Final = 50  # parts: many small objects take long to bring
ATTEMPTS: Final = 5  # to list and bring parts that others fold together meanwhile
Entries = Mapping[str, str] | Mapping[str, bytes]
logger = logging.getLogger(__name__)


class Exchange:
    """The parts of one cache.

    Every method raises ``StorageError`` if the store does not answer.
    """

    def __init__(self, folder: Path, remote: Remote) -> None:
        """``folder``: where the parts lie in the store, and pass through on this machine."""
        self._folder = folder
        self._remote = remote
        self._there: list[Path] = []

    @property
    def has_many_parts(self) -> bool:
        """Whether the store had so many parts, when it was asked last, that they should be one."""
        return len(self._there) > FOLD_ABOVE

    def write(self, entries: Entries) -> Path:
        """Write a part here, which ``push`` then puts into the store."""
        content = _packed(entries)
        path = self._folder / PATTERN.replace("*", content_hash(content)[:16])
        write_atomically(path, content)
        return path

    def push(self, part: Path) -> None:
        """Put a part into the store; it does not stay here."""
        with contextlib.suppress(FileNotFoundError):  # another process that opened the cache meanwhile put it
            self._remote.push(part)
        part.unlink(missing_ok=True)

    def new_parts(self, known: Collection[str]) -> Iterator[tuple[str, Entries]]:
        """Give name and entries of each part that is not ``known``; those that a kill left here first."""
        for part in sorted(self._folder.glob(PATTERN)):
            yield from self._read(part)
            self.push(part)
        known = set(known)
        for _ in range(ATTEMPTS):
            self._there = [entry.path for entry in self._remote.find(self._folder, PATTERN)]
            wanted = [path for path in self._there if path.name not in known]
            for path in wanted:
                if self._remote.fetch(path):
                    yield from self._read(path)
                    path.unlink(missing_ok=True)
                    known.add(path.name)
            if all(path.name in known for path in wanted):
                return
        raise StorageError(f"{self._remote.address(self._folder)} changes faster than it can be read. Try again.")

    def replace_all(self, entries: Entries) -> str:
        """Put all entries as one part in the place of all others, and give its name."""
        part = self.write(entries)
        self.push(part)
        for path in self._there:
            if path != part:
                self._remote.delete(path)
        self._there = [part]
        return part.name

    def _read(self, part: Path) -> Iterator[tuple[str, Entries]]:
        try:
            yield part.name, _unpacked(part.read_bytes())
        except FileNotFoundError:  # another process took it in
            pass
        except (ValueError, KeyError, OSError) as error:  # Arrow's errors are these
            logger.warning("%s cannot be read (%s): its entries are computed again", self._remote.address(part), error)
            yield part.name, {}


def _packed(entries: Entries) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = io.BytesIO()
    pq.write_table(pa.table({"key": list(entries), "value": list(entries.values())}), content)
    return content.getvalue()


def _unpacked(content: bytes) -> dict[str, str] | dict[str, bytes]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    return dict(zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True))
