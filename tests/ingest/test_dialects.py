"""Variants of a table, in any encoding, with any separator, header and form of times, give the values of the clean one.

One property a kind: rows that are read and refused are those of the file, values are the clean file's, and what is said
names the file, the line, the value and what to do.
"""

import bz2
import datetime as dt
import gzip
import json
import lzma
import re
import zipfile
from typing import NamedTuple

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest.as_people_have_them import json_review

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.cells import TimeReader
from mmsra_pipeline.ingest.dialect import DELIMITERS
from mmsra_pipeline.ingest.json_forms import Form, form_of
from mmsra_pipeline.ingest.reading import files_reader
from mmsra_pipeline.ingest.rejects import RejectSink

QUICK = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = (
    "Café crème",
    "Plain cup",
    "Tasse à thé",
    "Größe 5, rund",
    'Screen 24" wide',
    "Lampe | rot; neu",
    "日本茶",
    "Ñandú",
)
NAMES = {
    "user_id": ("user_id", "User ID", "userId", "customer_id", "USER-ID", "reviewerID", " user_id ", "user_id:token"),
    "item_id": ("item_id", "Item Id", "asin", "product_id", "movieId", "ITEM_ID", "item_id:token"),
    "timestamp": ("timestamp", "Timestamp", "ts", "date", "unixReviewTime", "created_at", "timestamp:float"),
    "review": ("review", "Review", "comment", "review_text"),
}
FORMS = {
    "seconds": lambda time: str(time),
    "milliseconds": lambda time: f"{time}000",
    "microseconds": lambda time: f"{time}000000",
    "nanoseconds": lambda time: f"{time}000000000",
    "decimal": lambda time: f"{time}.0",
    "iso": lambda time: stamp(time, "%Y-%m-%d %H:%M:%S"),
    "zone": lambda time: stamp(time + 7200, "%Y-%m-%dT%H:%M:%S+02:00"),
    "utc": lambda time: stamp(time, "%Y-%m-%d %H:%M:%S UTC"),
    "fraction": lambda time: stamp(time, "%Y-%m-%d %H:%M:%S,000"),
    "named": lambda time: stamp(time, "%d %b %Y %H:%M:%S"),
    "american": lambda time: stamp(time, "%b %d, %Y %I:%M:%S %p"),
    "dots": lambda time: stamp(time, "%d.%m.%Y %H:%M:%S"),
    "unpadded": lambda time: re.sub(r"\b0(\d)\b", r"\1", stamp(time, "%Y/%m/%d"), count=2) + stamp(time, " %H:%M:%S"),
    "excel": lambda time: f"{time / 86_400 + 25_569:.8f}",
}


class Read(NamedTuple):
    """Reviews and rejects as dicts, and what was said."""

    reviews: list[dict]
    rejects: list[dict]
    notes: list[str]

    def column(self, name: str) -> list:
        return [row[name] for row in self.reviews]


def stamp(time: int, pattern: str) -> str:
    return dt.datetime.fromtimestamp(time, dt.UTC).strftime(pattern)


@st.composite
def tables(draw):
    rows = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(10**9, 17 * 10**8),
                                   st.sampled_from(WORDS)), min_size=3, max_size=20))  # fmt: skip
    return [(f"u{user}", f"i{item}", time, word) for user, item, time, word in rows]


def read(folder, content: bytes, name: str = "interactions.csv", **options):
    (folder / name).write_bytes(content)
    (folder / "items.csv").write_text("item_id,title\ni1,Lamp\n")
    return read_reviews(DatasetSpec("shop", "tables", folder, {"interactions": name, **options}, folder / "shop.yaml"))


def read_reviews(spec: DatasetSpec) -> Read:
    rejects: list[dict] = []
    sink = RejectSink(lambda table: rejects.extend(table.to_pylist()))
    found = [row for table in files_reader(spec).reviews(sink) for row in table.to_pylist()]
    sink.flush()
    assert sink.rows == len(found) + len(rejects)
    return Read(found, rejects, sink.notes)


def cell(value: str, delimiter: str) -> str:
    return f'"{value.replace(chr(34), chr(34) * 2)}"' if delimiter in value or '"' in value else value


@QUICK
@given(
    rows=tables(),
    delimiter=st.sampled_from(DELIMITERS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    header=st.fixed_dictionaries({name: st.sampled_from(others) for name, others in NAMES.items()}),
    form=st.sampled_from(list(FORMS)),
    extra=st.sampled_from(["", "index", "trailing", "comment", "sep", "again", "nameless twice"]),
)
def test_any_dialect_gives_the_values_of_the_clean_table(tmp_path, rows, delimiter, encoding, end, header, form, extra):
    if encoding == "cp1252":
        rows = [(user, item, time, "thé" if word == "日本茶" else word) for user, item, time, word in rows]
        rows += [("u1", "i1", 10**9, "Crème brûlée")] * 2
    if delimiter == "::":  # such files know no quotes
        rows = [(user, item, time, word.replace("::", " ")) for user, item, time, word in rows]
    names = [header[name] for name in NAMES]
    lines = [[user, item, FORMS[form](time), word] for user, item, time, word in rows]
    if extra == "index":
        names, lines = ["", *names], [[str(place), *line] for place, line in enumerate(lines)]
    if extra == "trailing":
        lines = [[*line, ""] for line in lines]
    if extra == "nameless twice":
        names, lines = [*names, "", "x", "x"], [[*line, "", "1", "2"] for line in lines]
    quoted = cell if delimiter != "::" else (lambda value, _: value)
    texts = [delimiter.join(quoted(value, delimiter) for value in line) for line in [names, *lines]]
    if extra == "again":
        texts.insert(2, texts[0])
    if extra == "comment":
        texts.insert(0, "# exported by a shop")
    if extra == "sep" and len(delimiter) == 1:
        texts.insert(0, f"sep={delimiter}")
    raw = read(tmp_path, (end.join(texts) + end).encode(encoding))
    expected = [(user, item, time * 1000, word) for user, item, time, word in rows]
    assert [tuple(row[name] for name in NAMES) for row in raw.reviews] == expected
    assert len(raw.rejects) == (extra == "again")
    assert (delimiter != ",") == any("separated by" in note for note in raw.notes)
    assert all(note.startswith("interactions.csv: ") for note in raw.notes)


@QUICK
@given(
    rows=tables(),
    pack=st.sampled_from(["gzip", "bz2", "xz", "zip", "none"]),
    name=st.sampled_from(["interactions.csv", "df.parquet.gzip", "i.dat", "export", "i.zip"]),
)
def test_what_packs_a_file_is_detected_by_its_bytes_and_never_by_its_name(tmp_path, rows, pack, name):
    content = "user_id,item_id,timestamp\n" + "".join(f"{user},{item},{time}\n" for user, item, time, _ in rows)
    packed = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "none": bytes}
    if pack == "zip":
        with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
            archive.writestr("inner.csv", content)
        data = (tmp_path / "made.zip").read_bytes()
    else:
        data = packed[pack](content.encode())
    raw = read(tmp_path, data, name)
    assert raw.column("timestamp") == [time * 1000 for _, _, time, _ in rows]


@QUICK
@given(
    rows=tables(),
    late_day=st.booleans(),
    sign=st.sampled_from("-/"),
    order=st.sampled_from(["day-first", "month-first"]),
)
def test_a_date_is_read_with_the_day_first_or_the_month_or_asked_for(tmp_path, rows, late_day, sign, order):
    pattern = f"%d{sign}%m{sign}%Y" if order == "day-first" else f"%m{sign}%d{sign}%Y"
    days = [stamp(time, pattern) for _, _, time, _ in rows] + ([stamp(1_706_486_400, pattern)] if late_day else [])
    clear = any(int(part) > 12 for day in days for part in day.split(sign)[:2])
    content = "user_id,item_id,timestamp\n" + "".join(f"u,i1,{day}\n" for day in days)
    right = [int(dt.datetime.strptime(day, pattern).replace(tzinfo=dt.UTC).timestamp()) * 1000 for day in days]
    if clear:
        assert read(tmp_path, content.encode()).column("timestamp") == right
        return
    with pytest.raises(DataError, match=rf"csv: the timestamp '{re.escape(days[0])}' .*`time_format: day-first`"):
        read(tmp_path, content.encode())
    assert read(tmp_path, content.encode(), time_format=order).column("timestamp") == right


@QUICK
@given(
    rows=tables(),
    gap=st.sampled_from(["NULL", "\\N", "NaN", "None", "", "N/A"]),
    where=st.sampled_from(["user_id", "item_id", "rating"]),
    floats=st.booleans(),
)
def test_words_for_nothing_are_nobody_and_numbers_with_gaps_stay_ids(tmp_path, rows, gap, where, floats):
    end = ".0" if floats else ""
    lines = [[f"{user[1:]}{end}", f"{item[1:]}{end}", str(time), "4"] for user, item, time, _ in rows]
    lines.insert(1, [f"7{end}", f"8{end}", "1700000000", "4"])
    lines[1][["user_id", "item_id", "", "rating"].index(where)] = gap
    raw = read(
        tmp_path, ("user_id,item_id,timestamp,rating\n" + "".join(",".join(line) + "\n" for line in lines)).encode()
    )
    assert not any("." in user or "N" in user for user in raw.column("user_id"))
    if where == "rating":
        assert raw.rejects == []
        assert [rating is None for rating in raw.column("rating")] == [place == 1 for place in range(len(lines))]
    else:
        reasons = [(one["file"], one["line"], one["reason"]) for one in raw.rejects]
        assert reasons == [("interactions.csv", 3, f"{where} is empty")]


@QUICK
@given(
    rows=tables(),
    form=st.sampled_from(["lines", "array", "pretty", "pretty array", "array lines", "concatenated"]),
    odd=st.sampled_from([{}, {"vote": float("nan")}, {"rating": float("inf")}, {"title": "half \ud83d"},
                         {"images": {"a": "}{"}}, {"rating": "5.0"}]),
)  # fmt: skip
def test_objects_are_found_however_they_are_written(tmp_path, rows, form, odd):
    objects = [json_review(user, item, time * 1000, **odd) for user, item, time, _ in rows]
    text = {
        "lines": lambda: "".join(json.dumps(one) + "\n" for one in objects),
        "array": lambda: json.dumps(objects),
        "pretty": lambda: "\n".join(json.dumps(one, indent=2) for one in objects),
        "pretty array": lambda: json.dumps(objects, indent=4),
        "array lines": lambda: "[" + ",\n".join(map(json.dumps, objects)) + "]",
        "concatenated": lambda: "".join(map(json.dumps, objects)),
    }[form]()
    (tmp_path / "Shop.jsonl").write_text(text)
    raw = read_reviews(DatasetSpec("shop", "amazon-2023", tmp_path, {}, tmp_path / "shop.yaml"))
    found = [(row["user_id"], row["item_id"], row["timestamp"]) for row in raw.reviews]
    assert found == [(user, item, time * 1000) for user, item, time, _ in rows]
    assert raw.rejects == []
    assert (form_of(tmp_path / "Shop.jsonl") is Form.LINES) == (form == "lines") == (not raw.notes)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_times_is_read_to_the_second(form):
    cells = pd.Series([FORMS[form](time) for time in (1_393_545_600, 1_704_103_261, 1_583_378_629)], dtype="str")
    times, reasons = TimeReader("t.csv").read(cells)
    assert reasons.tolist() == [""] * 3
    assert times.tolist() == [1_393_545_600_000, 1_704_103_261_000, 1_583_378_629_000]
