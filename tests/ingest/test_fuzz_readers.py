"""Readers given files that were damaged in every way: rows are kept or refused, or an error says how to fix it.

``MMSRA_FUZZ`` sets the number of files per reader (`make fuzz`: 10,000). An example is named by reader and number.
"""

import gzip
import logging
import os
import random
import time
from dataclasses import replace

import pyarrow.compute as pc
import pytest
from ingest.source_examples import SOURCE_EXAMPLES, SourceExample, line_count, title_count

from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.ingest.raw_tables import LINE_HASH, READ_ITEMS, READ_REVIEWS, REVIEWS
from mmsra_pipeline.ingest.reading import files_reader, read_dataset
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.row_checks import LATEST_MS

EXAMPLES = int(os.environ.get("MMSRA_FUZZ", "300"))
WHOLE = 12  # of so many examples one goes the whole way, with pictures and repeated items
PICTURES = ("images/a.jpg", "images/c.jpg")
SECONDS = 10.0  # an example may take, on a busy machine
TOKENS = [
    b'"', b"'", b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\xff\xfe",
    b"\x1f\x8b",
    b"\xe2\x80\xa8", b"\xc2\x85", b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b"[" * 3000, b'{"a":' * 1500,
    b"(" * 3000, b"-" * 3000, b"null", b"}null{", b" null ", b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 400,
    b"-1", b"0", b"99999999999999999999", b"1583378629000", b"20240229", b"2024-13-45", b"0001-01-01", b"1e5", b"0x10",
    b"1_000", b",", b"\t", b":", b"|", b" ", b"true", b"None", b"''", b"'''", b"f'{1}'", b"__import__('os')", b"http://",
    b"../../x", b"x" * 100_000, b"x/" * 300, b"\n\n\n", b'{"asin": null}', b"item,title\n", b"user_id,item_id\n",
]  # fmt: skip


def mutated(content: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Give content with some damage."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        content = rng.choice(DAMAGES)(bytearray(content), rng, others)
    return content


def _flip(content, rng, others):
    for _ in range(rng.choice([1, 1, 4, 30])):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _insert(content, rng, others):
    at = rng.randint(0, len(content))
    content[at:at] = rng.choice(TOKENS) if rng.random() < 0.9 else rng.randbytes(rng.randint(1, 40))
    return bytes(content)


def _replace(content, rng, others):
    start, end = _range(content, rng)
    content[start:end] = rng.choice(TOKENS)
    return bytes(content)


def _replace_value(content, rng, others):
    """Put a token in the place of a field, as separators bound it."""
    ends = [at for at, byte in enumerate(content) if byte in b",:\t\n {}[]"]
    if len(ends) < 2:
        return bytes(content)
    which = rng.randrange(len(ends) - 1)
    content[ends[which] + 1 : ends[which + 1]] = rng.choice(TOKENS)
    return bytes(content)


def _delete(content, rng, others):
    start, end = _range(content, rng)
    del content[start:end]
    return bytes(content)


def _double(content, rng, others):
    start, end = _range(content, rng)
    content[end:end] = content[start:end] * rng.choice([1, 1, 2, 20])
    return bytes(content)


def _cut(content, rng, others):
    return bytes(content[: rng.randint(0, len(content))])


def _splice(content, rng, others):
    other = rng.choice(others)
    return bytes(content[: rng.randint(0, len(content))]) + other[rng.randint(0, len(other)) :]


def _lines(content, rng, others):
    lines = bytes(content).split(b"\n")
    at = rng.randrange(len(lines))
    lines[at : at + 1] = rng.choice([[], [lines[at]] * 2, [b""], [lines[at] + b"\r"], [lines[at], rng.choice(TOKENS)]])
    if rng.random() < 0.3:
        rng.shuffle(lines)
    return b"\n".join(lines)


def _range(content, rng):
    start = rng.randint(0, len(content))
    return start, min(len(content), start + rng.choice([1, 2, 5, 20, 100]))


DAMAGES = [_flip, _insert, _insert, _replace, _replace_value, _replace_value, _delete, _double, _cut, _splice, _lines]


def example(source: SourceExample, name: str, number: int) -> dict[str, bytes]:
    """Give the files of an example; those that are packed are damaged inside or outside."""
    rng = random.Random(f"{name} {number}")
    files = dict(source.files)
    others = [content for each in SOURCE_EXAMPLES.values() for content in each.files.values()]
    for file in rng.sample(sorted(files), rng.choice([1, 1, len(files)])):
        if file.endswith(".gz") and rng.random() < 0.5:
            files[file] = gzip.compress(mutated(gzip.decompress(files[file]), rng, others), mtime=0)
        else:
            files[file] = mutated(files[file], rng, others)
    return files


def counted(source: SourceExample, files: dict[str, bytes]) -> int | None:
    """Rows by the simple rule of each file; None if one cannot tell."""
    total = 0
    for name, content in files.items():
        try:
            rows = source.counts[name](content)
        except (OSError, EOFError, gzip.zlib.error):  # damaged outside
            return None
        if rows is None:
            return None
        total += rows
    return total


def check_reader(source: SourceExample, folder, expected: int | None) -> tuple[int, int]:
    """Read without DuckDB, look at every table, and give how many rows were seen and refused."""
    refused = []
    sink = RejectSink(refused.append)
    reader = files_reader(source.spec(folder))
    kept = 0
    for table in reader.reviews(sink):
        assert table.schema in (READ_REVIEWS, READ_REVIEWS.append(REVIEWS.field(LINE_HASH)))
        table.validate(full=True)
        kept += table.num_rows
        for name in ("user_id", "item_id"):
            assert pc.all(pc.greater(pc.utf8_length(table.column(name)), 0)).as_py() in (True, None)
            assert table.column(name).null_count == 0
        times = [time for time in table.column("timestamp").to_pylist() if time is not None]
        assert all(0 <= time <= LATEST_MS for time in times)
        assert pc.all(pc.is_finite(table.column("rating"))).as_py() in (True, None)
    for table in reader.items(sink):
        assert table.schema == READ_ITEMS
        table.validate(full=True)
        kept += table.num_rows
        assert table.column("item_id").null_count == 0
    sink.flush()
    assert sum(table.num_rows for table in refused) == sink.refused
    if not source.expanding:
        assert kept + sink.refused == sink.rows
    elif source.options.get("history"):
        assert check_reader(replace(source, options={}, expanding=False), folder, expected) == (
            sink.rows,
            sink.refused,
        )
    elif not sink.damaged:
        bad = {(reject["file"], reject["line"]) for table in refused for reject in table.to_pylist()}
        assert kept == sum(expanded(folder / name, bad) for name in source.files)
    if expected is not None and not sink.damaged and not sink.notes:  # those say that other rules hold
        assert sink.rows == expected
    return sink.rows, sink.refused


def expanded(path, bad: set[tuple[str, int]]) -> int:
    """Rows that the lines of MicroLens give that were not refused: one an item, or one a title."""
    content = path.read_bytes()
    total = 0 if path.suffix == ".tsv" else title_count(content) - line_count(content)  # without the header
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip() and (path.name, number) not in bad:
            total += len(line.split(b"\t", 1)[1].decode().split()) if path.suffix == ".tsv" else 1
    return total


def check_whole(source: SourceExample, folder, expected: int | None) -> None:
    """Read the whole way."""
    raw = read_dataset(source.spec(folder), folder)
    loaded = raw.loaded
    assert (len(raw.reviews), len(raw.items), len(raw.rejects)) == (loaded.reviews, loaded.items, loaded.rejects)
    if not source.expanding:
        assert loaded.rows == loaded.reviews + loaded.items + loaded.rejects
    if expected is not None and not loaded.damaged and not loaded.notes:
        assert 0 <= loaded.rows - expected <= len(PICTURES)  # of items that no row describes
    assert raw.items["item_id"].is_unique
    assert raw.reviews["order"].tolist() == list(range(loaded.reviews))


@pytest.mark.parametrize("name", SOURCE_EXAMPLES)
def test_the_files_without_damage_are_read_without_a_reject_but_repeated_items(tmp_path, name):
    source = SOURCE_EXAMPLES[name]
    source.write(tmp_path)
    check_reader(source, tmp_path, counted(source, dict(source.files)))
    raw = read_dataset(source.spec(tmp_path), tmp_path)
    assert raw.loaded.rejects == raw.loaded.repeated
    assert raw.loaded.reviews >= 2


@pytest.mark.parametrize("name", SOURCE_EXAMPLES)
@pytest.mark.timeout(60 + 10 * EXAMPLES)
def test_damaged_files_give_rows_rejects_or_an_error_that_can_be_fixed(tmp_path, name, caplog):
    caplog.set_level(logging.ERROR)
    source = SOURCE_EXAMPLES[name]
    source.write(tmp_path, **dict.fromkeys(PICTURES, b"x"))
    for number in range(EXAMPLES):
        files = example(source, name, number)
        for file, content in files.items():  # what was read last is there to be looked at, also after a crash
            (tmp_path / file).write_bytes(content)
        check = check_whole if number % WHOLE == 0 else check_reader
        start = time.process_time()
        message = ""
        try:
            check(source, tmp_path, counted(source, files))
        except MmsraError as error:
            message = str(error)
        except Exception as error:
            raise AssertionError(f"{name} {number}: {type(error).__name__}: {str(error)[:500]}") from error
        seconds = time.process_time() - start
        assert len(message) < 5000, f"{name} {number}: {message[:500]}"
        assert seconds < SECONDS, f"{name} {number}: {seconds:.1f} s"
