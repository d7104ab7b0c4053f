import gzip
import hashlib

import pytest
from ingest.taking import blocks, read_tables

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest.readers.microlens import read_pairs, read_titles
from mmsra_pipeline.ingest.reading import read_dataset
from mmsra_pipeline.ingest.rejects import REPEATED


@pytest.fixture
def source(tmp_path):
    (tmp_path / "M_pairs.tsv").write_text("1\t12 7\n2\t7\n")
    (tmp_path / "M_titles.csv").write_text("item,title\n7,a cat\n")
    return tmp_path


def read(source, **options):
    return read_dataset(DatasetSpec("m", "microlens", source, options, source / "m.yaml"), source)


def titles(content: bytes, *cuts: int):
    return read_tables(lambda sink: read_titles(blocks(content, *cuts), "M_titles.csv", sink))


def pairs(content: bytes, *cuts: int):
    return read_tables(lambda sink: read_pairs(blocks(content, *cuts), "M_pairs.tsv", sink))


def test_pairs_come_in_their_order_without_times(source):
    raw = read(source)
    assert raw.reviews[["user_id", "item_id", "order"]].to_numpy().tolist() == [
        ["1", "12", 0],
        ["1", "7", 1],
        ["2", "7", 2],
    ]
    assert raw.reviews["timestamp"].isna().all()
    assert (raw.loaded.rows, raw.loaded.reviews, raw.loaded.items) == (3, 3, 1)


def test_pairs_with_times_go_before_those_without(source):
    (source / "M_pairs.csv").write_text("user,item,timestamp\n1,12,1583378629552\n1,7,1584000000123\n2,7,soon\n")
    raw = read(source)
    assert raw.reviews["timestamp"].tolist() == [1_583_378_629_552, 1_584_000_000_123]
    assert raw.rejects[["file", "line"]].to_numpy().tolist() == [["M_pairs.csv", 4]]


def test_pairs_with_times_need_their_columns(source):
    (source / "M_pairs.csv").write_text("user,item\n1,12\n")
    with pytest.raises(DataError, match=r"M_pairs\.csv: column 'timestamp' is missing\. Found, .*: user, item"):
        read(source)


def test_packed_files_are_read_as_plain_ones(source):
    before = read(source)
    for name in ("M_pairs.tsv", "M_titles.csv"):
        (source / f"{name}.gz").write_bytes(gzip.compress((source / name).read_bytes()))
        (source / name).unlink()
    raw = read(source)
    assert raw.reviews.equals(before.reviews)
    assert raw.items.equals(before.items)


def test_titles_are_read_quoted_or_not_with_crlf_and_with_commas():
    found = titles(
        b'item,title\r\n7,"a cat, a box # funny"\r\n12,"she said ""go"""\r\n13,"null"\r\n14,one, two "three"\r\n15,\r\n'
    )
    assert dict(zip(found.column("item_id"), found.column("title"))) == {
        "7": "a cat, a box # funny", "12": 'she said "go"', "13": None, "14": 'one, two "three"', "15": None,
    }  # fmt: skip


def test_titles_without_a_header_lose_no_line():
    assert titles(b"7,a cat, a box\n12, she said go\n").column("title") == ["a cat, a box", "she said go"]


@pytest.mark.parametrize("header", [b"item,title", b"Item, Title", b"\xef\xbb\xbfitem,title\r"])
def test_a_header_is_no_row_whatever_its_case(source, header):
    (source / "M_titles.csv").write_bytes(header + b"\n7,a cat\n")
    assert read(source).items["item_id"].tolist() == ["7"]


@pytest.mark.parametrize("cuts", [(), (2,)])
def test_only_the_first_line_can_be_a_header(cuts):
    assert titles(b"7,a cat\nitem,title\n", *cuts).column("item_id") == ["7", "item"]


@pytest.mark.parametrize("cuts", [(), (2,), (3, 5), range(2, 9)])
def test_bad_lines_are_refused_with_their_place_however_blocks_are_cut(cuts):
    found = pairs(b"1\t12 7\nno tab\n\t7\n3\t\n\n4\tcaf\xe9\n5\t7\n", *cuts)
    assert found.column("user_id") == ["1", "1", "5"]
    assert found.rows == 6
    assert found.reasons() == {
        2: "has no tab between user and items", 3: "user_id is empty", 4: "names no item", 6: "is not valid UTF-8",
    }  # fmt: skip
    found = titles(b'item,title\n7,a\nnothing\n8,"open\n,x\n9,"a" b\n1,caf\xe9\n', *cuts)
    assert found.column("item_id") == ["7"]
    assert found.rows == 6
    assert found.reasons() == {
        3: "has no comma between item and title", 4: "the title's quotes are not closed", 5: "item_id is empty",
        6: "the title's quotes are not closed", 7: "is not valid UTF-8",
    }  # fmt: skip


def test_of_titles_of_one_item_the_first_counts_and_the_others_only_repeat_it(source):
    (source / "M_titles.csv").write_text("item,title\n7,a\n7,b\n")
    raw = read(source)
    assert raw.items["title"].tolist() == ["a"]
    assert raw.rejects[["file", "line", "reason", "text"]].to_numpy().tolist() == [["M_titles.csv", 3, REPEATED, "7 b"]]
    assert (raw.loaded.rejects, raw.loaded.repeated, raw.loaded.bad_share) == (1, 1, 0)


def test_covers_are_found_by_item_also_for_items_that_have_no_title(source):
    assert read(source).image_root is None
    (source / "covers").mkdir()
    (source / "covers" / "12.jpg").write_bytes(b"x")
    (source / "covers" / "99.jpg").write_bytes(b"x")  # of an item that nobody took
    raw = read(source)
    digest = hashlib.sha256(b"x").hexdigest()
    assert raw.items[["item_id", "title", "image", "image_sha256"]].fillna("none").to_numpy().tolist() == [
        ["7", "a cat", "none", "none"],
        ["12", "none", "12.jpg", digest],
    ]
    assert raw.image_root == source / "covers"
    assert raw.loaded.rows == 2 + 1 + 1  # two lines of pairs, one of titles, and the cover


def test_a_missing_or_ambiguous_file_says_how_to_name_it(source):
    (source / "N_pairs.tsv").write_text("1\t2\n")
    with pytest.raises(
        DataError,
        match=r"several files could be the pairs: M_pairs\.tsv, N_pairs\.tsv\. Name one in .*m\.yaml: `pairs: M",
    ):
        read(source)
    assert len(read(source, pairs="N_pairs.tsv").reviews) == 1
    (source / "M_titles.csv").unlink()
    with pytest.raises(MissingInputError, match=r"no file fits '\*_titles\.csv\*' or '.*`titles: FILE_NAME`"):
        read(source, pairs="N_pairs.tsv")


def test_pairs_without_a_usable_line_say_what_is_wrong_with_the_first(source):
    (source / "M_pairs.tsv").write_text("1 2\n")
    with pytest.raises(
        DataError, match=r"no usable review\. 1 rows were refused, .* line 1: has no tab .*Fix the files"
    ):
        read(source)
