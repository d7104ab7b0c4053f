"""Folders and blobs that are no tables: adapters, checkpoints, pictures, the backbone.

A published folder is ``<kind>/<dataset>/<version>/`` with a pointer file ``current`` beside it. It is filled under
another name and renamed, so it is there as a whole or not at all. Work in progress (resumable training) lies in
``work/<kind>/<dataset>/<fingerprint>/``, where the fingerprint names the inputs: other inputs never resume it.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.files import clean_name, folder_hash, sync_folder, temporary_folder, write_atomically

KEPT_VERSIONS = 2


class Artifacts:
    """Reads and publishes what lies below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def publish(self, kind: str, dataset: str) -> Iterator[Path]:
        """Give an empty folder to fill; when the block ends without an error it becomes the current version."""
        home = self.root / clean_name(kind) / clean_name(dataset)
        with temporary_folder(home) as building:
            yield building
            version = folder_hash(building)[:16]
            place = home / version
            if not place.exists():
                building.rename(place)
                sync_folder(home)
            os.utime(place)
            write_atomically(home / "current", json.dumps({"version": version}).encode())
        self._drop_old_versions(home, version)

    def current(self, kind: str, dataset: str) -> Path:
        """Give the folder of the current version; its name is the version.

        Raises:
            MissingInputError: if none was published.
        """
        home = self.root / clean_name(kind) / clean_name(dataset)
        try:
            version = json.loads((home / "current").read_text())["version"]
        except FileNotFoundError:
            raise MissingInputError(
                f"artifact {kind!r} of {dataset!r} is not in {self.root}. "
                f"Run `mmsra refresh --dataset {dataset}`, or materialize the asset of that name in the Dagster UI."
            ) from None
        return home / str(version)

    def has(self, kind: str, dataset: str) -> bool:
        """Whether a version was ever published."""
        return (self.root / clean_name(kind) / clean_name(dataset) / "current").is_file()

    def workdir(self, kind: str, dataset: str, fingerprint: str) -> Path:
        """Give a folder for resumable work on inputs named by ``fingerprint``; work on other inputs is dropped."""
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
        name = hashlib.sha256(content).hexdigest()
        path = self.blob_path(kind, name, suffix)
        if not path.exists():
            write_atomically(path, content)
        return name

    def blob_path(self, kind: str, name: str, suffix: str) -> Path:
        """Where the blob of that hash lies."""
        return self.root / clean_name(kind) / "blobs" / name[:2] / f"{name}{suffix}"

    def _drop_old_versions(self, home: Path, current: str) -> None:
        versions = [path for path in home.iterdir() if path.is_dir() and path.name[0] != "."]
        versions.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in versions[KEPT_VERSIONS:]:
            if path.name != current:
                shutil.rmtree(path)


def fingerprint(*parts: object) -> str:
    """Short hash of a sequence of strings, numbers and JSON-like values, for naming work and cache keys."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
