import shutil

import pytest

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.ingest.source_hash import source_version


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(b"picture")
    (folder / "interactions.csv").write_text("user_id,item_id\nu,a\n")
    (folder / "items.csv").write_text("item_id\na\n")
    return folder


def version(source, **options):
    return source_version(DatasetSpec("shop", "tables", source, options))


def test_the_version_is_of_the_content_and_not_of_the_place(source):
    before = version(source)
    moved = source.parent / "moved"
    shutil.copytree(source, moved)
    assert version(moved) == before


@pytest.mark.parametrize("name", ["interactions.csv", "items.csv", "images/a.jpg", "images/new.jpg"])
def test_a_changed_or_added_file_changes_it(source, name):
    before = version(source)
    with (source / name).open("ab") as handle:
        handle.write(b"\n")
    assert version(source) != before


def test_another_way_of_reading_changes_it(source):
    assert version(source, columns={"title": "item_id"}) != version(source)


def test_a_file_that_is_no_source_does_not_count(source):
    before = version(source)
    (source / "notes.txt").write_text("x")
    assert version(source) == before


def test_a_missing_file_is_named(source):
    (source / "items.csv").unlink()
    with pytest.raises(
        MissingInputError, match=r"shop: no file fits 'items\.csv'\. Put it there, or name it in the YAML"
    ):
        version(source)


def test_microlens_counts_pairs_titles_and_covers(tmp_path):
    (tmp_path / "M_pairs.tsv").write_text("1\t2\n")
    (tmp_path / "M_titles.csv").write_text("2,x\n")
    spec = DatasetSpec("m", "microlens", tmp_path)
    versions = [source_version(spec)]
    for name in ("M_pairs.tsv", "M_titles.csv", "covers/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("ab") as handle:
            handle.write(b" 3")
        versions.append(source_version(spec))
    assert len(set(versions)) == 4


def test_amazon_counts_reviews_metadata_and_pictures(tmp_path):
    (tmp_path / "A_5.json").write_text("{}\n")
    spec = DatasetSpec("a", "amazon-2018", tmp_path)
    versions = [source_version(spec)]
    for name in ("A_5.json", "B_5.json.gz", "meta_A.json", "images/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("ab") as handle:
            handle.write(b" 3")
        versions.append(source_version(spec))
    assert len(set(versions)) == 5
    assert source_version(DatasetSpec("a", "amazon-2014", tmp_path, {"reviews": ["*_5.json*"]})) not in versions


def test_the_sample_hangs_on_size_and_seed():
    versions = [
        source_version(DatasetSpec("s", "sample", options=options))
        for options in ({}, {"size": "small", "seed": 0}, {"size": "tiny"}, {"seed": 1})
    ]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3
