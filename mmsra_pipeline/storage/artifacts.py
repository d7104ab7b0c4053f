"""Folders and blobs that are no tables: adapters, checkpoints, pictures, the backbone.

A published folder is ``<kind>/<dataset>/<version>/`` with a pointer file ``current`` beside it. It is filled under
another name and renamed, so it is there as a whole or not at all; a version that is only staged lies there too, and no
pointer names it. Work in progress (resumable training) lies in
``work/<kind>/<dataset>/<fingerprint>/``, where the fingerprint names the inputs: other inputs never resume it.

Where the root mirrors an object store, files go there first and the pointer last; work in progress stays here.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.storage.files import clean_name, remove, sync_folder, temporary_folder, write_atomically
from mmsra_pipeline.storage.hashing import content_hash, folder_hash
from mmsra_pipeline.storage.mirror import NOTHING, Entry, Remote
from mmsra_pipeline.storage.paths import Paths

KEPT_VERSIONS = 2
YOUNG_SECONDS = 3600  # of an object: another machine may have put it and be about to point to it
TRIES = 3  # to read a pointer and bring its files, which may have been replaced and dropped meanwhile


class Staged:
    """A version of an artifact that is being filled; ``place`` is there once the block has ended."""

    place: Path

    def __init__(self, building: Path) -> None:
        self.building = building


class Artifacts:
    """Reads and publishes what lies below ``root``."""

    def __init__(self, root: Path, *, remote: Remote = NOTHING) -> None:
        """Take a folder, and the object store that it mirrors if it does."""
        self.root = root
        self.remote = remote
        self._stored: dict[str, set[Path]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, paths: Paths) -> "Artifacts":
        """Return the artifacts of an installation."""
        return cls(paths.artifacts, remote=paths.remote)

    @contextlib.contextmanager
    def publish(self, kind: str, dataset: str) -> Iterator[Path]:
        """Return an empty folder to fill; when the block ends without an error it becomes the current version."""
        with self.staging(kind, dataset) as staged:
            yield staged.building
        self.point(staged.place)

    @contextlib.contextmanager
    def staging(self, kind: str, dataset: str) -> Iterator["Staged"]:
        """Return an empty folder to fill, as ``publish`` does, but leave the current version what it is.

        ``point`` makes ``Staged.place`` current; a version that never becomes so goes as old versions go.
        """
        home = self.root / clean_name(kind) / clean_name(dataset)
        with temporary_folder(home) as building:
            staged = Staged(building)
            yield staged
            version = folder_hash(building)[:16]
            staged.place = place = home / version
            if not place.exists():
                building.rename(place)
                sync_folder(home)
            os.utime(place)
            self.remote.push(place)
        self._drop_old_versions(home, version)

    def point(self, place: Path) -> None:
        """Make a staged version the current one."""
        self.remote.write(place.parent / "current", json.dumps({"version": place.name}).encode())

    def current(self, kind: str, dataset: str) -> Path:
        """Return the folder of the current version; its name is the version.

        Raises:
            MissingInputError: if none was published.
        """
        for _ in range(TRIES):
            place = self._pointed(self.root / clean_name(kind) / clean_name(dataset))
            if place is None:
                break
            if self.remote.fetch(place):
                return place
        raise MissingInputError(
            f"artifact {kind!r} of {dataset!r} is not in {self.remote.address(self.root)}. "
            f"Run `mmsra refresh --dataset {dataset}`, or materialize the asset of that name in the Dagster UI."
        )

    def has(self, kind: str, dataset: str) -> bool:
        """Whether a version was ever published."""
        return self.version(kind, dataset) is not None

    def version(self, kind: str, dataset: str) -> str | None:
        """Return the name of the current version, whose files need not lie here yet; None if none was published."""
        place = self._pointed(self.root / clean_name(kind) / clean_name(dataset))
        return None if place is None else place.name

    def workdir(self, kind: str, dataset: str, fingerprint: str) -> Path:
        """Return a folder for resumable work on inputs named by ``fingerprint``; work on other inputs is dropped."""
        home = self.root / "work" / clean_name(kind) / clean_name(dataset)
        folder = home / clean_name(fingerprint)
        if home.is_dir():
            for other in home.iterdir():
                if other != folder:
                    shutil.rmtree(other)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def put_blob(self, kind: str, content: bytes, suffix: str) -> str:
        """Store bytes under their own sha256 and give it; the same bytes are stored once."""
        name = content_hash(content)
        path = self.blob_path(kind, name, suffix)
        if not self.has_blob(kind, name, suffix):
            write_atomically(path, content)
            self.remote.push(path)
            if self.remote.is_store:
                self._blobs(kind).add(path)
        return name

    def has_blob(self, kind: str, name: str, suffix: str) -> bool:
        """Whether the blob of that hash is stored. An object store is asked once for all blobs of a kind."""
        path = self.blob_path(kind, name, suffix)
        return path in self._blobs(kind) if self.remote.is_store else path.is_file()

    def blob(self, kind: str, name: str, suffix: str) -> Path | None:
        """Return the file of the blob of that hash; None if it is not stored."""
        path = self.blob_path(kind, name, suffix)
        return path if self.remote.fetch(path) and path.is_file() else None

    def blob_path(self, kind: str, name: str, suffix: str) -> Path:
        """Where the blob of that hash lies, or would lie."""
        return self.root / clean_name(kind) / "blobs" / name[:2] / f"{name}{suffix}"

    def blobs(self, kind: str) -> list[Entry]:
        """Return all blobs of a kind, by path."""
        return self.remote.find(self.root / clean_name(kind) / "blobs", "*/*")

    def _pointed(self, home: Path) -> Path | None:
        content = self.remote.read(home / "current")
        return None if content is None else home / str(json.loads(content)["version"])

    def _blobs(self, kind: str) -> set[Path]:
        with self._lock:  # pictures are fetched by several threads
            if kind not in self._stored:
                self._stored[kind] = {entry.path for entry in self.blobs(kind)}
            return self._stored[kind]

    def _drop_old_versions(self, home: Path, staged: str) -> None:
        """Keep the newest versions, what was just staged, and what readers see."""
        if self.remote.is_store:
            self._drop_old_objects(home, staged)
            return
        versions = [path for path in home.iterdir() if path.is_dir() and path.name[0] != "."]
        versions.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        old, current = versions[KEPT_VERSIONS:], self._pointed(home)
        for path in old:
            if path.name != staged and path != current:
                shutil.rmtree(path)

    def _drop_old_objects(self, home: Path, staged: str) -> None:
        old = by_version(self.remote.listing(home), home)[KEPT_VERSIONS:]
        old = [entry for entry in old if entry.path.name != staged and entry.changed < time.time() - YOUNG_SECONDS]
        pointed = self._pointed(home) if old else None  # another machine may have published meanwhile
        for entry in old:
            if entry.path != pointed:
                self.remote.delete(entry.path)
                remove(entry.path)


def by_version(entries: list[Entry], home: Path) -> list[Entry]:
    """Return the folders of versions that hold the entries, each as new as its newest file, the newest first."""
    found: dict[Path, Entry] = {}
    for entry in entries:
        below = entry.path.relative_to(home).parts
        if len(below) > 1:
            folder = home / below[0]
            known = found.get(folder, Entry(folder, 0, 0.0))
            found[folder] = Entry(folder, known.bytes + entry.bytes, max(known.changed, entry.changed))
    return sorted(found.values(), key=lambda entry: entry.changed, reverse=True)
