"""Content hashes of source files, remembered, so that unchanged files are not read again.

A hash is remembered by path, and holds while size, modification time, change time and inode are the same. A file that
changed within the last seconds is not remembered: it could change again within the resolution of its times, and nothing
would tell. The memory is a cache that may be deleted at any time; without it files are read.
"""

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from mmsra_pipeline.storage.hashing import file_hash
from mmsra_pipeline.storage.keyed_cache import KeyedCache

RACY_SECONDS: Final = 5.0  # more than the resolution of any file system's times, and than clocks of a network differ
KEPT_AT_ONCE: Final = 1000  # so that a kill during the first reading of many files loses little
State = tuple[int, int, int, int]


class FileHashes:
    """Gives content hashes of files; those that it had to read are remembered, at the latest when the block ends."""

    def __init__(self, path: Path) -> None:
        """Take the cache at ``path``. What is remembered goes with its file, however long nobody asked for it."""
        self.read = 0
        """Files that had to be read."""
        self._kept = KeyedCache[str](path, stamps=False)
        self._new: dict[str, str] = {}

    def __enter__(self) -> "FileHashes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep()
        self._kept.close()

    def of(self, file: Path) -> str:
        """Return the sha256 of a file's bytes, in hexadecimal."""
        name, state = str(file.absolute()), _state(file)
        known = self._kept.get(name)
        if known is not None:
            *then, sha256 = json.loads(known)
            if tuple(then) == state:
                return str(sha256)
        self.read += 1
        sha256 = file_hash(file)
        if not _is_racy(state):  # of before: what changes meanwhile has another state afterwards
            self._new[name] = json.dumps([*state, sha256])
        if len(self._new) >= KEPT_AT_ONCE:
            self._keep()
        return sha256

    def forget(self, folder: Path) -> int:
        """Drop what is remembered of the files below a folder, and say of how many."""
        below = f"{folder.absolute()}{os.sep}"
        return self._kept.forget(name for name in self._kept if name.startswith(below))

    def forget_missing(self) -> int:
        """Drop what is remembered of files that are not there any more, and say of how many."""
        return self._kept.forget(name for name in self._kept if not Path(name).is_file())

    def _keep(self) -> None:
        self._kept.put(self._new)
        self._new = {}


def _state(file: Path) -> State:
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _is_racy(state: State) -> bool:
    return max(state[1], state[2]) / 1e9 > time.time() - RACY_SECONDS
