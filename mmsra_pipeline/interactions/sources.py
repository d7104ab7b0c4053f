"""The content hash of a data set's source files: what tells that they changed."""

import hashlib
import os

from mmsra_pipeline.artifacts import fingerprint
from mmsra_pipeline.datasets import DatasetSpec, sample_options
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.files import file_hash
from mmsra_pipeline.interactions.microlens import microlens_files
from mmsra_pipeline.interactions.tables import tables_files
from mmsra_pipeline.sample_store.shop import generator_version


def source_version(spec: DatasetSpec) -> str:
    """Hash of the bytes of all source files, pictures included, and of how they are read.

    The sample store is not made for it: size, seed and the generator's code stand for its content. Where the files lie
    does not count, so a data set can be moved.

    Raises:
        MissingInputError: naming the file that is not there.
    """
    if spec.format == "sample":
        options = sample_options(spec)
        return fingerprint("sample", options.size, options.seed, generator_version())
    files = tables_files(spec) if spec.format == "tables" else microlens_files(spec)
    digest = hashlib.sha256(fingerprint(spec.format, spec.options).encode())
    for path in files:
        if not path.is_file():
            raise MissingInputError(
                f"dataset {spec.name!r}: {path} is not there. Put the file there, or correct its name in "
                f"{spec.file or 'its YAML'}."
            )
        digest.update(f"{os.path.relpath(path, spec.path)}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()[:16]
