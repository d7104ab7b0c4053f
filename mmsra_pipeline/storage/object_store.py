"""A root on S3-compatible storage, through obstore.

Objects are put as a whole or not at all; of a process that is killed only an unfinished multipart upload stays, which
no reader sees. A process that is forked from one that has asked a store cannot ask it: the threads are not there.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from mmsra_pipeline.errors import StorageError
from mmsra_pipeline.storage.files import remove, sync_file, temporary, temporary_folder, write_atomically
from mmsra_pipeline.storage.leases import check_leases, followed, held
from mmsra_pipeline.storage.mirror import Entry, Remote, turn_file

AT_ONCE: Final = 8  # requests; latency, not bandwidth, is what many small objects cost
PART_BYTES: Final = 5 << 20
PARTS: Final = 9000  # S3 takes 10,000 at most


class ObjectStore(Remote):
    """The store behind a folder: the object of ``folder/a/b`` is ``base/a/b``."""

    is_store: ClassVar[bool] = True

    def __init__(self, system: S3Store, folder: Path, name: str, machine: str) -> None:
        """Take a store whose paths are those below the folder, that folder of this machine, and both their names."""
        self._system = system
        self._folder = folder
        self._name = name
        self._machine = machine

    def address(self, path: Path) -> str:
        """Say where a path really lies, for people."""
        below = path.relative_to(self._folder).as_posix()
        return self._name if below == "." else f"{self._name}/{below}"

    def read(self, path: Path) -> bytes | None:
        """Return the newest content of a small file, and keep it here too; None if there is none, then here neither."""
        try:
            with self._telling("reading", path):
                content = bytes(obstore.get(self._system, self._key(path)).bytes())
        except FileNotFoundError:
            path.unlink(missing_ok=True)
            return None
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
        return content

    def write(self, path: Path, content: bytes) -> None:
        """Replace a small file: in the store, then here. Fails if another machine has taken a turn of ours over."""
        check_leases(self._machine)
        self._put(content, path)
        write_atomically(path, content)

    def push(self, path: Path) -> None:
        """Put a file, or all files of a folder, into the store; of those already there the age begins anew."""
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        _each(lambda file: self._put(file, file), files)

    def fetch(self, path: Path) -> bool:
        """Bring a file or a folder here, unless it is; under its name it is there as a whole or not at all."""
        return path.exists() or self._get(path) or self._fetch_folder(path)

    def listing(self, folder: Path) -> list[Entry]:
        """Return all objects below a folder, by path."""
        with self._telling("listing", folder):
            found = [one for batch in obstore.list(self._system, self._key(folder)) for one in batch]
        entries = [Entry(self._folder / one["path"], one["size"], one["last_modified"].timestamp()) for one in found]
        return sorted(entries, key=lambda entry: entry.path)

    def find(self, folder: Path, pattern: str) -> list[Entry]:
        """Return the objects that fit a pattern below a folder part by part, by path."""
        wanted = pattern.split("/")
        found = []
        for entry in self.listing(folder):
            parts = entry.path.relative_to(folder).parts
            if len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted)):
                found.append(entry)
        return found

    def delete(self, path: Path) -> None:
        """Take a file, or all below a folder, out of the store."""
        below = [self._key(entry.path) for entry in self.listing(path)]
        with self._telling("deleting", path):
            obstore.delete(self._system, [*below, self._key(path)])

    def mirror(self, folder: Path) -> None:
        """Make the files of a folder here what they are in the store; folders in it are left alone."""
        there = [entry.path for entry in self.find(folder, "*")]
        _each(self.read, there)
        folder.mkdir(parents=True, exist_ok=True)
        for path in set(folder.iterdir()) - set(there):
            if path.is_file() and path.name[0] != ".":
                path.unlink(missing_ok=True)

    def _fetch_folder(self, folder: Path) -> bool:
        """An object that goes meanwhile means that the whole version goes."""
        entries = self.listing(folder)
        with temporary_folder(folder.parent) as building:
            places = {entry.path: building / entry.path.relative_to(folder) for entry in entries}
            if not entries or not all(_each(lambda path: self._get(path, places[path]), list(places))):
                return False
            with contextlib.suppress(OSError):  # another process brought it meanwhile
                building.rename(folder)
        return folder.is_dir()

    @contextlib.contextmanager
    def turn(self, name: str, what: str) -> Iterator[None]:
        """Wait until no other machine has the turn of that name, and hold it; ``what`` names it in the log."""
        key = self._key(turn_file(self._folder, name))
        with self._telling("waiting for", self._folder / key), held(self._system, key, self._machine, what):
            yield

    @contextlib.contextmanager
    def turn_of_run(self, name: str) -> Iterator[None]:
        """Write under a turn that another process of this machine holds: not any more once that has lost it."""
        with followed(self._system, self._key(turn_file(self._folder, name)), self._machine, f"the data set {name}"):
            yield

    def _put(self, content: Path | bytes, path: Path) -> None:
        with self._telling("writing", path):
            size = content.stat().st_size if isinstance(content, Path) else 0
            obstore.put(self._system, self._key(path), content, chunk_size=max(PART_BYTES, size // PARTS + 1))

    def _get(self, path: Path, place: Path | None = None) -> bool:
        """Bring an object to its place, or another one; False if it is not there."""
        place = place or path
        try:
            with self._telling("bringing", path):
                chunks = obstore.get(self._system, self._key(path)).stream()
                place.parent.mkdir(parents=True, exist_ok=True)
                beside = temporary(place.parent)
                try:
                    with beside.open("wb") as out:
                        out.writelines(chunks)
                    sync_file(beside)
                    beside.replace(place)
                finally:
                    remove(beside)
        except FileNotFoundError:
            return False
        return True

    def _key(self, path: Path) -> str:
        return "" if path == self._folder else path.relative_to(self._folder).as_posix()

    @contextlib.contextmanager
    def _telling(self, doing: str, path: Path) -> Iterator[None]:
        """Say of an error of the store what was done where; a FileNotFoundError is for the caller to judge."""
        try:
            yield
        except BaseError as error:
            raise StorageError(
                f"{doing} {self.address(path)} failed: {in_short(error)}. If the store did not answer, run the command "
                "again: what was done is kept. If it refused, its keys (AWS_* variables) need the rights to list, "
                "read, write and delete there."
            ) from None


def in_short(error: BaseError) -> str:
    """Return what an error says, without the values that obstore adds to be debugged."""
    return str(error).partition("\n\nDebug source")[0]


def _each(work: Callable[[Path], Any], paths: Iterable[Path]) -> list[Any]:
    """Do the work for all paths, some at once."""
    paths = list(paths)
    if len(paths) < 2:
        return [work(path) for path in paths]
    with ThreadPoolExecutor(min(AT_ONCE, len(paths))) as pool:
        return list(pool.map(work, paths))
