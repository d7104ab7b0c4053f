import gzip
import json
import subprocess
import sys

import pytest
from ingest.taking import ReadTables, blocks, read_tables

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.readers.amazon import GENERATIONS, AmazonReader, read_json_reviews
from mmsra_pipeline.ingest.readers.amazon_meta import MetaForm, read_meta

SECOND = 1_393_545_600
OLD = {
    "reviewerID": "A1MADE", "asin": "B1MADE", "reviewerName": 'kim "k"', "helpful": [1, 2], "reviewText": "Soft.",
    "overall": 4.0, "summary": "good", "unixReviewTime": SECOND, "reviewTime": "02 28, 2014",
}  # fmt: skip
NEW = {
    "rating": 4.0, "title": "good", "text": "Soft.<br />", "images": [], "asin": "B1MADEVAR", "parent_asin": "B1MADE",
    "user_id": "A1MADE", "timestamp": SECOND * 1000 + 552, "helpful_vote": 0, "verified_purchase": True,
}  # fmt: skip


def reviews(generation: str, *rows: dict | str) -> ReadTables:
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    form = GENERATIONS[generation].form
    return read_tables(lambda sink: read_json_reviews(blocks(lines.encode()), "r.json.gz", form, sink, {}))


def meta(form: MetaForm, *rows: dict | str | bytes) -> ReadTables:
    texts = [json.dumps(row) if isinstance(row, dict) else row for row in rows]
    lines = [text.encode() if isinstance(text, str) else text for text in texts]
    return read_tables(lambda sink: read_meta(iter([LineBlock(b"\n".join(lines), 1)]), "meta.json.gz", form, sink))


def read(folder, generation: str, **options) -> tuple[ReadTables, ReadTables]:
    """Reviews and items of a folder."""
    reader = AmazonReader(DatasetSpec("shop", generation, folder, options, folder / "shop.yaml"))
    return read_tables(reader.reviews), read_tables(reader.items)


@pytest.mark.parametrize("generation", ["amazon-2014", "amazon-2018"])
def test_an_old_review_gives_user_item_rating_headline_with_text_and_time_in_milliseconds(generation):
    [found] = reviews(generation, OLD).kept
    assert isinstance(found.pop("line_hash"), int)
    assert found == {
        "user_id": "A1MADE", "item_id": "B1MADE", "timestamp": SECOND * 1000, "rating": 4.0, "review": "good\nSoft.",
    }  # fmt: skip


def test_lines_that_differ_in_what_is_not_read_have_other_hashes():
    hashes = reviews("amazon-2018", OLD, OLD, OLD | {"style": {"Size:": " L"}}).column("line_hash")
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_review_of_2023_names_the_parent_and_counts_milliseconds():
    found = reviews("amazon-2023", NEW).kept[0]
    assert (found["item_id"], found["timestamp"]) == ("B1MADE", SECOND * 1000 + 552)
    assert found["review"] == "good\nSoft.<br />"


def test_a_review_may_lack_its_texts_and_its_rating():
    rows = [{name: value for name, value in OLD.items() if name not in without} for without in (
        {"summary"}, {"reviewText"}, {"summary", "reviewText", "overall"})]  # fmt: skip
    found = reviews("amazon-2018", *rows, OLD | {"summary": "", "reviewText": "Soft."}, OLD | {"reviewText": None})
    assert found.column("review") == ["Soft.", "good", None, "Soft.", "good"]
    assert found.column("rating") == [4.0, 4.0, None, 4.0, 4.0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reviewerID": ""}, "user_id is empty"),
        ({"reviewerID": " "}, "user_id is empty"),
        ({"reviewerID": None}, "user_id is empty"),
        ({"asin": None}, "item_id is empty"),
        ({"unixReviewTime": None}, "timestamp is missing"),
        ({"unixReviewTime": -1}, "timestamp does not lie between 1970 and 2200"),
        ({"unixReviewTime": SECOND * 1000}, "timestamp does not lie between 1970 and 2200"),
        ({"unixReviewTime": SECOND + 0.12345}, "timestamp is no whole number"),
        ({"unixReviewTime": float("nan")}, "timestamp does not lie between 1970 and 2200"),
        ({"overall": "good"}, "overall is 'good', which is no number"),
        ({"unixReviewTime": "soon"}, "unixReviewTime is 'soon', which is no number"),
        ({"asin": 17}, "asin is the number 17, whose leading zeros would be lost; write it as text"),
    ],
)
def test_a_review_that_cannot_be_used_is_refused_with_its_line_and_text(change, reason):
    found = reviews("amazon-2018", OLD, "", OLD | change, OLD)
    assert (len(found.kept), found.rows) == (2, 3)
    assert reason in found.reasons()[3]
    assert found.rejects[0]["text"] == json.dumps(OLD | change)[:300]
    assert found.rejects[0]["file"] == "r.json.gz"


@pytest.mark.parametrize(
    "change",
    [
        {"overall": float("nan")}, {"overall": float("inf")}, {"overall": "NaN"}, {"overall": "4"},
        {"unixReviewTime": f"{SECOND}"}, {"reviewText": "cut \ud83d"}, {"reviewText": ["a"]}, {"vote": float("nan")},
        {"reviewText": 5, "summary": None, "vote": {"a": "\udc00"}},
    ],
)  # fmt: skip
def test_what_is_odd_beside_the_fields_that_matter_costs_no_review(change):
    found = reviews("amazon-2018", OLD, "", OLD | change, OLD)
    assert (len(found.kept), found.rejects) == (3, [])
    assert found.column("timestamp") == [SECOND * 1000] * 3
    text = found.column("review")[1] or ""
    assert "\ufffd" in text if "\ud83d" in str(change.get("reviewText")) else "\ufffd" not in text
    assert found.column("rating")[1] == (None if str(change.get("overall")) in ("nan", "inf", "NaN") else 4.0)


def test_many_refused_rows_of_one_block_keep_their_lines():
    found = reviews("amazon-2018", *[OLD | {"asin": ""}, OLD] * 5000)
    assert [reject["line"] for reject in found.rejects] == list(range(1, 10_001, 2))


# Metadata of 2014


def test_metadata_of_2014_are_python_literals():
    found = meta(
        MetaForm.Y2014,
        "{'asin': 'B1', 'title': \"Kim's Cup &amp; Lid\", 'description': 'It\\'s a 6\" cup.', 'price': 4.99, 'imUrl': "
        "'http://pictures.test/1.jpg', 'salesRank': {'Cups': 12}, 'categories': [['Kitchen', 'Cups'], ['Kitchen', 'New'"
        "]], 'related': {'also_bought': ['B2']}, 'brand': 'Madeco'}",
        "{'asin': 'B2', 'categories': [['Kitchen']]}",
        '{"asin": "B3", "title": null, "price": null}',
        "{'asin': u'B4', 'title': None, 'salesRank': {}, 'price': -1.5e3, 'new': True}",
    )
    assert found.kept[0] == {
        "item_id": "B1", "title": "Kim's Cup &amp; Lid", "description": 'It\'s a 6" cup. Brand: Madeco.',
        "category": "Kitchen, Cups, New", "tags": None, "image": "http://pictures.test/1.jpg", "file": "meta.json.gz",
        "line": 1,
    }  # fmt: skip
    assert found.column("item_id") == ["B1", "B2", "B3", "B4"]
    assert found.column("title")[1:] == [None, None, None]
    assert found.rejects == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{'title': 'x'}", "asin is missing"),
        ("{'asin': ''}", "asin is missing"),
        ("{'asin': 5}", "asin is the number 5, whose leading zeros would be lost"),
        ("['asin']", "is no object"),
        ("'asin'", "is no object"),
        ('"asin"', "is a text, not an object"),
        ("5", "is no object"),
        ("{'asin': 'B1'", "is neither JSON nor a Python literal: SyntaxError"),
        ("{'asin': 'B1', []: 1}", "is neither JSON nor a Python literal: TypeError"),
        ("__import__('os').system('false')", "is neither JSON nor a Python literal"),
        ("{'asin': __import__('os').system('false')}", "is neither JSON nor a Python literal"),
        ("{'asin': 'B1', 'x': 'a' * 10**10}", "is neither JSON nor a Python literal"),
        ("{'asin': f'{1}'}", "is neither JSON nor a Python literal"),
        (b"{'asin': 'B1\0'}", "is neither JSON nor a Python literal"),
        (b"{'asin': 'caf\xe9'}", "is not valid UTF-8"),
        ("{'asin': '" + "x" * 1_000_000 + "'}", "is longer than 1000000 characters"),
    ],
)
def test_metadata_of_2014_that_cannot_be_used_are_refused_with_their_line(line, reason):
    found = meta(MetaForm.Y2014, "{'asin': 'B1'}", "", line, "{'asin': 'B2'}")
    assert found.column("item_id") == ["B1", "B2"]
    assert list(found.reasons()) == [3]
    assert reason in found.reasons()[3]
    assert found.rows == 3


def test_lone_surrogates_of_a_literal_are_no_text():
    assert meta(MetaForm.Y2014, r"{'asin': 'B1', 'title': 'a\ud800b'}").column("title") == ["a\ufffdb"]


# What takes the parser of Python to its bounds, in a process of its own: it must neither end it nor take long.
HOSTILE = """
import sys
from mmsra_pipeline.ingest.readers.amazon_meta import MetaForm, read_meta
from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.prefetching import prefetched
from mmsra_pipeline.ingest.rejects import RejectSink
n = 239_999
deep = ["[" * n + "]" * n, "{'a':" * n, "(" * n, "-" * n + "1", "- " * n + "1", "+" * 3000 + "1", "1" + "+1" * n,
        "1" + "-1" * 5000, "'" * n, "f'" + "{1}" * n + "'", "not " * n + "1", "a" + ".a" * n, "a" + "()" * n,
        "1" + "<1" * n, "lambda:" * 100_000 + "1", "9" * n, "\\\\" * n, "[1,", "{" * n]
lines = [("{'asin': 'B1', 'x': " + value + "}").encode() for value in deep]
refused = []
sink = RejectSink(lambda table: refused.extend(table.column("line").to_pylist()))
list(prefetched(read_meta(iter([LineBlock(b"\\n".join(lines), 1)]), "m", MetaForm.Y2014, sink)))
sink.flush()
print(refused == list(range(1, len(lines) + 1)), refused)
"""


def test_hostile_literals_are_refused_and_end_no_process():
    ran = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout.split(" ")[0]) == (0, "True"), ran.stdout + ran.stderr


def test_lists_deeper_than_python_can_recurse_are_read():
    nested = '{"asin": "B1", "description": ' + "[" * 900 + '"deep"' + "]" * 900 + "}"
    assert meta(MetaForm.Y2014, nested).column("description") == ["deep."]
    assert meta(MetaForm.Y2018, nested).column("description") == ["deep."]
    assert "is no JSON object" in meta(MetaForm.Y2018, nested.replace("[", "[" * 9))[1][0]["reason"]


# Metadata of 2018


def test_metadata_of_2018_come_with_what_shops_typed():
    found = meta(
        MetaForm.Y2018,
        {"category": ["Goods", "Arts &amp; Crafts"], "description": ["Line one.", "", "<b>Line</b> two &amp; more"],
         "title": "Made Deck &amp; Box", "brand": "by\n    \n    Madeco", "feature": ["Soft", "Light!"],
         "main_cat": "Goods", "asin": "B1", "imageURL": ["https://pictures.test/small.jpg"],
         "imageURLHighRes": ["https://pictures.test/large.jpg", "https://pictures.test/2.jpg"]},
    ).kept[0]  # fmt: skip
    assert found["title"] == "Made Deck &amp; Box"
    assert found["description"] == "Line one. <b>Line</b> two &amp; more. Soft. Light! Brand: Madeco."
    assert found["category"] == "Goods, Arts &amp; Crafts"
    assert found["image"] == "https://pictures.test/large.jpg"


@pytest.mark.parametrize(
    "title",
    [
        '<span class="a-size-medium a-color-secondary"',
        "var aPageStart = (new Date()).getTime();",
        "< script>",
        "",
        " ",
        5,
    ],
)
def test_a_script_that_stands_for_a_title_is_no_title(title):
    found = meta(MetaForm.Y2018, {"asin": "B1", "title": title, "brand": title, "category": [title, "Goods"]}).kept[0]
    assert (found["title"], found["description"], found["category"]) == (None, None, "Goods")


@pytest.mark.parametrize(
    ("pictures", "image"),
    [
        ({"imageURL": ["s"], "imageURLHighRes": ["l"], "image": ["o"]}, "l"),
        ({"imageURL": ["s"], "imageURLHighRes": [], "image": ["o"]}, "s"),
        ({"imageURL": ["", "s"]}, "s"),
        ({"image": ["o", "p"]}, "o"),
        ({"image": "o"}, "o"),
        ({"imageURLHighRes": None, "imageURL": {}}, None),
        ({}, None),
    ],
)
def test_the_largest_picture_of_2018_is_taken(pictures, image):
    assert meta(MetaForm.Y2018, {"asin": "B1"} | pictures).column("image") == [image]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{'asin': 'B1'", "is neither JSON nor a Python literal"),
        ('{"asin": "B1"', "is no JSON object: "),
        ('{"title": "x"}', "asin is missing"),
        ("[]", "is no object"),
        ("null", "is no object"),
        ('"x"', "is a text, not an object"),
        (b'{"asin": "caf\xe9"}', "is not valid UTF-8"),
    ],
)
def test_metadata_of_2018_that_cannot_be_used_are_refused_with_their_line(line, reason):
    found = meta(MetaForm.Y2018, line, {"asin": "B2"})
    assert found.column("item_id") == ["B2"]
    assert found.reasons()[1].startswith(reason)


# Metadata of 2023

LARGE = {"thumb": "t0", "large": "l0", "variant": "PT01", "hi_res": None}
MAIN = {"thumb": "t1", "large": "l1", "variant": "MAIN", "hi_res": "h1"}


def test_metadata_of_2023_name_the_parent_the_store_and_the_features():
    found = meta(
        MetaForm.Y2023,
        {"main_category": "Baby", "title": "Made Bib", "features": ["Soft"], "description": ["A bib."], "price": 9.99,
         "images": [LARGE, MAIN], "store": "Madeco", "categories": ["Baby Products", "Bibs"], "parent_asin": "B1",
         "details": {"Brand": "Madeco"}, "bought_together": None},
        {"main_category": "Baby", "title": "", "features": [], "description": [], "images": [], "store": None,
         "categories": [], "parent_asin": "B2"},
        {"asin": "B3"},
    )  # fmt: skip
    first, second = found.kept
    assert (first["item_id"], first["title"], first["category"]) == ("B1", "Made Bib", "Baby Products, Bibs")
    assert (first["description"], first["image"]) == ("A bib. Soft. Brand: Madeco.", "h1")
    assert second | {"line": 0} == {
        "item_id": "B2", "title": None, "description": None, "category": "Baby", "tags": None, "image": None,
        "file": "meta.json.gz", "line": 0,
    }  # fmt: skip
    assert found.reasons() == {3: "parent_asin is missing"}


@pytest.mark.parametrize(
    ("images", "image"),
    [
        ([LARGE, MAIN], "h1"),
        ([LARGE, MAIN | {"hi_res": None}], "l1"),
        ([LARGE, {"variant": "MAIN", "thumb": "t1", "large": "", "hi_res": None}], "t1"),
        ([LARGE], "l0"),
        ([LARGE, {"variant": "MAIN", "hi_res": None}], "l0"),
        ({name: [LARGE[name], MAIN[name]] for name in MAIN}, "h1"),
        ({"hi_res": [None, "h1"], "large": ["l0"], "variant": ["PT01", "MAIN"]}, "h1"),
        ({"hi_res": None, "large": ["l0"]}, "l0"),
        ({"hi_res": []}, None),
        ([None, "x", 5], None),
        ("x", None),
        (None, None),
    ],
)
def test_the_main_picture_of_2023_goes_first_as_a_list_of_dicts_or_a_dict_of_lists(images, image):
    assert meta(MetaForm.Y2023, {"parent_asin": "B1", "images": images}).column("image") == [image]


# Files


def write(folder, **files: str | bytes) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def packed(*rows: dict) -> bytes:
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())


def test_ratings_of_2014_begin_with_the_user_and_those_of_2018_with_the_item(tmp_path):
    write(tmp_path, ratings_Mugs__csv=f"A1,B1,5.0,{SECOND}\nA2,B2,1.0,{SECOND + 1}\n")
    first, second = read(tmp_path, "amazon-2014")[0].kept
    assert first == {"user_id": "A1", "item_id": "B1", "timestamp": SECOND * 1000, "rating": 5.0, "review": None}
    assert read(tmp_path, "amazon-2018")[0].column("user_id") == ["B1", "B2"]
    assert second["rating"] == 1.0


def test_a_ratings_file_counts_seconds_even_where_its_first_rows_do_not(tmp_path):
    write(
        tmp_path,
        ratings_Mugs__csv=f"A1,B1,5.0,{SECOND}000\nA1,B1,5.0,{SECOND}000\nA2,B2,,{SECOND}\nA3,B3,x,9\nA4,B4,1.0\n",
    )
    found = read(tmp_path, "amazon-2014")[0]
    assert found.column("user_id") == ["A2"]
    assert [found.reasons()[line][:22] for line in (1, 2, 4, 5)] == [
        "timestamp is of anothe", "timestamp is of anothe", "rating is not a number",
        "has 3 fields, the head",
    ]  # fmt: skip


BENCHMARK = (
    "user_id,parent_asin,rating,timestamp,history\n"
    f"A1,B9,3.0,{SECOND}000,B1 B2\n"
    f"A2,B1,3.0,{SECOND}000,\n"
    f",B1,3.0,{SECOND}000,B7\n"
)


def test_a_benchmark_file_gives_its_own_rows_and_with_the_option_their_histories_before_them(tmp_path):
    write(tmp_path, Mugs__last_out_w_his__test__csv=BENCHMARK)
    without = read(tmp_path, "amazon-2023")[0]
    assert list(zip(without.column("user_id"), without.column("item_id"))) == [("A1", "B9"), ("A2", "B1")]
    found = read(tmp_path, "amazon-2023", history=True)[0]
    assert list(zip(found.column("user_id"), found.column("item_id"))) == [
        ("A1", "B1"), ("A1", "B2"), ("A1", "B9"), ("A2", "B1"),
    ]  # fmt: skip
    assert found.column("timestamp") == [SECOND * 1000] * 4
    assert found.column("rating") == [None, None, 3.0, 3.0]
    assert (found.rows, found.reasons()) == (3, {4: "user_id is empty"})


def test_the_history_option_changes_nothing_where_there_is_none(tmp_path):
    write(tmp_path, Mugs__rating_only__csv=f"user_id,parent_asin,rating,timestamp\nA1,B9,3.0,{SECOND}000\n")
    assert read(tmp_path, "amazon-2023", history=True)[0] == read(tmp_path, "amazon-2023")[0]


def test_a_benchmark_file_without_a_column_names_it(tmp_path):
    write(tmp_path, Mugs__csv="user_id,item,rating,timestamp\nA1,B9,3.0,1\n")
    with pytest.raises(DataError, match=r"Mugs\.csv: column 'item_id' \(called 'parent_asin' .* is missing"):
        read(tmp_path, "amazon-2023")


@pytest.mark.parametrize(
    ("generation", "files", "first"),
    [
        ("amazon-2014", ["reviews_A_5.json.gz", "ratings_A.csv", "meta_A.json.gz"], "reviews_A_5.json.gz"),
        ("amazon-2018", ["A_5.json.gz", "A.json.gz", "A.csv", "meta_A.json.gz"], "A_5.json.gz"),
        ("amazon-2018", ["A.json.gz", "A.csv", "meta_A.json.gz"], "A.json.gz"),
        ("amazon-2023", ["A.jsonl.gz", "A.csv", "meta_A.jsonl.gz"], "A.jsonl.gz"),
    ],
)
def test_the_usual_names_of_a_generation_are_known_and_metadata_are_no_reviews(tmp_path, generation, files, first):
    for name in files:
        (tmp_path / name).write_bytes(b"")
    reader = AmazonReader(DatasetSpec("shop", generation, tmp_path))
    assert [path.name for path in reader.files()] == [first, files[-1]]


def test_several_files_are_read_in_order_of_name_and_packed_or_not(tmp_path):
    write(tmp_path, B_5__json__gz=packed(OLD | {"asin": "B2"}), A_5__json=json.dumps(OLD | {"asin": "B1"}))
    write(tmp_path, meta_A__json=json.dumps({"asin": "B1"}), meta_B__json__gz=packed({"asin": "B2"}))
    found, items = read(tmp_path, "amazon-2018")
    assert found.column("item_id") == ["B1", "B2"]
    assert list(zip(items.column("item_id"), items.column("file"))) == [("B1", "meta_A.json"), ("B2", "meta_B.json.gz")]


def test_named_files_are_read_alone(tmp_path):
    write(tmp_path, B_5__json__gz=packed(OLD), A_5__json="", meta_A__json="x", other__json__gz=packed({"asin": "B2"}))
    found, items = read(tmp_path, "amazon-2018", reviews=["B_5.json.gz"], meta=["other.json.gz"])
    assert (len(found.kept), items.column("item_id")) == (1, ["B2"])


def test_without_metadata_there_are_no_items_and_a_warning(tmp_path, caplog):
    write(tmp_path, A_5__json=json.dumps(OLD))
    assert read(tmp_path, "amazon-2018")[1] == ReadTables([], [], 0)
    assert "no metadata in" in caplog.text


def test_named_metadata_must_be_there(tmp_path):
    write(tmp_path, A_5__json=json.dumps(OLD))
    with pytest.raises(MissingInputError, match=r"no file fits 'meta_X\*'\. .*shop\.yaml: `meta: FILE_NAME`"):
        read(tmp_path, "amazon-2018", meta=["meta_X*"])


def test_a_folder_without_reviews_says_what_was_looked_for(tmp_path):
    write(tmp_path, meta_A__json="{}")
    with pytest.raises(MissingInputError, match=r"no file fits '\*\.jsonl\*' or '\*\.csv\*' .*\. Put it there"):
        read(tmp_path, "amazon-2023")
