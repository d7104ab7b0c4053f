import csv
import datetime as dt
import gzip
import io
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest.taking import blocks, read_tables

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest import delimited, parquet
from mmsra_pipeline.ingest.delimited import read_text_rows
from mmsra_pipeline.ingest.records import RECORD_LINES, Records
from mmsra_pipeline.ingest.rejects import RejectSink


def read(tmp_path, content: str | bytes, name: str = "t.csv", **settings):
    """Rows with their line, and rejects, of a file with that content."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_path(path, **settings)


def read_path(path, **settings):
    def rows(sink):
        for chunk in read_text_rows(path, path.name, "|", sink, **settings):
            yield chunk.cells.append_column("line", pa.array(chunk.lines, pa.int64()))

    return read_tables(rows)


def names(tmp_path, content: str | bytes) -> list[str]:
    return list(read(tmp_path, content).kept[0])[:-1]


def test_lines_are_counted_over_quoted_line_breaks_empty_lines_and_crlf(tmp_path):
    found = read(tmp_path, 'a,b\r\n1,"two\r\nlines"\r\n\r\n2,"say ""hi"", x"\r\n3,5 pipe\r\n')
    assert found.column("line") == [2, 5, 6]
    assert found.column("b") == ["two\nlines", 'say "hi", x', "5 pipe"]
    assert found.rejects == []


def test_cells_are_stripped_and_empty_ones_are_null(tmp_path):
    assert read(tmp_path, "a,b\n x , \n").kept == [{"a": "x", "b": None, "line": 2}]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert names(tmp_path, "\ufeffa,b\n1,2\n") == ["a", "b"]


def test_a_header_may_be_quoted_and_follow_empty_lines(tmp_path):
    found = read(tmp_path, '\n\n"a","b,c"\n1,2\n')
    assert found.kept == [{"a": "1", "b,c": "2", "line": 4}]


@pytest.mark.parametrize("name", ["t.tsv", "t.TSV", "t.tsv.gz"])
def test_tsv_is_split_at_tabs_and_known_by_its_name(tmp_path, name):
    content = b"a\tb\n1,5\t2\n"
    found = read(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name)
    assert found.column("a") == ["1,5"]


def test_a_file_without_a_header_takes_the_names_given(tmp_path):
    found = read(tmp_path, "1,2\n3\n", names=("a", "b"))
    assert found.kept == [{"a": "1", "b": "2", "line": 1}]
    assert found.reasons() == {2: "has 1 fields, the header has 2; put cells that hold separators in quotes"}


def test_an_unclosed_quote_costs_one_row_and_not_the_rest_of_the_file(tmp_path):
    found = read(tmp_path, 'a,b\n1,"open\n2,x\n3,y\n')
    assert found.column("a") == ["2", "3"]
    assert [(reject["line"], reject["text"]) for reject in found.rejects] == [(2, '1,"open')]
    assert "a quote is not closed" in found.rejects[0]["reason"]


@pytest.mark.parametrize("cuts", [(), (2,), (RECORD_LINES - 1, RECORD_LINES + 3), range(2, 2 * RECORD_LINES)])
def test_a_quoted_cell_may_not_span_more_lines_than_the_bound(cuts):
    inner = b"x\n" * (RECORD_LINES - 2)
    within = list(Records(blocks(b'1,"' + inner + b'"\n2,y\n', *cuts), ","))
    assert [(line, fields and fields[0]) for line, fields, _ in within] == [(1, "1"), (RECORD_LINES, "2")]
    beyond = list(Records(blocks(b'1,"' + inner + b'x\n\n"\n2,y\n', *cuts), ","))
    assert beyond[0] == (1, None, '1,"x')
    assert beyond[-1][:2] == (RECORD_LINES + 2, ["2", "y"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "has 3 fields, the header has 2"),
        (b"1", "has 1 fields, the header has 2"),
        (b'1,"a" b', "or is followed by text"),
        (b"1,\xc3\xa9\xc3\xa9\xc3\xa9\n1,caf\xe9\xff\xfe"[9:], "is not valid UTF-8"),
        (b"1,\xed\xa0\x80", "is not valid UTF-8"),
    ],
)
def test_an_ill_formed_row_is_refused_with_its_line(tmp_path, row, reason):
    found = read(tmp_path, b"a,b\n0,ok\n" + row + b"\n9,ok\n")
    assert found.column("a") == ["0", "9"]
    assert list(found.reasons()) == [3]
    assert reason in found.reasons()[3]
    assert found.rejects[0]["file"] == "t.csv"
    assert found.rows == 1  # those that are well-formed are counted by who reads their cells


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header line"),
        (b"\n\n", "has no header line"),
        (b'"a,b\n', "has no header line"),
        (b"\xe9\xe8\xe7\xe6\xe5\xe4\xe3,a\n1,2\n", "which encoding it has cannot be known for sure"),
        (b"<!DOCTYPE html><title>404</title>", r"is an HTML page \('404'\)"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_says_why(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("name", ["gone.csv", "gone.parquet"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(MissingInputError, match=rf"{name} is not there. Put the file there"):
        read_path(tmp_path / name)


def test_a_file_of_a_header_alone_has_its_columns(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    chunks = list(read_text_rows(tmp_path / "t.csv", "t.csv", "|", None))
    assert [(chunk.cells.column_names, chunk.lines) for chunk in chunks] == [(["a", "b"], [])]


def test_rows_come_in_chunks_and_keep_their_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "CHUNK_ROWS", 3)
    (tmp_path / "t.csv").write_text("a\n" + "".join(f"{number}\n" for number in range(7)))
    chunks = list(read_text_rows(tmp_path / "t.csv", "t.csv", "|", None))
    assert [chunk.lines for chunk in chunks] == [[2, 3, 4], [5, 6, 7], [8]]


def test_a_damaged_file_gives_its_rows_up_to_there_and_a_reject(tmp_path):
    content = "a,b\n" + "".join(f"{number},{number**5}\n" for number in range(300))
    found = read(tmp_path, gzip.compress(content.encode())[:-20], "t.csv.gz")
    lines = content.splitlines()
    count = len(found.kept)
    assert [f"{row['a']},{row['b']}" for row in found.kept] == lines[1 : count + 1]
    assert count > 200
    assert list(found.reasons()) == [count + 2]
    assert "the gzip file is damaged or cut off here" in found.reasons()[count + 2]
    assert found.rows == 1


# A row of blanks alone is an empty line; a byte order mark after a line end is that of a file that was joined.
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0\ufeff"), max_size=6)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS.map("x{}".format), CELLS, CELLS), max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(1, 30), max_size=5),
    delimiter=st.sampled_from([",", "\t"]),
)
def test_what_the_csv_module_writes_comes_back_however_blocks_are_cut(rows, end, cuts, delimiter):
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator=end, delimiter=delimiter)
    starts = []
    for row in rows:
        starts.append(sink.getvalue().count("\n") + 1)
        writer.writerow(row)
    found = list(Records(blocks(sink.getvalue().encode(), *cuts), delimiter))
    assert [fields for _, fields, _ in found] == [list(row) for row in rows]
    assert [line for line, _, _ in found] == starts


def test_parquet_cells_read_as_a_csv_would_hold_them(tmp_path):
    time = dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    columns = {
        "id": pa.array([1.0, None]),  # integers beside a null
        "rating": pa.array([4.5, 3.0]),
        "tags": pa.array([["a", None, "b"], None]),
        "time": pa.array([time, None], pa.timestamp("us", tz="UTC")),
        "big": pa.array([2**60 + 1, 7]),
        "kind": pa.array(["x", None]).dictionary_encode(),
        "price": pa.array([Decimal("4.50"), None]),
        "large": pa.array([" x ", ""], pa.large_string()),
        "blob": pa.array([b"\xff", None]),
        "inner": pa.array([{"a": 1}, None]),
        "wait": pa.array([5, None], pa.duration("s")),
        "nothing": pa.nulls(2),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    first, second = read_path(tmp_path / "t.parquet").kept
    assert pd.Timestamp(first.pop("time")) == pd.Timestamp(time)
    assert first == {
        "id": "1", "rating": "4.5", "tags": "a|b", "big": "1152921504606846977", "kind": "x", "price": "4.50",
        "large": "x", "blob": None, "inner": None, "wait": "5", "nothing": None, "line": 1,
    }  # fmt: skip
    assert {name for name, value in second.items() if value is not None} == {"rating", "big", "line"}


def test_parquet_rows_are_numbered_over_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "CHUNK_ROWS", 3)
    pq.write_table(pa.table({"a": list(range(7))}), tmp_path / "t.parquet")
    found = read_path(tmp_path / "t.parquet")
    assert (found.column("line"), found.column("a")) == (list(range(1, 8)), list("0123456"))


@pytest.mark.parametrize("table", [pa.table({"a": pa.array([], pa.int64())}), pa.table({})])
def test_an_empty_parquet_file_has_its_columns(tmp_path, table):
    pq.write_table(table, tmp_path / "t.parquet")
    chunks = list(read_text_rows(tmp_path / "t.parquet", "t.parquet", "|", None))
    assert [(chunk.cells.column_names, chunk.lines) for chunk in chunks] == [(table.column_names, [])]


def test_parquet_text_that_is_not_utf8_is_refused_with_its_row(tmp_path):
    broken = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"caf\xe9"]).buffers())
    pq.write_table(pa.table({"a": broken}), tmp_path / "t.parquet")
    found = read_path(tmp_path / "t.parquet")
    assert found.column("a") == ["ok"]
    assert found.reasons() == {2: "is not valid UTF-8; write the text as UTF-8"}


@pytest.mark.parametrize("content", [b"PAR1PAR1", b"PAR1" + bytes(50) + b"PAR1"])
def test_a_parquet_file_that_is_none_says_so(tmp_path, content):
    with pytest.raises(DataError, match=r"t\.parquet: not readable as Parquet"):
        read(tmp_path, content, "t.parquet")


def test_a_parquet_file_may_name_a_column_twice(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "t.parquet")
    (rows,) = read_text_rows(tmp_path / "t.parquet", "t.parquet", "|", RejectSink(print))
    assert rows.header.repeated == {"a"}
    assert [column.to_pylist() for column in rows.cells.columns] == [["1"], ["2"]]
