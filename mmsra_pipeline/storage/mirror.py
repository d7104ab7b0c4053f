"""What stands behind the folder of an installation: nothing where the root is that folder, else an object store.

With a store the folder is a mirror on this machine, and the store is the truth. What changes (pointers, pins,
descriptions of data sets) is small, and is read from the store each time. What never changes once it is written
(slices, versions of artifacts, pictures) is named by its content, and is brought here when it is first wanted.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mmsra_pipeline.storage.files import write_atomically


@dataclass(frozen=True)
class Entry:
    """A file, by the place where it lies or would lie on this machine."""

    path: Path
    bytes: int
    changed: float
    """When it was written, in seconds since 1970 UTC."""


class Remote:
    """Nothing stands behind the folder: what is asked of the store is answered from the folder.

    Any operation of a subclass raises ``StorageError`` if its store does not answer or refuses.
    """

    is_store: ClassVar[bool] = False

    def address(self, path: Path) -> str:
        """Say where a path really lies, for people."""
        return str(path)

    def read(self, path: Path) -> bytes | None:
        """Return the newest content of a small file that may change; None if there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: Path, content: bytes) -> None:
        """Replace a small file that may change, so that any reader sees the old content or the new one."""
        write_atomically(path, content)

    def push(self, path: Path) -> None:
        """Return a file, or all files of a folder, that lie here and never change again to the store too."""

    def fetch(self, path: Path) -> bool:  # noqa: ARG002  # stores need it
        """See that what never changes, a file or a folder, lies here; False if the store does not have it."""
        return True

    def listing(self, folder: Path) -> list[Entry]:
        """Return all files below a folder, by path."""
        return _entries(folder.rglob("*"))

    def find(self, folder: Path, pattern: str) -> list[Entry]:
        """Return the files that fit a pattern below a folder part by part, by path."""
        return _entries(folder.glob(pattern))

    def delete(self, path: Path) -> None:
        """Take a file, or all below a folder, out of the store; what lies here stays."""

    def turn(self, name: str, what: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002  # as above
        """Hold the turn of that name among machines; ``what`` names it in the log."""
        return contextlib.nullcontext()

    def turn_of_run(self, name: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002  # as above
        """Write under a turn that another process of this machine holds: not any more once that has lost it."""
        return contextlib.nullcontext()

    def mirror(self, folder: Path) -> None:
        """Make the files of a folder here what they are in the store."""


NOTHING = Remote()
"""Of a root that is a local folder."""


def turn_file(root: Path, name: str) -> Path:
    """Return where the turn of that name lies in the store."""
    return root / "turns" / f"{name}.json"


def _entries(paths: Iterable[Path]) -> list[Entry]:
    found = []
    for path in sorted(paths):
        with contextlib.suppress(FileNotFoundError):  # another process may have dropped it
            if path.is_file():
                stat = path.stat()
                found.append(Entry(path, stat.st_size, stat.st_mtime))
    return found
