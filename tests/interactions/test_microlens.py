import pytest

from mmsra_pipeline.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.interactions.microlens import read_microlens


@pytest.fixture
def source(tmp_path):
    (tmp_path / "M_pairs.tsv").write_text("1\t12 7\n2\t7\n")
    (tmp_path / "M_titles.csv").write_text("item,title\n7,a cat\n")
    return tmp_path


def read(source, **options):
    return read_microlens(DatasetSpec("m", "microlens", source, options, source / "m.yaml"))


def test_pairs_come_in_their_order_without_times(source):
    reviews = read(source).reviews
    assert reviews[["user_id", "item_id", "order"]].to_numpy().tolist() == [
        ["1", "12", 0],
        ["1", "7", 1],
        ["2", "7", 2],
    ]
    assert reviews["timestamp"].isna().all()


def test_titles_are_read_quoted_or_not_with_crlf_and_with_commas(source):
    (source / "M_titles.csv").write_bytes(
        b'item,title\r\n7,"a cat, a box # funny"\r\n12,"she said ""go"""\r\n13,"null"\r\n14,one, two "three"\r\n15,\r\n'
    )
    items = read(source).items
    assert items.set_index("item_id")["title"].fillna("none").to_dict() == {
        "7": "a cat, a box # funny", "12": 'she said "go"', "13": "none", "14": 'one, two "three"', "15": "none",
    }  # fmt: skip


def test_titles_without_a_header_lose_no_line(source):
    (source / "M_titles.csv").write_text("7,a cat, a box\n12, she said go\n")
    assert read(source).items["title"].tolist() == ["a cat, a box", "she said go"]


def test_only_the_first_line_can_be_a_header(source):
    (source / "M_titles.csv").write_text("7,a cat\nitem,title\n")
    assert read(source).items["item_id"].tolist() == ["7", "item"]


def test_bad_lines_are_rejected_with_their_place(source):
    (source / "M_pairs.tsv").write_bytes(b"1\t12 7\nno tab\n\t7\n3\t\n\n4\tcaf\xe9\n5\t7\n")
    (source / "M_titles.csv").write_text('item,title\n7,a\n7,b\nnothing\n8,"open\n,x\n')
    raw = read(source)
    assert raw.reviews["user_id"].tolist() == ["1", "1", "5"]
    assert raw.items["item_id"].tolist() == ["7"]
    assert raw.rejects[["file", "line", "reason"]].to_numpy().tolist() == [
        ["M_pairs.tsv", 2, "has no tab between user and items"],
        ["M_pairs.tsv", 3, "user_id is empty"],
        ["M_pairs.tsv", 4, "names no item"],
        ["M_pairs.tsv", 6, "is not valid UTF-8"],
        ["M_titles.csv", 3, "item stands in an earlier line"],
        ["M_titles.csv", 4, "has no comma between item and title"],
        ["M_titles.csv", 5, "the title's quotes are not closed"],
        ["M_titles.csv", 6, "item_id is empty"],
    ]


def test_covers_are_found_by_item_also_for_items_without_a_title(source):
    assert read(source).image_root is None
    (source / "covers").mkdir()
    (source / "covers" / "12.jpg").write_bytes(b"x")
    raw = read(source)
    assert raw.items[["item_id", "image"]].fillna("none").to_numpy().tolist() == [["7", "none"], ["12", "12.jpg"]]
    assert raw.image_root == source / "covers"


def test_a_missing_or_ambiguous_file_says_how_to_name_it(source):
    (source / "N_pairs.tsv").write_text("1\t2\n")
    with pytest.raises(
        DataError, match=r"fits several files: M_pairs\.tsv, N_pairs\.tsv\. Name one in .*m\.yaml: `pairs"
    ):
        read(source)
    assert len(read(source, pairs="N_pairs.tsv").reviews) == 1
    (source / "M_titles.csv").unlink()
    with pytest.raises(MissingInputError, match=r"no file fits '\*_titles\.csv'.*`titles: FILE_NAME`"):
        read(source, pairs="N_pairs.tsv")


def test_pairs_without_a_usable_line_say_what_is_wrong_with_the_first(source):
    (source / "M_pairs.tsv").write_text("1 2\n")
    with pytest.raises(DataError, match=r"no usable line .* line 1: has no tab"):
        read(source)
