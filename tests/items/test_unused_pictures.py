import sqlite3

import pandas as pd
import pytest

from mmsra_pipeline.items.unused_pictures import unused_pictures
from mmsra_pipeline.items.web.fetching import JOURNAL


@pytest.fixture
def stored(artifacts):
    """Four stored pictures, by name."""
    return {name: artifacts.put_blob("images", name.encode(), ".jpg") for name in ("one", "two", "fetched", "unused")}


def test_a_picture_goes_if_neither_a_slice_nor_the_journal_names_it(artifacts, store, stored):
    slices = [
        store.replace("item_images", name, pd.DataFrame({"image_sha256": [stored[name], None]})).path
        for name in ("one", "two")
    ]
    journal = sqlite3.connect(artifacts.root / "images" / JOURNAL)
    with journal:
        journal.execute("create table pictures (url text, image_sha256 text)")
        journal.executemany("insert into pictures values (?, ?)", [("u", stored["fetched"]), ("v", None)])
    journal.close()
    (artifacts.root / "images" / "blobs" / "ab").mkdir(exist_ok=True)
    (artifacts.root / "images" / "blobs" / "ab" / "notes.jpg").write_text("no blob of ours")
    found = [entry.path for entry in unused_pictures(artifacts, slices)]
    assert found == [artifacts.blob_path("images", stored["unused"], ".jpg")]
    assert len(list(unused_pictures(artifacts, slices[:1]))) == 2


def test_without_journal_and_tables_all_pictures_are_unused(artifacts, stored):
    assert len(list(unused_pictures(artifacts, []))) == 4
