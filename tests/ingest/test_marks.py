"""A reading that goes on from a mark gives what one from the beginning gives, whatever was appended behind it."""

import json
import os
import random
from dataclasses import asdict

import pyarrow as pa
import pytest
from ingest.nights import small
from ingest.test_resuming import FORMS, HEADER, HEADERS, ODD, formed, good, line, lines_of, opened, spec_of

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.marks import Mark, Marks
from mmsra_pipeline.ingest.readers.amazon import AmazonReader
from mmsra_pipeline.ingest.readers.tables import TablesReader
from mmsra_pipeline.ingest.rejects import RejectSink

EXAMPLES = int(os.environ.get("MMSRA_NIGHTS", "3")) * 2


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small(monkeypatch)


def reading(reader, begin: Mark | None = None):
    """The marks, the reviews, the rejects by line, the notes and the rows seen; or the error."""
    refused: list[pa.Table] = []
    sink = RejectSink(refused.append)
    marks = Marks(sink, begin)
    try:
        rows = [row for table in marks.counted(reader.reviews_from(begin, marks, sink)) for row in table.to_pylist()]
    except DataError as error:
        return marks, str(error), [], [], 0
    sink.flush()
    rejects = [row for table in refused for row in table.to_pylist()]
    return marks, rows, rejects, sink.notes, sink.rows


def compared(reader, file, more: bytes) -> int:
    """Read, append, go on and read anew; return how many reviews the mark had before it."""
    marks, before, refused, _, _ = reading(reader)
    with file.open("ab") as log:
        log.write(more)
    label = file.name
    anew, *whole = reading(reader)
    mark = marks.within.get(label)
    if isinstance(before, str) or mark is None or not reader.goes_on(mark):
        return 0
    assert mark == Mark.of_json(json_of(mark))
    again, rows, rejects, notes, seen = reading(reader, mark)
    assert again.ends == anew.ends
    assert again.within in ({}, anew.within)  # what was appended need not fill a chunk
    if isinstance(rows, str):
        assert rows == whole[0]
        return 0
    earlier = [one for one in refused if one["line"] < mark.place.line]
    assert len(earlier) == mark.refused
    order = ("line", "reason")
    together = sorted([*earlier, *rejects], key=lambda one: [one[name] for name in order])
    assert [*before[: mark.reviews], *rows] == whole[0]
    assert together == sorted(whole[1], key=lambda one: [one[name] for name in order])
    assert (notes, seen) == (whole[2], whole[3])
    return mark.reviews


def json_of(mark):
    return json.loads(json.dumps(asdict(mark)))


def odd(rng, share):
    return rng.choice(ODD) if rng.random() < share else b""


@pytest.mark.parametrize("kind", ["good", "odd before", "odd behind", "odd all over"])
def test_rows_are_appended_to_a_table(tmp_path, kind):
    over = 0
    for seed in range(EXAMPLES):
        rng = random.Random(seed)
        source = opened(tmp_path / str(seed))
        before, behind = (0.5 * (kind in ("odd all over", f"odd {place}")) for place in ("before", "behind"))
        file = source / "log.csv"
        file.write_bytes(HEADER + b"".join(good(rng, 8) + odd(rng, before) for _ in range(4)))
        reader = TablesReader(spec_of(source))
        over += compared(reader, file, b"".join(odd(rng, behind) + good(rng, 6) for _ in range(2)))
    assert over


@pytest.mark.parametrize("form", FORMS)
def test_what_the_first_rows_of_a_form_showed_holds_behind_the_mark(tmp_path, form):
    over = 0
    for seed in range(max(2, EXAMPLES // 3)):
        rng = random.Random(seed)
        source = opened(tmp_path / str(seed))
        file = source / "log.csv"
        head = rng.choice(HEADERS).encode() if seed else HEADER
        file.write_bytes(head + formed(rng, form, 20))
        other = formed(rng, rng.choice([*FORMS]), 5) + odd(rng, 0.5)
        over += compared(TablesReader(spec_of(source)), file, formed(rng, form, 7) + other)
    assert over


@pytest.mark.parametrize(
    "left",
    [b'u1,a,1583378629,1,"not closed\nu1,b,1583378629,1,\n', b"u1,a,1583378629,1,", b'"u1,a\n\nu1,b,1583378629,1,\n'],
)
@pytest.mark.parametrize("more", [b'closed"\nu2,b,1583378629,1,\n', b"x\n", b'\n\n",1583378629,1,\n'])
def test_what_is_open_at_the_end_of_a_file_may_go_on(tmp_path, left, more):
    over = 0
    for count in (4, 9, 12):  # with the rest they fill chunks, or a chunk is full some lines before
        rng = random.Random(count)
        source = opened(tmp_path / str(count))
        file = source / "log.csv"
        file.write_bytes(HEADER + b"".join(line(rng).encode() for _ in range(count)) + left)
        over += compared(TablesReader(spec_of(source)), file, more)
    assert over


def test_what_was_detected_of_times_and_ids_holds_behind_the_mark(tmp_path):
    source = opened(tmp_path / "source")
    file = source / "log.csv"
    file.write_bytes(HEADER + b"1.0,a,1.2.2023,1,\n2.0,b,31.12.2023,1,\n" * 20)
    more = b"3.0,a,3.4.2023,2,\n4,b,1583378629,1,\n"
    assert compared(TablesReader(spec_of(source)), file, more) > 20
    _, rows, *_ = reading(TablesReader(spec_of(source)))
    assert [(row["user_id"], row["timestamp"]) for row in rows[-2:]] == [
        ("3", 1_680_480_000_000), ("4", 1_583_378_629_000),
    ]  # fmt: skip


def test_a_column_without_times_in_its_first_rows_has_none_behind_the_mark_either(tmp_path):
    source = opened(tmp_path / "source")
    file = source / "log.csv"
    file.write_bytes(HEADER + b"u1,a,,1,\n" * 10 + b"u1,a,1583378629,1,\n" * 20)
    assert compared(TablesReader(spec_of(source)), file, b"u2,a,1583378629,1,\n" * 5) == 10
    _, rows, refused, *_ = reading(TablesReader(spec_of(source)))
    assert (len(rows), len(refused)) == (10, 25)


def test_a_file_that_is_written_otherwise_than_its_begin_showed_is_read_whole(tmp_path):
    source = opened(tmp_path / "source")
    file = source / "log.csv"
    file.write_bytes(b"user_id,item_id,timestamp\n" + b"u1,a,1\n" * 20)
    reader = TablesReader(spec_of(source))
    marks, *_ = reading(reader)
    assert reader.goes_on(marks.within["log.csv"])
    with file.open("ab") as log:
        log.write("ü,a,1\n".encode("cp1252") * 20)
    assert not reader.goes_on(marks.within["log.csv"])


def test_lines_of_json_are_appended(tmp_path):
    over = 0
    for seed in range(EXAMPLES):
        rng = random.Random(seed)
        source = tmp_path / str(seed)
        source.mkdir()
        file = source / "A.jsonl"
        half = b'{"user_id": "A1", "parent' if seed % 2 else b""
        file.write_bytes(lines_of(rng, 30) + half)
        reader = AmazonReader(DatasetSpec("shop", "amazon-2023", source, {}, source / "shop.yaml"))
        over += compared(reader, file, lines_of(rng, 20))
    assert over > EXAMPLES
