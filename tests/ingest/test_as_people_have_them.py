"""Every kind of file that people were met with gives its values, or a message that says how to go on."""

import re

import pytest
from ingest.as_people_have_them import CASES, CLEAN, IDS, ITEMS, ROWS, TIMES, TITLES, USERS, Case, parquet, table
from ingest.more_as_people_have_them import MORE

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.ingest.folder_guess import guess
from mmsra_pipeline.ingest.reading import read_dataset


def write(folder, case: Case) -> DatasetSpec:
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return DatasetSpec("shop", case.format, folder, dict(case.options), folder / "shop.yaml")


@pytest.mark.parametrize("name", CASES | MORE)
def test_a_file_as_people_have_it_gives_what_is_right(tmp_path, name):
    case = (CASES | MORE)[name]
    spec = write(tmp_path, case)
    if case.error:
        with pytest.raises(MmsraError, match=case.error):
            read_dataset(spec, tmp_path)
        return
    raw = read_dataset(spec, tmp_path)
    assert raw.loaded.rows == len(raw.reviews) + len(raw.items) + len(raw.rejects)
    for note in case.notes:
        assert [said for said in raw.loaded.notes if re.search(note, said)], raw.loaded.notes
    own = raw.rejects[~raw.rejects["file"].str.contains("item") & ~raw.rejects["reason"].str.startswith("repeats an")]
    assert dict.fromkeys(own["line"]) == dict.fromkeys(case.reasons)
    for line, reason in zip(own["line"], own["reason"], strict=True):
        assert re.search(case.reasons[line], reason)
    if case.other is not None:
        assert case.other(raw)
        return
    assert list(zip(raw.reviews["user_id"], raw.reviews["item_id"], strict=True)) == [row[:2] for row in ROWS]
    assert raw.reviews["timestamp"].tolist() == [time * 1000 for time in TIMES]
    assert raw.reviews["review"].isna().all() or case.format.startswith("amazon")


def test_the_clean_data_set_is_what_the_cases_begin_from():
    assert len(ROWS) == len(set(TIMES)) == 12
    assert (USERS[0], IDS[0]) == ("ana", "p1")


def test_a_folder_is_detected_with_its_shards_its_subfolders_and_one_table_in_two_forms(tmp_path):
    shards = [{name: column[at : at + 6] for name, column in CLEAN.items()} for at in (0, 6)]
    items = parquet({"item_id": list(TITLES), "title": ["x"] * 4})
    hub = Case(
        {"README.md": "# A shop", "items/train-00000-of-00001.parquet": items}
        | {f"data/train-0000{at}-of-00002.parquet": parquet(shard) for at, shard in enumerate(shards)}
    )
    write(tmp_path / "hub", hub)
    found = guess(tmp_path / "hub")
    assert found.options == {"interactions": "data/train-*.parquet", "items": "items/train-00000-of-00001.parquet"}
    raw = read_dataset(DatasetSpec("hub", found.format, tmp_path / "hub", found.options, None), tmp_path)
    assert len(raw.reviews) == 12
    write(
        tmp_path / "twice",
        Case({"interactions.csv": table(), "interactions.parquet": parquet(CLEAN), "items.csv": ITEMS}),
    )
    found = guess(tmp_path / "twice")
    assert found.options["interactions"] == "interactions.csv"
    assert found.passed_over == ("interactions.parquet: seems to be what interactions.csv is in another form",)
    write(tmp_path / "below", Case({"shop/interactions.csv": table(), "shop/items.csv": ITEMS, "shop2.txt": "x"}))
    found = guess(tmp_path / "below")
    assert found.options == {"interactions": "shop/interactions.csv", "items": "shop/items.csv"}
