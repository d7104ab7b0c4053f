import gzip
import json
import os
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from ingest.source_examples import OLD, SOURCE_EXAMPLES

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.config.formats import source_formats
from mmsra_pipeline.config.tree import InteractionsConfig
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest import lines, rejects
from mmsra_pipeline.ingest.raw_tables import ITEMS, REVIEWS
from mmsra_pipeline.ingest.reading import load, read_dataset
from mmsra_pipeline.ingest.rejects import REJECTS, REPEATED
from mmsra_pipeline.interactions.filtering import build_interactions

REAL_DATA = os.environ.get("MMSRA_REAL_DATA", "")
needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="MMSRA_REAL_DATA names no folder of real data sets")


def write(folder, *rows: dict, name: str = "M_5.json.gz", keep: int | None = None) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (folder / name).write_bytes(gzip.compress(content)[:keep] if name.endswith("gz") else content)


def amazon(folder, **options) -> DatasetSpec:
    return DatasetSpec("shop", "amazon-2018", folder, options, folder / "shop.yaml")


@pytest.mark.parametrize("name", [name for name, source in SOURCE_EXAMPLES.items() if not source.expanding])
def test_rows_of_a_source_are_kept_or_refused(tmp_path, name):
    source = SOURCE_EXAMPLES[name]
    source.write(tmp_path)
    raw = read_dataset(source.spec(tmp_path), tmp_path)
    loaded = raw.loaded
    assert loaded.rows == len(raw.reviews) + len(raw.items) + len(raw.rejects)
    counts = [source.counts[file](content) for file, content in source.files.items()]
    if None not in counts:
        assert loaded.rows == sum(counts)
    assert (loaded.bad_share, loaded.damaged) == (0, ())


def test_tables_are_handed_on_as_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(lines.read_blocks, "__defaults__", (500,))
    write(tmp_path, *OLD, {"asin": "x"}, *OLD, name="M_5.json")
    write(tmp_path, {"asin": "B1"}, {"asin": "B2"}, {"asin": "B1"}, {}, name="meta_M.json")
    got: dict[str, list[pa.Table]] = {"reviews": [], "items": [], "rejects": []}
    with duckdb.connect() as connection:
        loaded = load(amazon(tmp_path), tmp_path, connection, *(tables.append for tables in got.values()))
        assert connection.execute("show tables").fetchall() == []
    assert len(got["reviews"]) > 3
    assert [tables[0].schema for tables in got.values()] == [REVIEWS, ITEMS, REJECTS]
    orders = [order for table in got["reviews"] for order in table.column("order").to_pylist()]
    assert orders == list(range(12))
    assert [row["item_id"] for table in got["items"] for row in table.to_pylist()] == ["B1", "B2"]
    assert [(row["file"], row["line"]) for table in got["rejects"] for row in table.to_pylist()] == [
        ("M_5.json", 7), ("meta_M.json", 3), ("meta_M.json", 4),
    ]  # fmt: skip
    assert (loaded.rows, loaded.reviews, loaded.items, loaded.rejects, loaded.repeated) == (17, 12, 2, 3, 1)
    assert loaded.bad_share == 2 / 17


def test_rejects_come_in_order_of_file_and_line_whenever_they_were_passed_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rejects, "HELD", 2)
    write(tmp_path, OLD[0], *[{"asin": f"B{number}"} for number in range(7)], name="B_5.json")
    write(tmp_path, *[{"reviewerID": "A"}] * 5, name="A_5.json")
    found = read_dataset(amazon(tmp_path), tmp_path).rejects
    assert list(zip(found["file"], found["line"])) == [
        *[("A_5.json", line) for line in range(1, 6)], *[("B_5.json", line) for line in range(2, 9)],
    ]  # fmt: skip


def test_how_blocks_are_cut_changes_nothing(tmp_path, monkeypatch):
    for name, source in SOURCE_EXAMPLES.items():
        folder = tmp_path / name
        folder.mkdir()
        source.write(folder)
        whole = read_dataset(source.spec(folder), folder)
        with monkeypatch.context() as patch:
            patch.setattr(lines.read_blocks, "__defaults__", (100,))
            cut = read_dataset(source.spec(folder), folder)
        assert cut.loaded == whole.loaded
        for table in ("reviews", "items", "rejects"):
            assert getattr(cut, table).equals(getattr(whole, table)), (name, table)


def test_a_damaged_file_keeps_what_came_before_and_is_reported(tmp_path):
    rows = [OLD[number % 6] | {"reviewText": f"{number**7}"} for number in range(500)]
    write(tmp_path, *rows, keep=-300)
    loaded = read_dataset(amazon(tmp_path), tmp_path).loaded
    assert 300 < loaded.reviews < 500
    assert (loaded.rejects, loaded.rows) == (1, loaded.reviews + 1)
    assert [text.split(" (")[0] for text in loaded.damaged] == [
        f"M_5.json.gz, line {loaded.reviews + 1}: the gzip file is damaged or cut off here"
    ]


def test_a_repeated_item_is_a_reject_that_does_not_count_as_bad(tmp_path):
    write(tmp_path, *OLD)
    write(tmp_path, {"asin": "B1", "title": "first"}, {"asin": "B1", "title": "second"}, name="meta_A.json")
    write(tmp_path, {"asin": "B1", "title": "third"}, name="meta_B.json")
    raw = read_dataset(amazon(tmp_path), tmp_path)
    assert raw.items["title"].tolist() == ["first"]
    assert raw.rejects[["file", "line", "reason", "text"]].to_numpy().tolist() == [
        ["meta_A.json", 2, REPEATED, "B1 second"],
        ["meta_B.json", 1, REPEATED, "B1 third"],
    ]
    assert (raw.loaded.repeated, raw.loaded.bad_share) == (2, 0)


def test_without_a_usable_review_the_first_reason_is_reported_and_nothing_is_left(tmp_path):
    write(tmp_path, {"asin": "B1"}, {"asin": "B2"})
    message = (
        r"no usable review\. 2 rows were refused, the first in M_5\.json\.gz, line 1: user_id is empty\. That row: '"
    )
    with duckdb.connect() as connection, pytest.raises(DataError, match=message):
        load(amazon(tmp_path), tmp_path, connection, *[lambda table: None] * 3)


def test_a_file_that_is_missing_is_reported_before_anything_is_read(tmp_path):
    received = []
    with duckdb.connect() as connection, pytest.raises(MissingInputError, match=r"no file fits '\*_5\.json\*' or"):
        load(amazon(tmp_path), tmp_path, connection, *[received.append] * 3)
    assert received == []


def test_an_error_of_a_sink_ends_the_reading_and_its_threads(tmp_path):
    write(tmp_path, *OLD * 50)
    before = threading.active_count()

    def full(table):
        raise OSError("no space left")

    with duckdb.connect() as connection, pytest.raises(OSError, match="no space left"):
        load(amazon(tmp_path), tmp_path, connection, full, full, full)
    assert threading.active_count() == before


def test_a_connection_that_saw_an_error_can_be_used_again(tmp_path):
    write(tmp_path, {"asin": "B1"})
    with duckdb.connect() as connection:
        with pytest.raises(DataError):
            load(amazon(tmp_path), tmp_path, connection, *[lambda table: None] * 3)
        write(tmp_path, *OLD)
        loaded = load(amazon(tmp_path), tmp_path, connection, *[lambda table: None] * 3)
    assert (loaded.reviews, loaded.rejects) == (6, 0)


def test_pictures_are_found_for_items_of_any_format(tmp_path):
    write(tmp_path, *OLD)
    write(tmp_path, {"asin": "B0", "image": "https://pictures.test/0.jpg"}, name="meta_M.json")
    (tmp_path / "images").mkdir()
    for item in ("B0", "B1", "B9"):
        (tmp_path / "images" / f"{item}.jpg").write_bytes(b"x")
    raw = read_dataset(amazon(tmp_path), tmp_path)
    assert raw.items[["item_id", "image"]].to_numpy().tolist() == [["B0", "B0.jpg"], ["B1", "B1.jpg"]]
    assert raw.items["image_sha256"].notna().all()
    assert raw.loaded.rows == 6 + 1 + 1  # B1 has a picture and no row


def test_every_format_is_read_by_somebody():
    assert {source.format for source in SOURCE_EXAMPLES.values()} | {"sample"} == set(source_formats())


# Real data


def real(format_: str, folder: str, tmp_path, **options):
    return read_dataset(DatasetSpec("real", format_, Path(REAL_DATA) / folder, options), tmp_path)


@needs_real_data
@pytest.mark.real_data
def test_amazon_2018_files_load_whole_with_repeated_items_set_apart(tmp_path):
    raw = real("amazon-2018", "amazon-2018", tmp_path)
    loaded = raw.loaded
    assert (loaded.reviews, loaded.items, loaded.rejects, loaded.repeated) == (8_241, 3_867, 1_065, 1_065)
    assert loaded.rows == 8_241 + 3_867 + 1_065
    assert loaded.damaged == ()
    assert (raw.reviews["timestamp"] % 86_400_000 == 0).all()  # midnights
    assert not raw.items["title"].str.contains("<span", na=False).any()
    alone = real("amazon-2018", "amazon-2018", tmp_path, reviews="All_Beauty_5.json.gz", meta="meta_Gift_Cards.json.gz")
    assert (alone.loaded.reviews, alone.loaded.items) == (5_269, 1_547)
    file = Path(REAL_DATA) / "amazon-2018" / "All_Beauty_5.json.gz"
    rows = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    names = {"user_id": "reviewerID", "item_id": "asin", "rating": "overall"}
    for ours, theirs in names.items():
        assert alone.reviews[ours].tolist() == [row[theirs] for row in rows]
    assert alone.reviews["timestamp"].tolist() == [row["unixReviewTime"] * 1000 for row in rows]
    texts = ["\n".join(filter(None, (row.get("summary"), row.get("reviewText")))) for row in rows]
    assert alone.reviews["review"].fillna("").tolist() == texts
    loose = InteractionsConfig(user_core=1, item_core=1)
    with duckdb.connect() as connection:
        _, funnel = build_interactions(connection, alone.reviews, loose, 0)
    counts = funnel.set_index("step")["interactions"]
    assert counts["source"] - counts["exact_duplicates"] == 1_027


@needs_real_data
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("format_", "options", "rows", "found", "items", "repeated"),
    [
        ("amazon-2014", {"meta": "meta_Demo.json.gz"}, 4, 2, 2, 0),
        ("amazon-2014", {"reviews": "ratings_Demo.csv", "meta": "meta_Demo.json.gz"}, 4, 2, 2, 0),
        ("amazon-2018", {"reviews": "Demo18_5.json.gz", "meta": "meta_Demo18.json.gz"}, 7, 3, 3, 1),
        ("amazon-2023", {"reviews": "Demo23.jsonl.gz", "meta": "meta_Demo23*"}, 4, 2, 2, 0),
        ("amazon-2023", {"reviews": "Demo23.rating_only.csv", "meta": "meta_Demo23*"}, 3, 1, 2, 0),
        ("amazon-2023", {"reviews": "Demo23.last_out*", "meta": "meta_Demo23*"}, 4, 2, 2, 0),
        ("amazon-2023", {"reviews": "Demo23.last_out*", "meta": "meta_Demo23*", "history": True}, 4, 4, 2, 0),
        ("microlens", {"titles": "MicroLens-50k_titles.csv"}, 6, 3, 3, 0),
        ("microlens", {"pairs": "*_pairs.tsv", "titles": "MicroLens-100k*"}, 4, 3, 2, 0),
    ],
)
def test_the_samples_of_public_formats_load(tmp_path, format_, options, rows, found, items, repeated):
    loaded = real(format_, "format-samples", tmp_path, **options).loaded
    assert (loaded.rows, loaded.reviews, loaded.items, loaded.rejects, loaded.repeated) == (
        rows, found, items, repeated, repeated,
    )  # fmt: skip


@needs_real_data
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("format_", "folder", "rows", "found", "items"),
    [
        ("microlens", "microlens-50k", 50_000 + 19_220, 359_708, 19_220),
        ("tables", "movielens-posters", 100_836 + 9_742, 100_836, 9_742),
    ],
)
def test_microlens_and_movielens_load_without_a_reject(tmp_path, format_, folder, rows, found, items):
    loaded = real(format_, folder, tmp_path).loaded
    assert (loaded.rows, loaded.reviews, loaded.items, loaded.rejects) == (rows, found, items, 0)
