"""Small made-up data sets of every format, and how many rows a file has by a rule simpler than the readers'."""

import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmsra_pipeline.config.datasets import DatasetSpec

SECOND = 1_393_545_600
Count = Callable[[bytes], int | None]


@dataclass(frozen=True)
class SourceExample:
    """A data set: its format, files, options and, of each file, how its rows are counted."""

    format: str
    files: Mapping[str, bytes]
    counts: Mapping[str, Count]
    options: Mapping[str, Any] = field(default_factory=dict)
    expanding: bool = False
    """Whether one row may give several reviews."""

    def spec(self, folder: Path) -> DatasetSpec:
        return DatasetSpec("made", self.format, folder, dict(self.options), folder / "made.yaml")

    def write(self, folder: Path, **changed: bytes) -> None:
        for name, content in (dict(self.files) | changed).items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)


def lines(content: bytes) -> list[bytes]:
    return [line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]


def line_count(content: bytes) -> int:
    """Rows of a file of lines: those that are not empty."""
    return len(lines(content))


def title_count(content: bytes) -> int:
    first = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")[0].decode("utf-8", "replace").split(",", 1)
    header = [part.strip().lower() for part in first] == ["item", "title"]
    return line_count(content) - header


def csv_count(content: bytes) -> int | None:
    """Rows of a CSV with a header; None where quotes may hold line ends."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    rows = [line for line in text.split("\n") if line.replace(",", "").replace("\ufeff", "").strip()]
    objects = sum(line.strip().startswith("{") for line in rows)
    return None if '"' in text or not rows or objects > len(rows) / 2 else len(rows) - 1


def headerless_count(content: bytes) -> int | None:
    rows = csv_count(content)
    return None if rows is None else rows + 1


def packed(count: Count) -> Count:
    """Count in what a whole gzip file holds."""
    return lambda content: count(gzip.decompress(content))


def unknown(_: bytes) -> None:
    return None


def _json(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def _parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


INTERACTIONS = (
    b"user_id,item_id,timestamp,rating,review\n"
    b"u1,a,1583378629,4,fine\n"
    b'u1,b,1583378630,,"two\nlines, ""quoted"""\n'
    b"u2,a,1583378631,3.5,\xf0\x9f\x98\x80\n"
    b"u3,c,1583378632,1,\n"
)
ITEMS = (
    b"item_id,title,description,category,tags,image\na,Mug,A mug.,Home|Kitchen,red|new,a.jpg\nb,,,,,\nc,Bag,,,x,c.jpg\n"
)
OLD = [
    {"reviewerID": f"A{number}", "asin": f"B{number % 3}", "helpful": [0, number], "reviewText": f"text {number} é",
     "overall": 1.0 + number % 5, "summary": "good", "unixReviewTime": SECOND + number, "style": {"Size:": "L"}}
    for number in range(6)
]  # fmt: skip
NEW = [
    {"rating": 5.0, "title": "good", "text": f"text {number}<br />", "images": [{"small_image_url": "s"}],
     "asin": f"B{number}V", "parent_asin": f"B{number % 3}", "user_id": f"A{number}",
     "timestamp": SECOND * 1000 + number, "verified_purchase": True}
    for number in range(6)
]  # fmt: skip
LITERALS = (
    b"{'asin': 'B0', 'title': \"Kim's Cup &amp; Lid\", 'description': 'It\\'s.', 'price': 4.99, 'imUrl': 'http://p.test/1',"
    b" 'salesRank': {'Cups': 12}, 'categories': [['Kitchen', 'Cups']], 'brand': 'Madeco'}\n"
    b"{'asin': 'B1', 'categories': [['Kitchen']]}\n"
    b"{'asin': 'B1', 'title': None}\n"
)
META18 = _json(
    {"category": ["Goods"], "description": ["Line.", "", "<b>x</b>"], "title": "Deck", "brand": "by\n\n Madeco",
     "feature": [], "asin": "B0", "imageURL": ["https://p.test/s.jpg"], "imageURLHighRes": ["https://p.test/l.jpg"]},
    {"asin": "B1", "title": '<span class="a"', "description": [], "image": "x"},
    {"asin": "B1", "title": "again"},
)  # fmt: skip
META23 = _json(
    {"main_category": "Baby", "title": "Bib", "features": ["Soft"], "description": ["A bib."], "store": "Madeco",
     "images": [{"thumb": "t", "large": "l", "variant": "PT01", "hi_res": None}, {"variant": "MAIN", "hi_res": "h"}],
     "categories": ["Baby"], "parent_asin": "B0"},
    {"parent_asin": "B1", "images": {"hi_res": [None, "h"], "variant": ["PT01", "MAIN"], "large": ["l"]}},
    {"parent_asin": "B1", "title": None},
)  # fmt: skip
PAIRS = b"1\t12 7 9\n2\t7\n3\t9 12\n"
TITLES = b'item,title\n7,"a cat, a box"\n12,"she said ""go"""\n13,"null"\n9,one, two\n'
TIMED = b"user,item,timestamp\n1,12,1583378629552\n1,7,1584000000123\n2,7,1584000000123\n"
RATINGS = b"A1,B1,5.0,1393545600\nA2,B2,1.0,1405123200\nA3,B1,,1405123201\n"
BENCHMARK = (
    b"user_id,parent_asin,rating,timestamp,history\n"
    b"A1,B9,3.0,1599687728000,B1 B2\nA2,B1,3.0,1599687728001,\nA3,B2,4.0,1599687728002,B1\n"
)

SOURCE_EXAMPLES: dict[str, SourceExample] = {
    "tables-csv": SourceExample(
        "tables",
        {"interactions.csv": INTERACTIONS, "items.csv": ITEMS},
        {"interactions.csv": csv_count, "items.csv": csv_count},
    ),
    "tables-tsv": SourceExample(
        "tables",
        {"i.tsv": b"item_id\tuser_id\ttimestamp\na\tu\t20240229\nb\tu\t20240301\n", "items.csv": ITEMS},
        {"i.tsv": csv_count, "items.csv": csv_count},
        {"interactions": "i.tsv"},
    ),
    "tables-parquet": SourceExample(
        "tables",
        {
            "i.parquet": _parquet(user_id=["u1", "u2"], item_id=["a", "b"], timestamp=[100, 200], rating=[1.0, None]),
            "items.parquet": _parquet(item_id=["a", "b", "b"], title=["Mug", None, "x"], tags=[["r", "s"], [], None]),
        },
        {"i.parquet": unknown, "items.parquet": unknown},
        {"interactions": "i.parquet", "items": "items.parquet"},
    ),
    "tables-json": SourceExample(
        "tables",
        {
            "i.jsonl": _json(
                *(
                    {"user_id": f"u{n}", "item": {"id": f"a{n % 3}"}, "ts": SECOND + n, "tags": ["x", n]}
                    for n in range(6)
                )
            ),
            "items.json": _json(
                {"item_id": "a0", "title": "Mug", "image": [{"url": "https://p.test/1.jpg"}]}, {"item_id": 7}
            ),
        },
        {"i.jsonl": unknown, "items.json": unknown},
        {
            "interactions": "i.jsonl",
            "items": "items.json",
            "columns": {"item_id": "item.id"},
            "item_columns": {"item_id": "item_id"},
        },
    ),
    "tables-pictures": SourceExample(
        "tables",
        {
            "interactions.csv": INTERACTIONS,
            "items.parquet": _parquet(
                item_id=["a", "b", "c"],
                title=["Mug", None, "x"],
                image=[{"bytes": b"\xff\xd8\0", "path": None}, {"bytes": None, "path": "a.jpg"}, None],
            ),
        },
        {"interactions.csv": csv_count, "items.parquet": unknown},
        {"items": "items.parquet"},
    ),
    "tables-cp1250": SourceExample(
        "tables",
        {
            "interactions.csv": INTERACTIONS.replace(b"\xf0\x9f\x98\x80", b"ok"),
            "items.csv": (
                "item_id;title\n"
                + "a;Zażółć gęślą jaźń\nb;Łóżko\nc;Świecznik złoty, dębowy, książka, ręcznik, żyrandol, źrebię\n"
            ).encode("cp1250"),
        },
        {"interactions.csv": csv_count, "items.csv": unknown},
    ),
    "microlens-tsv": SourceExample(
        "microlens",
        {"M_pairs.tsv": PAIRS, "M_titles.csv": TITLES},
        {"M_pairs.tsv": line_count, "M_titles.csv": title_count},
        expanding=True,
    ),
    "microlens-csv": SourceExample(
        "microlens",
        {"M_pairs.csv": TIMED, "M_titles.csv": TITLES},
        {"M_pairs.csv": csv_count, "M_titles.csv": title_count},
    ),
    "amazon-2014": SourceExample(
        "amazon-2014",
        {"reviews_M_5.json": _json(*OLD), "meta_M.json": LITERALS},
        {"reviews_M_5.json": line_count, "meta_M.json": line_count},
    ),
    "amazon-2014-csv": SourceExample(
        "amazon-2014",
        {"ratings_M.csv": RATINGS, "meta_M.json": LITERALS},
        {"ratings_M.csv": headerless_count, "meta_M.json": line_count},
    ),
    "amazon-2018": SourceExample(
        "amazon-2018",
        {"M_5.json": _json(*OLD), "meta_M.json": META18},
        {"M_5.json": line_count, "meta_M.json": line_count},
    ),
    "amazon-2018-csv": SourceExample("amazon-2018", {"M.csv": RATINGS}, {"M.csv": headerless_count}),
    "amazon-2018-gz": SourceExample(
        "amazon-2018",
        {"M_5.json.gz": gzip.compress(_json(*OLD), mtime=0), "meta_M.json.gz": gzip.compress(META18, mtime=0)},
        {"M_5.json.gz": packed(line_count), "meta_M.json.gz": packed(line_count)},
    ),
    "amazon-2023": SourceExample(
        "amazon-2023",
        {"M.jsonl": _json(*NEW), "meta_M.jsonl": META23},
        {"M.jsonl": line_count, "meta_M.jsonl": line_count},
    ),
    "amazon-2023-csv": SourceExample("amazon-2023", {"M.csv": BENCHMARK}, {"M.csv": csv_count}),
    "amazon-2023-history": SourceExample(
        "amazon-2023", {"M.csv": BENCHMARK}, {"M.csv": csv_count}, {"history": True}, expanding=True
    ),
    "amazon-2023-zst": SourceExample("amazon-2023", {"M.jsonl.zst": _zstd(_json(*NEW))}, {"M.jsonl.zst": unknown}),
}
