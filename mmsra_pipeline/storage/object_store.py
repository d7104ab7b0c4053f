"""A root on S3-compatible storage, through pyarrow's file system.

Objects are put as a whole or not at all: copies run inside Arrow, so an interrupt of Python cannot end an upload in the
middle, and of a process that is killed only an unfinished multipart upload stays, which no reader sees.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Final

from pyarrow import fs

from mmsra_pipeline.errors import StorageError
from mmsra_pipeline.storage.files import remove, sync_file, temporary, temporary_folder, write_atomically
from mmsra_pipeline.storage.mirror import Entry, Remote

AT_ONCE: Final = 8  # requests; latency, not bandwidth, is what many small objects cost


class ObjectStore(Remote):
    """The store behind a folder: the object of ``folder/a/b`` is ``base/a/b``."""

    is_store: ClassVar[bool] = True

    def __init__(self, system: Any, base: str, folder: Path, shown: str) -> None:
        """Take a file system of pyarrow, ``bucket/prefix``, the folder, and the address to show to people."""
        self._system = system
        self._here = fs.LocalFileSystem(use_mmap=True)  # a disk that fails then kills, rather than ends, an upload
        self._base = base
        self._folder = folder
        self._shown = shown

    def address(self, path: Path) -> str:
        """Say where a path really lies, for people."""
        below = path.relative_to(self._folder).as_posix()
        return self._shown if below == "." else f"{self._shown}/{below}"

    def read(self, path: Path) -> bytes | None:
        """Return the newest content of a small file, and keep it here too; None if there is none, then here neither."""
        with self._telling("reading", path):
            try:
                with self._system.open_input_stream(self._key(path)) as stream:
                    content: bytes = stream.read()
            except FileNotFoundError:
                path.unlink(missing_ok=True)
                return None
        if not path.is_file() or path.read_bytes() != content:
            write_atomically(path, content)
        return content

    def write(self, path: Path, content: bytes) -> None:
        """Replace a small file: in the store, then here."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = temporary(path.parent)
        try:
            beside.write_bytes(content)
            self._put(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        write_atomically(path, content)

    def push(self, path: Path) -> None:
        """Put a file, or all files of a folder, into the store; of those already there the age begins anew."""
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        _each(lambda file: self._put(file, file), files)

    def fetch(self, path: Path) -> bool:
        """Bring a file or a folder here, unless it is; under its name it is there as a whole or not at all."""
        if path.exists():
            return True
        with self._telling("looking for", path):
            kind = self._system.get_file_info(self._key(path)).type
        if kind == fs.FileType.File:
            return self._get(path)
        return kind == fs.FileType.Directory and self._fetch_folder(path)

    def listing(self, folder: Path) -> list[Entry]:
        """Return all objects below a folder, by path."""
        wanted = fs.FileSelector(self._key(folder), allow_not_found=True, recursive=True)
        with self._telling("listing", folder):
            found = [info for info in self._system.get_file_info(wanted) if info.type == fs.FileType.File]
        entries = [Entry(self._place(info.path), info.size, info.mtime.timestamp()) for info in found]
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
        key = self._key(path)
        with self._telling("deleting", path):
            kind = self._system.get_file_info(key).type
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                if kind == fs.FileType.File:
                    self._system.delete_file(key)
                elif kind == fs.FileType.Directory:
                    self._system.delete_dir(key)

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

    def _put(self, file: Path, path: Path) -> None:
        with self._telling("writing", path):
            fs.copy_files(str(file), self._key(path), source_filesystem=self._here, destination_filesystem=self._system)

    def _get(self, path: Path, place: Path | None = None) -> bool:
        """Bring an object to its place, or another one; False if it is not there."""
        place = place or path
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = temporary(place.parent)
        try:
            with self._telling("bringing", path):
                fs.copy_files(
                    self._key(path), str(beside), source_filesystem=self._system, destination_filesystem=self._here
                )
            sync_file(beside)
            beside.replace(place)
        except FileNotFoundError:
            return False
        finally:
            remove(beside)
        return True

    def _key(self, path: Path) -> str:
        return f"{self._base}/{path.relative_to(self._folder).as_posix()}"

    def _place(self, key: str) -> Path:
        return self._folder / key.removeprefix(f"{self._base}/")

    @contextlib.contextmanager
    def _telling(self, doing: str, path: Path) -> Iterator[None]:
        """Say of an error of Arrow what was done where; that an object is missing is for the caller to judge."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(
                f"{doing} {self.address(path)} failed: {error}. If the store did not answer, run the command again: "
                "what was done is kept. If it refused, its keys (AWS_* variables) need the rights to list, read, "
                "write and delete there."
            ) from None


def _each(work: Callable[[Path], Any], paths: Iterable[Path]) -> list[Any]:
    """Do the work for all paths, some at once."""
    paths = list(paths)
    if len(paths) < 2:
        return [work(path) for path in paths]
    with ThreadPoolExecutor(min(AT_ONCE, len(paths))) as pool:
        return list(pool.map(work, paths))
