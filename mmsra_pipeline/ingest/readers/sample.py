"""``format: sample``: the made-up shop, written as tables and read as such."""

from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from pydantic import NonNegativeInt

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import SourceFormat
from mmsra_pipeline.config.section import Section
from mmsra_pipeline.ingest.readers.tables import TablesReader
from mmsra_pipeline.sample_store.shop import generator_version, write_sample
from mmsra_pipeline.storage.hashing import fingerprint


class SampleOptions(Section):
    """Options of ``format: sample``."""

    size: Literal["tiny", "small", "large"] = "small"
    seed: NonNegativeInt = 0


def sample_options(spec: DatasetSpec) -> SampleOptions:
    """Return the options of a ``sample`` data set, with defaults."""
    return SampleOptions.model_validate(spec.options)


def sample_reader(spec: DatasetSpec, workdir: Path) -> TablesReader:
    """Return what reads the shop, which is first made below ``workdir``."""
    options = sample_options(spec)
    home = write_sample(options.size, options.seed, workdir)
    return TablesReader(replace(spec, format="tables", path=home, options={}))


def sample_version(spec: DatasetSpec) -> str:
    """Return what changes with the shop's content: size, seed and the generator's code stand for it."""
    options = sample_options(spec)
    return fingerprint("sample", options.size, options.seed, generator_version())


FORMATS: Final = (SourceFormat("sample", SampleOptions, sample_reader, made_by_code=True, version=sample_version),)
