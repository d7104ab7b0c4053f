"""Gives a data set the slice or artifact of another one, as it is: by hard links, so that neither needs the other.

What is stored never changes and is named by its content, so two names for one file are safe: whichever data set is
removed or swept, the other keeps its own name. Where the file system has no hard links, files are copied.
"""

import contextlib
import os
import shutil
from pathlib import Path

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.files import clean_name, sweep, sync_folder, temporary
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.slices import Slice


def adopt_slice(paths: Paths, source: Slice, dataset: str) -> Slice:
    """Stage the rows of another data set's slice for ``dataset``; readers see them once they are published.

    Raises:
        MissingInputError: if the slice is gone.
    """
    folder = paths.data / clean_name(source.table) / clean_name(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    path, beside = folder / source.path.name, temporary(folder)
    if not path.is_file():
        try:
            _linked(source.path, beside, paths)
            beside.replace(path)
            sync_folder(folder)
        finally:
            beside.unlink(missing_ok=True)
    paths.remote.push(path)
    return Slice(source.table, dataset, source.version, source.rows, path)


def adopt_artifact(paths: Paths, place: Path, dataset: str) -> Path:
    """Stage another data set's version of an artifact for ``dataset`` and give its folder; ``point`` makes it current.

    Raises:
        MissingInputError: if that version is gone, or is not what its name says.
    """
    if not (paths.remote.fetch(place) and place.is_dir()):
        raise MissingInputError(f"{place} is gone.")
    with Artifacts.of(paths).staging(place.parent.parent.name, dataset) as staged:
        for file in sorted(item for item in place.rglob("*") if item.is_file()):
            beside = staged.building / file.relative_to(place)
            beside.parent.mkdir(parents=True, exist_ok=True)
            _linked(file, beside, paths)
    if staged.place.name != place.name:
        raise MissingInputError(f"{place} does not hold what it is named after. Materialize its asset again.")
    return staged.place


def _linked(file: Path, name: Path, paths: Paths) -> None:
    if not paths.remote.fetch(file):
        raise MissingInputError(f"{file} is gone.")
    try:
        with contextlib.suppress(OSError):
            os.link(file, name)
            return
        shutil.copyfile(file, name)
    except FileNotFoundError:
        raise MissingInputError(f"{file} is gone.") from None
