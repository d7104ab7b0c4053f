import logging

import pytest

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest import source_files
from mmsra_pipeline.ingest.lines import read_blocks
from mmsra_pipeline.ingest.source_files import fitting, optional_folder, source_folder, tracked_blocks
from mmsra_pipeline.telemetry import progress


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "shop"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "meta_a.csv", "c.tsv", "odd[1].csv", "sub/a.csv"):
        (folder / name).write_text("")
    (tmp_path / "secret.csv").write_text("")
    return folder


def names(home, *patterns: str, **settings) -> list[str]:
    spec = DatasetSpec("shop", "tables", home, file=home.parent / "shop.yaml")
    return [path.relative_to(home).as_posix() for path in fitting(home, patterns, "items", spec, **settings)]


def test_files_come_in_order_of_pattern_and_name_each_once(home):
    assert names(home, "c.tsv", "?.csv", "a.csv", "sub/*") == ["c.tsv", "a.csv", "b.csv", "sub/a.csv"]


def test_folders_are_no_files(home):
    assert names(home, "s*", "**/a.csv", needed=False) == ["a.csv", "sub/a.csv"]


def test_metadata_are_left_out_where_asked(home):
    assert names(home, "*a.csv", without="meta_") == ["a.csv"]


def test_of_usual_names_the_first_that_fits_is_taken(home):
    assert names(home, "x*", "*.tsv", "*.csv", every=False) == ["c.tsv"]


def test_a_name_with_signs_of_patterns_is_found_as_it_is(home):
    assert names(home, "odd[1].csv") == ["odd[1].csv"]


@pytest.mark.parametrize("pattern", ["../secret.csv", "sub/../../secret.csv", "/etc/passwd", "../*"])
def test_a_pattern_that_leads_out_of_the_folder_is_refused(home, pattern):
    with pytest.raises(
        DataError, match=r"shop\.yaml: items: '.*' leads out of .*shop\. Name files below it, or change"
    ):
        names(home, pattern)


@pytest.mark.parametrize("pattern", ["", "***", "a**", ".", "x" * 5000])
def test_a_pattern_that_is_none_is_refused(home, pattern):
    with pytest.raises(
        (DataError, MissingInputError), match=r"shop\.yaml: (items: '.*' is no name of files|`items: FILE)"
    ):
        names(home, pattern)


def test_what_fits_nothing_is_named_with_the_setting(home):
    with pytest.raises(
        MissingInputError, match=r"shop: no file fits 'x\*'\. Put it there, or name it in .*shop\.yaml: `items"
    ):
        names(home, "a.csv", "x*")
    with pytest.raises(MissingInputError, match=r"no file fits 'x\*' or 'y'\. Put it there"):
        names(home, "x*", "y", every=False)
    assert names(home, "x*", needed=False) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    spec = DatasetSpec("shop", "tables", tmp_path / "gone", file=tmp_path / "shop.yaml")
    with pytest.raises(
        MissingInputError, match=r"dataset 'shop': its folder .*gone is not there.*correct `path:` in .*yaml"
    ):
        source_folder(spec)
    assert optional_folder(tmp_path / "gone") is None
    assert optional_folder(tmp_path) == tmp_path


def test_progress_counts_megabytes_of_the_file(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(source_files, "MEGABYTE", 10)
    monkeypatch.setattr(read_blocks, "__defaults__", (30,))
    (tmp_path / "a.csv").write_text("12345678\n" * 10)
    assert len(list(tracked_blocks(tmp_path / "a.csv"))) == 3
    assert [record.message.split(" · ")[0] for record in caplog.records] == [
        "reading a.csv: 3 of 9 MB", "reading a.csv: 6 of 9 MB", "reading a.csv: 9 of 9 MB",
    ]  # fmt: skip
