import gzip
import hashlib

import pandas as pd
import pyarrow as pa
import pytest

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest.reading import read_dataset
from mmsra_pipeline.ingest.rejects import REPEATED

INTERACTIONS = "user_id,item_id,timestamp,rating\nu1,a,100,4\nu2,b,200,\n"
ITEMS = "item_id,title,category,tags,image\na,Mug,Home|Kitchen,red| |new,images/a.jpg\nb,,,,\n"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "shop"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "a.jpg").write_bytes(b"picture")
    (folder / "interactions.csv").write_text(INTERACTIONS)
    (folder / "items.csv").write_text(ITEMS)
    return folder


def read(source, **options):
    raw = read_dataset(DatasetSpec("shop", "tables", source, options, source.parent / "shop.yaml"), source.parent)
    assert raw.loaded.rows == len(raw.reviews) + len(raw.items) + len(raw.rejects)
    return raw


def test_both_tables_come_in_the_common_columns(source):
    raw = read(source)
    assert raw.reviews.drop(columns=["rating", "review", "line_hash"]).to_dict("list") == {
        "user_id": ["u1", "u2"],
        "item_id": ["a", "b"],
        "timestamp": [100_000, 200_000],
        "order": [0, 1],
    }
    assert raw.reviews["rating"].isna().tolist() == [False, True]
    assert raw.reviews["review"].isna().all()
    assert raw.items.iloc[0].drop(["description", "image_sha256"]).to_dict() == {
        "item_id": "a", "title": "Mug", "category": "Home, Kitchen", "tags": "red, new", "image": "images/a.jpg",
    }  # fmt: skip
    assert raw.items.iloc[1].drop("item_id").isna().all()
    assert raw.image_root == source / "images"
    assert raw.rejects.empty


def test_a_picture_is_known_by_the_sha256_of_its_bytes(source):
    expected = hashlib.sha256(b"picture").hexdigest()
    assert read(source).items["image_sha256"].fillna("none").tolist() == [expected, "none"]


def test_kept_and_rejected_rows_make_up_the_source_and_name_their_lines(source):
    (source / "interactions.csv").write_text(
        "user_id,item_id,timestamp,rating\n"
        "u1,a,100,4\n"
        ",a,100,4\n"  # line 3
        "u1,,100,4\n"
        ",,,\n"  # an empty row of a spreadsheet is no row
        "u1,b,soon,4\n"
        '"u\n2",b,200,4\n'  # lines 7 and 8
        "u1,b,200,good\n"
        "u1,b,200,1,2\n"
        "\n"
        "u3,b,300,5\n"
    )
    raw = read(source)
    assert raw.reviews["user_id"].tolist() == ["u1", "u\n2", "u3"]
    assert raw.reviews["order"].tolist() == [0, 1, 2]
    assert raw.rejects["line"].tolist() == [3, 4, 6, 9, 10]
    assert set(raw.rejects["file"]) == {"interactions.csv"}
    assert raw.rejects["text"].tolist() == [
        ",a,100,4", "u1,,100,4", "u1,b,soon,4", "u1,b,200,good", "u1,b,200,1,2",
    ]  # fmt: skip
    starts = ["user_id", "item_id", "timestamp is neither", "rating is not", "has 5 fields"]
    assert [reason.startswith(start) for reason, start in zip(raw.rejects["reason"], starts)] == [True] * 5
    assert raw.loaded.rows == 8 + 2
    assert raw.loaded.bad_share == 5 / 10


def test_of_items_with_one_id_the_first_counts(source):
    (source / "items.csv").write_text("item_id,title\na,first\na,second\n,none\na,third\n")
    raw = read(source)
    assert raw.items["title"].tolist() == ["first"]
    assert raw.rejects[["file", "line", "reason", "text"]].to_numpy().tolist() == [
        ["items.csv", 3, REPEATED, "a second"],
        ["items.csv", 4, "item_id is empty", ",none"],
        ["items.csv", 5, REPEATED, "a third"],
    ]
    assert (raw.loaded.rejects, raw.loaded.repeated) == (3, 2)


def test_the_text_of_a_reject_is_bounded(source):
    (source / "items.csv").write_text("item_id,title\na,x\n," + "y" * 1000 + "\na," + "z" * 1000 + "\n")
    assert read(source).rejects["text"].str.len().tolist() == [300, 300]


def test_columns_may_have_other_names(source):
    (source / "interactions.csv").write_text("uid,asin,when\nu1,a,2024-01-02\n")
    (source / "items.csv").write_text("sku,name\na,Mug\n")
    raw = read(
        source,
        columns={"user_id": "uid", "item_id": "asin", "timestamp": "when", "title": "name"},
        item_columns={"item_id": "sku"},
    )
    assert raw.reviews.loc[0, ["user_id", "item_id", "timestamp"]].tolist() == ["u1", "a", 1_704_153_600_000]
    assert raw.items.loc[0, ["item_id", "title"]].tolist() == ["a", "Mug"]


def test_a_missing_column_says_what_was_found_and_how_to_map_it(source):
    (source / "interactions.csv").write_text("usr,item_id\nu1,a\n")
    message = (
        r"interactions\.csv: column 'user_id' is missing\. Found, .*: usr, item_id\. Say in .*shop\.yaml what the file "
        r"calls it: `columns: \{user_id: usr\}`"
    )
    with pytest.raises(DataError, match=message):
        read(source)


def test_a_mapped_column_must_be_there_even_if_it_is_optional(source):
    with pytest.raises(DataError, match=r"column 'rating' \(called 'stars' under `columns:`\) is missing"):
        read(source, columns={"rating": "stars"})


def test_a_missing_file_or_folder_is_named(source):
    (source / "items.csv").unlink()
    with pytest.raises(
        MissingInputError, match=r"no file fits 'items\.csv'\. Put it there, or name it in .*shop\.yaml"
    ):
        read(source)
    with pytest.raises(MissingInputError, match=r"dataset 'shop': its folder .*nowhere is not there.*correct `path:`"):
        read(source.parent / "nowhere")


def test_a_file_without_a_usable_row_says_what_is_wrong_with_the_first(source):
    (source / "interactions.csv").write_text("user_id,item_id\n,a\n,b\n")
    message = (
        r"dataset 'shop' in .*shop: no usable review\. 2 rows were refused, the first in interactions\.csv, line 2: "
        r"user_id is empty\. That row: ',a'\. Fix the files, or correct the YAML\."
    )
    with pytest.raises(DataError, match=message):
        read(source)


def test_a_file_without_any_row_says_so(source):
    (source / "interactions.csv").write_text("user_id,item_id\n")
    with pytest.raises(DataError, match=r"no usable review\. The files hold no row beside the header\. Fix the files"):
        read(source)


def test_ids_keep_their_leading_zeros_and_are_text(source):
    (source / "interactions.csv").write_text("user_id,item_id\n007,01\n")
    assert read(source).reviews.loc[0, ["user_id", "item_id"]].tolist() == ["007", "01"]


@pytest.mark.parametrize("items", ["item_id,title\na,Mug\nb,Bag\n", "item_id,image\na,\nb,other.jpg\n"])
def test_an_item_without_a_named_picture_has_the_one_called_as_it(source, items):
    (source / "items.csv").write_text(items)
    assert read(source).items["image"].fillna("none").tolist()[0] == "a.jpg"


def test_a_picture_called_as_the_item_goes_before_a_url_and_a_named_one_before_both(source):
    (source / "images" / "named.jpg").write_bytes(b"named")
    (source / "items.csv").write_text(
        "item_id,image\na,https://pictures.test/a.jpg\nb,HTTP://pictures.test/b.jpg\nc,named.jpg\nd,http.jpg\n"
    )
    items = read(source).items
    assert items["image"].tolist() == ["a.jpg", "HTTP://pictures.test/b.jpg", "named.jpg", "http.jpg"]
    assert items["image_sha256"].notna().tolist() == [True, False, True, False]


def test_a_name_that_no_file_can_have_is_a_missing_picture(source):
    (source / "items.csv").write_text(f"item_id,image\na,{'x' * 300}.jpg\nb,{'x/' * 3000}\n")
    assert read(source).items["image_sha256"].isna().tolist() == [False, True]  # a has one called as it


def test_parquet_gives_the_same_as_csv(source):
    from_csv = read(source)
    reviews = pd.DataFrame(
        {"user_id": ["u1", "u2"], "item_id": ["a", "b"], "timestamp": [100, 200], "rating": [4.0, None]}
    )
    reviews.to_parquet(source / "interactions.parquet")
    from_parquet = read(source, interactions="interactions.parquet")
    pd.testing.assert_frame_equal(from_parquet.reviews, from_csv.reviews)


def test_packed_files_give_the_same_as_plain_ones(source):
    plain = read(source)
    (source / "interactions.csv.gz").write_bytes(gzip.compress(INTERACTIONS.encode()))
    with pa.CompressedOutputStream(str(source / "items.csv.zst"), "zstd") as stream:
        stream.write(ITEMS.encode())
    found = read(source, interactions="interactions.csv.gz", items="items.csv.zst")
    pd.testing.assert_frame_equal(found.reviews, plain.reviews)
    pd.testing.assert_frame_equal(found.items, plain.items)


@pytest.mark.parametrize("interactions", ["part_*.csv", ["part_1.csv", "part_2.csv"], ["part_*.csv", "part_1.csv"]])
def test_several_files_are_one_table_in_order_of_name(source, interactions):
    (source / "part_2.csv").write_text("item_id,user_id\nb,u2\n")
    (source / "part_1.csv").write_text("user_id,item_id\nu1,a\n,a\n")
    raw = read(source, interactions=interactions)
    assert raw.reviews[["user_id", "order"]].to_numpy().tolist() == [["u1", 0], ["u2", 1]]
    assert raw.rejects[["file", "line"]].to_numpy().tolist() == [["part_1.csv", 3]]


def test_files_of_folders_below_are_named_with_their_folder(source):
    for year in ("2023", "2024"):
        (source / year).mkdir()
        (source / year / "i.csv").write_text(f"user_id,item_id\nu{year},a\n,b\n")
    raw = read(source, interactions="*/i.csv")
    assert raw.reviews["user_id"].tolist() == ["u2023", "u2024"]
    assert raw.rejects["file"].tolist() == ["2023/i.csv", "2024/i.csv"]


def test_a_damaged_file_is_reported_and_what_came_before_is_kept(source):
    rows = "".join(f"u{number},a\n" for number in range(2000))
    packed = gzip.compress(f"user_id,item_id\n{rows}".encode())
    (source / "interactions.csv.gz").write_bytes(packed[: len(packed) // 2])
    raw = read(source, interactions="interactions.csv.gz")
    count = len(raw.reviews)
    assert 500 < count < 1999
    assert raw.reviews["user_id"].tolist() == [f"u{number}" for number in range(count)]
    assert raw.rejects["line"].tolist() == [count + 2]
    assert raw.loaded.damaged[0].startswith(
        f"interactions.csv.gz, line {count + 2}: the gzip file is damaged or cut off"
    )


def test_a_picture_outside_the_folder_has_no_hash(source):
    (source / "secret.jpg").write_bytes(b"secret")
    (source / "images" / "link.jpg").symlink_to(source / "secret.jpg")
    (source / "items.csv").write_text(
        f"item_id,image\nw,../secret.jpg\nx,{source}/secret.jpg\ny,link.jpg\nz,images/../../secret.jpg\n"
    )
    assert read(source).items.set_index("item_id").loc[list("wxyz"), "image_sha256"].isna().all()


def test_half_a_surrogate_in_a_key_within_a_key_costs_no_row(source):
    rows = '{"user_id": "u1", "item_id": "a", "more": {"id\\ud800": 1}}\n{"user_id": "u2", "item_id": "b"}\n'
    (source / "interactions.jsonl").write_text(rows)
    assert read(source, interactions="interactions.jsonl").reviews["user_id"].tolist() == ["u1", "u2"]
