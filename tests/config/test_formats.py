"""Formats are found by name; an installed package may add one."""

from importlib.metadata import EntryPoint

import pytest

from mmsra_pipeline.config import formats
from mmsra_pipeline.config.datasets import DatasetSpec, load_dataset, write_dataset
from mmsra_pipeline.config.formats import GROUP, SourceFormat, source_formats
from mmsra_pipeline.config.section import Section
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.ingest.reading import files_reader

KNOWN = {"sample", "tables", "microlens", "amazon-2014", "amazon-2018", "amazon-2023"}


class Options(Section):
    file: str = "events.jsonl"


class Reader:
    def __init__(self, spec: DatasetSpec) -> None:
        self.name = spec.name


EVENTS = SourceFormat("events", Options, Reader)
OCCUPIED = SourceFormat("tables", Options, Reader)
NO_FORMAT = Options


@pytest.fixture
def installed(monkeypatch):
    """Let a package be installed that names something of this module as a format."""

    def install(name: str) -> None:
        point = EntryPoint("events", f"{__name__}:{name}", GROUP)
        monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.value.split(":")[1]])
        monkeypatch.setattr(formats, "entry_points", lambda group: [point] if group == GROUP else [])
        source_formats.cache_clear()

    yield install
    monkeypatch.undo()
    source_formats.cache_clear()


def test_the_formats_of_this_package_are_found_in_the_readers_folder():
    assert set(source_formats()) == KNOWN


def test_an_installed_package_adds_a_format_with_options_and_reader(installed, tmp_path):
    installed("EVENTS")
    assert set(source_formats()) == KNOWN | {"events"}
    (tmp_path / "source").mkdir()
    spec = DatasetSpec("mine", "events", tmp_path / "source", {"file": "e.jsonl"})
    write_dataset(tmp_path / "datasets", spec)
    assert files_reader(load_dataset(tmp_path / "datasets", "mine")).name == "mine"
    with pytest.raises(ConfigError, match=r"fil: no such setting. Did you mean 'file'"):
        write_dataset(tmp_path / "datasets", DatasetSpec("other", "events", tmp_path / "source", {"fil": "x"}))


@pytest.mark.parametrize("name", ["OCCUPIED", "NO_FORMAT"])
def test_a_package_that_gives_a_taken_name_or_no_format_is_named(installed, name):
    installed(name)
    with pytest.raises(ConfigError, match=rf"entry point events = .*:{name} .*Correct or uninstall"):
        source_formats()
