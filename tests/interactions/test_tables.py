import hashlib

import pandas as pd
import pytest

from mmsra_pipeline.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.interactions.tables import read_tables

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
    return read_tables(DatasetSpec("shop", "tables", source, options, source.parent / "shop.yaml"))


def test_both_tables_come_in_the_common_columns(source):
    raw = read(source)
    assert raw.reviews.drop(columns=["rating", "review"]).to_dict("list") == {
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
        "u1,b,soon,4\n"
        '"u\n2",b,200,4\n'  # lines 6 and 7
        "u1,b,200,good\n"
        "u1,b,200,1,2\n"
        "\n"
        "u3,b,300,5\n"
    )
    raw = read(source)
    assert raw.reviews["user_id"].tolist() == ["u1", "u\n2", "u3"]
    assert raw.reviews["order"].tolist() == [0, 4, 6]
    assert raw.rejects["line"].tolist() == [3, 4, 5, 8, 9]
    assert set(raw.rejects["file"]) == {"interactions.csv"}
    assert raw.rejects["text"].tolist()[:2] == [",a,100,4", "u1,,100,4"]
    starts = ["user_id is empty", "item_id is empty", "timestamp is neither", "rating is not", "has 5 fields"]
    assert [reason.startswith(start) for reason, start in zip(raw.rejects["reason"], starts)] == [True] * 5
    assert len(raw.reviews) + len(raw.rejects) == 8


def test_of_items_with_one_id_the_first_counts(source):
    (source / "items.csv").write_text("item_id,title\na,first\na,second\n,none\n")
    raw = read(source)
    assert raw.items["title"].tolist() == ["first"]
    assert raw.rejects[["file", "line", "reason"]].to_numpy().tolist() == [
        ["items.csv", 3, "item_id stands in an earlier row"],
        ["items.csv", 4, "item_id is empty"],
    ]


def test_the_text_of_a_reject_is_bounded(source):
    (source / "items.csv").write_text("item_id,title\na,x\n," + "y" * 1000 + "\n")
    assert read(source).rejects["text"].str.len().tolist() == [300]


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
    (source / "interactions.csv").write_text("userid,item_id\nu1,a\n")
    message = (
        r"interactions\.csv: column 'user_id' is missing\. Found: userid, item_id\. Say in .*shop\.yaml what the file "
        r"calls it: `columns: \{user_id: userid\}`"
    )
    with pytest.raises(DataError, match=message):
        read(source)


def test_a_mapped_column_must_be_there_even_if_it_is_optional(source):
    with pytest.raises(DataError, match=r"column 'rating' \(called 'stars' under `columns:`\) is missing"):
        read(source, columns={"rating": "stars"})


def test_a_missing_file_or_folder_is_named(source):
    (source / "items.csv").unlink()
    with pytest.raises(MissingInputError, match=r"items\.csv is not there"):
        read(source)
    with pytest.raises(MissingInputError, match=r"dataset 'shop': its folder .*nowhere is not there.*correct `path:`"):
        read(source.parent / "nowhere")


def test_a_file_without_a_usable_row_says_what_is_wrong_with_the_first(source):
    (source / "interactions.csv").write_text("user_id,item_id\n,a\n,b\n")
    with pytest.raises(DataError, match=r"no usable row\. 2 rows were refused, the first in line 2: user_id is empty"):
        read(source)


def test_ids_keep_their_leading_zeros_and_are_text(source):
    (source / "interactions.csv").write_text("user_id,item_id\n007,01\n")
    assert read(source).reviews.loc[0, ["user_id", "item_id"]].tolist() == ["007", "01"]


def test_without_an_image_column_the_file_named_as_the_item_is_its_picture(source):
    (source / "items.csv").write_text("item_id,title\na,Mug\nb,Bag\n")
    assert read(source).items["image"].fillna("none").tolist() == ["a.jpg", "none"]


def test_parquet_gives_the_same_as_csv(source):
    from_csv = read(source)
    reviews = pd.DataFrame(
        {"user_id": ["u1", "u2"], "item_id": ["a", "b"], "timestamp": [100, 200], "rating": [4.0, None]}
    )
    reviews.to_parquet(source / "interactions.parquet")
    from_parquet = read(source, interactions="interactions.parquet")
    pd.testing.assert_frame_equal(from_parquet.reviews, from_csv.reviews)


def test_a_picture_outside_the_folder_has_no_hash(source):
    (source / "secret.jpg").write_bytes(b"secret")
    (source / "images" / "link.jpg").symlink_to(source / "secret.jpg")
    (source / "items.csv").write_text(
        f"item_id,image\na,../secret.jpg\nb,{source}/secret.jpg\nc,link.jpg\nd,images/../../secret.jpg\n"
    )
    assert read(source).items["image_sha256"].isna().all()
