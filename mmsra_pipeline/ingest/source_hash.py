"""The content hash of a data set's source files: what tells that they changed."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import source_formats
from mmsra_pipeline.ingest.picture_paths import pictures_in
from mmsra_pipeline.ingest.reading import files_reader
from mmsra_pipeline.storage.hashing import file_hash, fingerprint, joined_hash


def source_version(spec: DatasetSpec, hash_of: Callable[[Path], str] = file_hash) -> str:
    """Hash of the bytes of all source files, pictures included, and of how they are read.

    What is made by code is not made for it. Where the files lie
    does not count, so a data set can be moved. ``hash_of`` gives the hash of a file's bytes.

    Raises:
        MissingInputError: naming the file that is not there.
    """
    form = source_formats()[spec.format]
    if form.version is not None:
        return form.version(spec)
    reader = files_reader(spec)
    files = [*reader.files(), *pictures_in(reader.image_root)]
    lines = (f"{os.path.relpath(path, spec.path)}\0{hash_of(path)}\n".encode() for path in files)
    return joined_hash(itertools.chain([fingerprint(spec.format, spec.options).encode()], lines))[:16]
