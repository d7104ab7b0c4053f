"""Reads a data set of any format."""

from dataclasses import replace
from pathlib import Path

from mmsra_pipeline.datasets import DatasetSpec, microlens_options, sample_options, tables_options
from mmsra_pipeline.interactions.microlens import read_microlens
from mmsra_pipeline.interactions.raw import RawData
from mmsra_pipeline.interactions.tables import read_tables
from mmsra_pipeline.sample_store.shop import write_sample

__all__ = ["RawData", "image_root", "read_dataset"]


def read_dataset(spec: DatasetSpec, workdir: Path) -> RawData:
    """Read reviews, items and rejects of a data set. The sample store is first made below ``workdir``.

    Raises:
        MissingInputError: if source files are not there.
        DataError: if they cannot be used.
    """
    if spec.format == "microlens":
        return read_microlens(spec)
    return read_tables(_made(spec, workdir) if spec.format == "sample" else spec)


def image_root(spec: DatasetSpec, workdir: Path) -> Path | None:
    """Give ``RawData.image_root`` without reading the tables; None if the data set has no picture folder."""
    if spec.format == "microlens":
        folder = microlens_options(spec).covers
    else:
        spec = _made(spec, workdir) if spec.format == "sample" else spec
        folder = tables_options(spec).images
    root = None if spec.path is None else spec.path / folder
    return root if root is not None and root.is_dir() else None


def _made(spec: DatasetSpec, workdir: Path) -> DatasetSpec:
    options = sample_options(spec)
    return replace(spec, format="tables", path=write_sample(options.size, options.seed, workdir), options={})
