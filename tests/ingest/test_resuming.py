"""Nights on sources that grow and change: the tables of a reading from nothing, of the new part alone."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingest.nights import BLOCK, night, small, tables

from mmsra_pipeline.config.datasets import DatasetSpec
from mmsra_pipeline.ingest import resuming

NIGHTS = int(os.environ.get("MMSRA_NIGHTS", "3"))
HEADER = b"user_id,item_id,timestamp,rating,review\n"
ODD = [
    b"\n", b'u9,"a\n', b'",x\n', b"u1\n", b",a,1583378629,1,\n", b"u1,a,never,2,\n", b'u2,b,1583378629,,"two\nlines"\n',
    b"u\xff,a,1583378629,1,\n", b"\xef\xbb\xbf", HEADER, b"u1,a,1583378629,4,half", b"u3,c,1583378629,4,fine\r\n",
    b"1.5E+10,a,1583378629,1,\n", b"u1,b\xe2\x80\x8b,1583378629,1,\n", b"\0", b'u4,a,1583378629,3,"it \\"is\\""\n',
    b"u1,a,31.12.2023,2,\n", b"u1,a,20240229,2,\n", b"u" * 700 + b",a,1583378629,1,\n", b"u1,a,1583378629000,1,\n",
    b'u1,a,"1,583,378,629",1,\n', b"u1,a,638393796000000000,1,\n", b'u1,"1,001",1583378629,1,\n',
    b"'007,a,1583378629,1,\n",
    b'"=""007""",a,1583378629,1,\n', b"101.0,a,1583378629,1,\n", b"u1,a,1583378629,4 out of 5,\n",
    b"7,1e5,1583378629,1,\n",
    b"u1,a,1583378629,\xe2\x98\x85\xe2\x98\x85,\n", "u1,a,1er février 2024,2,\n".encode(), b"u1,a,2024,1,\n",
    "u1,a,2024年1月31日 10時05分,2,\n".encode(), b"u1,a,/Date(1583378629000)/,2,\n", b'u1, "a, b", 1583378629,1,\n',
    "u1,пользователь,1583378629,3,\n".encode(), "u1,e\u0301,1583378629,3,\n".encode(), b"guest,a,1583378629,3,\n",
    b'{"user_id": "u1", "item_id": "a", "timestamp": 1583378629}\n',
    b"INSERT INTO `x` VALUES (1);\n", b"u1,a,43891.5,1,\n",
    "Zażółć,gęślą jaźń,1583378629,2,źrebię\n".encode("cp1250"), b"\x07\x07\x07\x07\x07\x07\x07,a,1,1,\n",
]  # fmt: skip
HEADERS = [
    "用户id,商品id,时间,评分,review\n",
    "Kundennummer,Artikelnummer,Datum,Bewertung,review\n",
    "usuario,producto,fecha,calificación,review\n",
    "Export of a shop\nCreated: 2024-02-01\n\n" + HEADER.decode(),
    "# by a program\n" + HEADER.decode(),
    "sep=,\n" + HEADER.decode(),
    "\ufeff" + HEADER.decode(),
]
FORMS = {  # whole files of one form: what their first rows tell holds for all
    "usual": "u{user},{item},{time},{rating},\n",
    "ticks of .NET": "u{user},{item},{ticks},{rating},\n",
    "file times of Windows": "u{user},{item},{windows},{rating},\n",
    "numbers with .0": "{user}.0,{number}.0,{time}.0,{rating},\n",
    "thousands": '"1,00{user}","1,00{number}","{time:,}",{rating},\n',
    "guarded": "'00{user},'00{number},'{time},{rating},\n",
    "formulas": '"=""00{user}""",{item},{time},{rating} out of 5,\n',
    "German": "u{user},{item},{day}. März 2023 10:0{rating},{rating},\n",
    "day first": "u{user},{item},{late}.02.2023,{rating},\n",
    "Russian": "u{user},{item},{day} января 2023,{rating},\n",
    "East Asian": "u{user},{item},2023年2月{day}日,{rating},\n",
    "months": "u{user},{item},20230{month},{rating},\n",
    "years": "u{user},{item},200{rating},{rating}/5,\n",
    "days": "u{user},{item},202302{late},{rating},\n",
    "spreadsheet days": "u{user},{item},4389{rating}.5,{rating},\n",
    "no times": "u{user},{item},,{rating},\n",
    "backslashes": 'u{user},{item},{time},{rating},"\\"{item}\\""\n',
}


@pytest.fixture
def read(monkeypatch):
    return small(monkeypatch)


def line(rng):
    return f"u{rng.randrange(9)},{rng.choice('abcd')},{1_583_378_000 + rng.randrange(9999)},{rng.randrange(6)},\n"


def good(rng, most=40):
    return "".join(line(rng) for _ in range(rng.randrange(most))).encode()


def formed(rng, form, count):
    """Rows of one of ``FORMS``."""
    rows = []
    for _ in range(count):
        time, number = 1_583_378_000 + rng.randrange(9999), rng.randrange(4)
        given = {"ticks": time * 10**7 + 621_355_968_000_000_000, "windows": (time + 11_644_473_600) * 10**7}
        given |= {"user": rng.randrange(9), "number": number, "item": "abcd"[number], "time": time}
        given |= {"rating": rng.randrange(6), "day": rng.randrange(1, 28), "late": rng.randrange(13, 28)}
        rows.append(FORMS[form].format(**given, month=rng.randrange(1, 10)))
    return "".join(rows).encode()


def spec_of(source, **options):
    options = {"interactions": "log*", **options}
    return DatasetSpec("shop", "tables", source, options, source / "shop.yaml")


def opened(source: Path):
    source.mkdir(exist_ok=True)
    (source / "items.csv").write_text("item_id,title\na,Mug\na,Mug again\nb,\n")
    (source / "images").mkdir(exist_ok=True)
    return source


def csv_of(rng):
    head = HEADER if rng.random() < 0.7 else rng.choice([b"user_id;item_id;timestamp\n", *map(str.encode, HEADERS)])
    form = rng.choice([*FORMS]) if rng.random() < 0.3 else ""
    if form:
        return head + formed(rng, form, rng.randrange(40))
    return head + b"".join(good(rng, 30) + (rng.choice(ODD) if rng.random() < 0.4 else b"") for _ in range(2))


def parquet_of(rng):
    rows = good(rng).decode().split("\n")[:-1]
    cells = [row.split(",") for row in rows]
    names = ("user_id", "item_id", "timestamp")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table([[row[at] for row in cells] for at in range(3)], names=list(names)), sink)
    return sink.getvalue().to_pybytes()


def json_of(rng):
    rows = [row.split(",") for row in good(rng).decode().split("\n")[:-1]]
    objects = [dict(zip(("user_id", "item_id", "timestamp"), row, strict=False)) for row in rows] or [{"user_id": "u"}]
    objects = [one | ({"rating": rng.choice([4, "4 out of 5", None])} if rng.random() < 0.5 else {}) for one in objects]
    if rng.random() < 0.3:
        return json.dumps(objects, indent=rng.choice([None, 1])).encode()
    return "".join(json.dumps(one) + "\n" for one in objects).encode()


def pictures_of(rng):
    rows = [row.split(",") for row in good(rng, 20).decode().split("\n")[:-1]]
    columns = {name: [row[at] for row in rows] for at, name in enumerate(("user_id", "item_id", "timestamp"))}
    pictures = [rng.choice([{"bytes": b"\xff\xd8\xff", "path": None}, {"bytes": None, "path": "a.jpg"}]) for _ in rows]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns | {"image": pa.array(pictures, kind)}), sink)
    return sink.getvalue().to_pybytes()


def appended(rng, source, files):
    file = rng.choice([*files, files[-1], files[-1]])
    piece = b"".join(good(rng, 30) + (rng.choice(ODD) if rng.random() < 0.5 else b"") for _ in range(2))
    piece = formed(rng, rng.choice([*FORMS]), rng.randrange(20)) if rng.random() < 0.2 else piece
    piece = json_of(rng) if file.suffix == ".json" else piece
    file.write_bytes(file.read_bytes() + (gzip.compress(piece) if file.suffix == ".gz" else piece))


def edited(rng, source, files):
    file = rng.choice(files)
    content = bytearray(file.read_bytes())
    if content:
        at = rng.randrange(len(content))
        content[at] = rng.choice(b"0123456789abc,")
    file.write_bytes(content)


def truncated(rng, source, files):
    file = rng.choice(files)
    content = file.read_bytes()
    file.write_bytes(content[: rng.randint(len(content) // 2, len(content))])


def deleted(rng, source, files):
    if len(files) > 1:
        rng.choice(files).unlink()


def added(rng, source, files):
    name = f"log{rng.randrange(100):02}"
    kind = rng.choice(["csv", "csv", "csv", "csv.gz", "parquet", "pictures", "json", "cp1250", "utf-16"])
    writer = {"parquet": parquet_of, "pictures": pictures_of, "json": json_of}.get(kind, csv_of)
    content = writer(rng)
    if kind == "cp1250":
        content = HEADER + "Zażółć,gęślą jaźń,1583378629,2,źrebię\n".encode("cp1250") * 40
    elif kind == "utf-16":
        content = content.decode("utf-8", "replace").encode("utf-16")
    ending = {"pictures": "parquet", "cp1250": "csv", "utf-16": "csv"}.get(kind, kind)
    (source / f"{name}.{ending}").write_bytes(gzip.compress(content) if kind == "csv.gz" else content)


def other_header(rng, source, files):
    file = rng.choice(files)
    head, _, rest = file.read_bytes().partition(b"\n")
    file.write_bytes(rng.choice([b"item_id,user_id,timestamp,rating,review", head + b",more", head]) + b"\n" + rest)


def other_items(rng, source, files):
    (source / "items.csv").write_text("item_id,title\n" + "".join(f"{one},T\n" for one in rng.sample("abcd", 2)))


def picture(rng, source, files):
    (source / "images" / f"{rng.choice('abcd')}.jpg").write_bytes(rng.randbytes(8))


CHANGES = [appended] * 7 + [edited, truncated, deleted, added, added, other_header, other_items, picture]


@pytest.mark.parametrize("seed", range(NIGHTS))
def test_nights_give_the_tables_of_a_reading_from_nothing(tmp_path, read, seed):
    rng = random.Random(seed)
    source = opened(tmp_path / "source")
    form = [*FORMS][seed % len(FORMS)]
    (source / "log50.csv").write_bytes(HEADER + formed(rng, form, rng.randrange(40, 180)))
    spec, over = spec_of(source), 0
    for step in range(6):
        found, read_before = night(tmp_path / "root", spec)
        whole, none = night(tmp_path / f"anew {step}", spec)
        assert found == whole
        assert none == 0
        if not isinstance(found, str):
            assert tables(tmp_path / "root", spec) == tables(tmp_path / f"anew {step}", spec)
        over += read_before
        for change in rng.choices(CHANGES, k=rng.choice([0, 1, 1, 1, 2])):
            change(rng, source, sorted(source.glob("log*")))
    assert over or seed  # others begin with a file that is read whole, or changed at its begin


def test_what_was_appended_is_read_and_little_more(tmp_path, read):
    rng = random.Random(1)
    source = opened(tmp_path / "source")
    (source / "log.csv").write_bytes(HEADER + b"".join(line(rng).encode() for _ in range(600)))
    night(tmp_path / "root", spec_of(source))
    assert sum(read) > 10_000
    read.clear()
    with (source / "log.csv").open("ab") as log:
        log.write(b"".join(line(rng).encode() for _ in range(30)))
    found, read_before = night(tmp_path / "root", spec_of(source))
    assert found.reviews == 630
    assert 580 < read_before < 600  # of the last chunk it was not known that it is whole
    items = (source / "items.csv").stat().st_size
    assert sum(read) < 30 * 25 + 4 * BLOCK + 2 * items  # the header again, and the block in which the mark stands


def test_of_a_new_file_beside_old_ones_that_alone_is_read(tmp_path, read):
    rng = random.Random(1)
    source = opened(tmp_path / "source")
    (source / "log1.csv.gz").write_bytes(gzip.compress(HEADER + b"".join(line(rng).encode() for _ in range(300))))
    (source / "log2.parquet").write_bytes(parquet_of(rng))
    before, _ = night(tmp_path / "root", spec_of(source))
    read.clear()
    (source / "log3.csv").write_bytes(HEADER + b"".join(line(rng).encode() for _ in range(3)))
    found, read_before = night(tmp_path / "root", spec_of(source))
    assert read_before == before.reviews == found.reviews - 3
    assert sum(read) < 4 * BLOCK


@pytest.mark.parametrize("change", ["edited and appended", "cut off", "rewritten and longer"])
def test_what_lies_behind_an_old_row_that_changed_is_read_again(tmp_path, read, change):
    rng, source = random.Random(6), opened(tmp_path / "source")
    for name in ("log1.csv", "log2.csv"):
        (source / name).write_bytes(HEADER + b"".join(line(rng).encode() for _ in range(40)))
    night(tmp_path / "root", spec_of(source))
    content = (source / "log2.csv").read_bytes()
    at = len(HEADER) + 1  # the number of the first row's user
    (source / "log2.csv").write_bytes(
        {
            "edited and appended": content[:at] + b"8" + content[at + 1 :] + line(rng).encode(),
            "cut off": content[:-100],
            "rewritten and longer": HEADER + b"".join(line(rng).encode() for _ in range(50)),
        }[change]
    )
    found, read_before = night(tmp_path / "root", spec_of(source))
    assert read_before == 40
    assert found == night(tmp_path / "anew", spec_of(source))[0]
    assert tables(tmp_path / "root", spec_of(source)) == tables(tmp_path / "anew", spec_of(source))


def test_notes_name_the_files_that_there_are_now(tmp_path, read):
    source = opened(tmp_path / "source")
    (source / "log1.csv").write_bytes(HEADER + b"u1,a,31.12.2023,1,\n" * 40)
    first, _ = night(tmp_path / "root", spec_of(source))
    assert "log1.csv: times are day-first, as '31.12.2023' shows" in first.notes
    (source / "log2.csv").write_bytes(HEADER + b"u1,a,01.02.2023,1,\n" * 3)
    second, read_before = night(tmp_path / "root", spec_of(source))
    assert read_before == 40
    assert "log1.csv, log2.csv: times are day-first, as '31.12.2023' shows" in second.notes


def test_all_code_of_the_room_counts(tmp_path):
    (tmp_path / "readers").mkdir()
    for file in ("cells.py", "readers/tables.py"):
        before = resuming.code_of(tmp_path)
        (tmp_path / file).write_text("A = 1\n")
        written = resuming.code_of(tmp_path)
        (tmp_path / file).write_text("A = 2\n")
        assert len({before, written, resuming.code_of(tmp_path)}) == 3
    assert (resuming.ROOM / "readers/tables.py").is_file()
    assert (resuming.ROOM / "cells.py").is_file()


@pytest.mark.parametrize(
    "damage", ["another code", "another reader", "another library", "no cache", "rejects gone", "never published"]
)
def test_what_does_not_fit_is_not_taken_over(tmp_path, read, monkeypatch, damage):
    source, rng = opened(tmp_path / "source"), random.Random(2)
    (source / "log.csv").write_bytes(HEADER + b"".join(line(rng).encode() for _ in range(100)))
    spec = spec_of(source)
    night(tmp_path / "root", spec, publish=damage != "never published")
    if damage == "another code":
        monkeypatch.setattr(resuming, "FORM", 99)
    elif damage == "another reader":
        monkeypatch.setattr(resuming, "code_of", lambda _: "another")
    elif damage == "another library":
        monkeypatch.setattr(resuming, "version", lambda name: f"another {name}")
    elif damage == "no cache":
        (tmp_path / "root/artifacts/caches/readings.sqlite").unlink()
    elif damage == "rejects gone":
        pointer = tmp_path / "root/data/rejects/shop/current"
        pointer.write_text(json.dumps({"version": "0" * 16, "rows": 0}))
        (pointer.parent / f"{'0' * 16}.parquet").write_bytes(next(pointer.parent.glob("*.parquet")).read_bytes())
    assert night(tmp_path / "root", spec)[1] == 0
    assert night(tmp_path / "root", spec)[1] > 90


def test_options_that_change_how_a_file_is_read_begin_anew(tmp_path, read):
    source, rng = opened(tmp_path / "source"), random.Random(3)
    (source / "log.csv").write_bytes(HEADER + b"".join(line(rng).encode() for _ in range(100)))
    night(tmp_path / "root", spec_of(source))
    assert night(tmp_path / "root", spec_of(source, null_words=["a"]))[1] == 0


def review(rng):
    row = {"user_id": f"A{rng.randrange(9)}", "parent_asin": rng.choice("abcd"), "rating": 4.0, "title": "good"}
    return json.dumps(row | {"text": "x" * rng.randrange(60), "timestamp": 1_583_378_000_000 + rng.randrange(9999)})


def lines_of(rng, count):
    odd = ["", "{", '{"user_id": 1}', "no json", '{"user_id": "A", "parent_asin": "", "timestamp": 1583378000000}']
    return "".join((rng.choice(odd) if rng.random() < 0.1 else review(rng)) + "\n" for _ in range(count)).encode()


@pytest.mark.parametrize("seed", range(2))
def test_nights_of_reviews_as_lines_of_json(tmp_path, read, seed):
    rng, over = random.Random(seed), []
    source = tmp_path / "source"
    source.mkdir()
    spec = DatasetSpec("shop", "amazon-2023", source, {}, source / "shop.yaml")
    (source / "A.jsonl").write_bytes(lines_of(rng, 60))
    for step in range(5):
        found, read_before = night(tmp_path / "root", spec)
        assert found == night(tmp_path / f"anew {step}", spec)[0]
        assert tables(tmp_path / "root", spec) == tables(tmp_path / f"anew {step}", spec)
        over.append(read_before)
        last = sorted(source.glob("*.jsonl"))[-1]
        match rng.randrange(4):
            case 0:
                content = bytearray(last.read_bytes())
                content[rng.randrange(len(content))] = ord("x")
                last.write_bytes(content)
            case 1:
                (source / f"B{step}.jsonl").write_bytes(lines_of(rng, 30))
            case _:
                half = b'{"user_id": "A1", "parent' if step % 2 else b""
                last.write_bytes(last.read_bytes() + lines_of(rng, 20) + half)
    assert sum(over) > 100


def test_of_lines_of_json_the_new_ones_alone_are_read(tmp_path, read):
    rng, source = random.Random(4), tmp_path / "source"
    source.mkdir()
    spec = DatasetSpec("shop", "amazon-2023", source, {}, source / "shop.yaml")
    (source / "A.jsonl").write_bytes("".join(review(rng) + "\n" for _ in range(300)).encode())
    night(tmp_path / "root", spec)
    read.clear()
    new = "".join(review(rng) + "\n" for _ in range(3)).encode()
    with (source / "A.jsonl").open("ab") as log:
        log.write(new)
    found, read_before = night(tmp_path / "root", spec)
    assert (read_before, found.reviews) == (300, 303)
    assert sum(read) == len(new)


KILLED = """
import os, sys
from pathlib import Path
import pytest
from ingest import nights
from ingest.test_resuming import spec_of
from mmsra_pipeline.storage import files, keyed_cache, mirror, tables

nights.small(pytest.MonkeyPatch())
module, name, count = sys.argv[3].split()
owner = {"cache": keyed_cache.KeyedCache, "remote": type(mirror.NOTHING), "sync": tables}[module]
inner, calls = getattr(owner, name), []

def last(*args, **options):
    calls.append(name)
    if len(calls) > int(count):
        os._exit(9)
    return inner(*args, **options)

setattr(owner, name, last)
nights.night(Path(sys.argv[1]), spec_of(Path(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", ["sync sync_folder 0", "cache put 2", "remote write 0", "remote write 1"])
def test_a_kill_leaves_the_old_tables_or_the_new_ones(tmp_path, read, point):
    """The kills: a slice is not renamed yet; nothing is remembered; no pointer moved; one did."""
    rng, source = random.Random(5), opened(tmp_path / "source")
    (source / "log.csv").write_bytes(HEADER + b"".join(line(rng).encode() for _ in range(100)) + b"u1,a\n")
    spec = spec_of(source)
    night(tmp_path / "root", spec)
    before = tables(tmp_path / "root", spec)
    with (source / "log.csv").open("ab") as log:
        log.write(b"".join(line(rng).encode() for _ in range(30)) + b"u2,b\n")
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    command = [sys.executable, "-c", KILLED, str(tmp_path / "root"), str(source), point]
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=False).returncode == 9
    left = tables(tmp_path / "root", spec)
    assert left["raw_reviews"] == before["raw_reviews"]
    found, _ = night(tmp_path / "root", spec)
    assert found == night(tmp_path / "anew", spec)[0]
    assert tables(tmp_path / "root", spec) == tables(tmp_path / "anew", spec)
