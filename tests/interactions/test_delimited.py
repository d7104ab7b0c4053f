import datetime as dt

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.interactions.delimited import LINE, RECORD_LINES, read_text_table, split_records


def table(tmp_path, content: str | bytes, name: str = "t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_text_table(path, name, "|")


def test_lines_are_counted_over_quoted_line_breaks_empty_lines_and_crlf(tmp_path):
    read = table(tmp_path, 'a,b\r\n1,"two\r\nlines"\r\n\r\n2,"say ""hi"", x"\r\n3,5" pipe\r\n')
    assert read.rows[LINE].tolist() == [2, 5, 6]
    assert read.rows["b"].tolist() == ["two\nlines", 'say "hi", x', '5" pipe']
    assert read.rejects == []


def test_cells_are_stripped_and_empty_ones_are_null(tmp_path):
    rows = table(tmp_path, "a,b\n x , \n").rows
    assert rows["a"].tolist() == ["x"]
    assert rows["b"].isna().tolist() == [True]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert table(tmp_path, "\ufeffa,b\n1,2\n").names == ["a", "b"]


def test_tsv_is_split_at_tabs(tmp_path):
    assert table(tmp_path, "a\tb\n1,5\t2\n", "t.tsv").rows["a"].tolist() == ["1,5"]


def test_an_unclosed_quote_costs_one_row_and_not_the_rest_of_the_file(tmp_path):
    read = table(tmp_path, 'a,b\n1,"open\n2,x\n3,y\n')
    assert read.rows["a"].tolist() == ["2", "3"]
    assert [(r.line, r.text) for r in read.rejects] == [(2, '1,"open')]
    assert "a quote is not closed" in read.rejects[0].reason


def test_a_quoted_cell_may_not_span_more_lines_than_the_bound():
    lines = ['"' + "x\n" * RECORD_LINES, *["x"] * RECORD_LINES, '"']
    first = next(split_records(["a", *"\n".join(lines).split("\n")][1:], ","))
    assert first == (1, None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "has 3 fields, the header has 2"),
        (b"1", "has 1 fields, the header has 2"),
        (b'1,"a" b', "or is followed by text"),
        (b"1,caf\xe9", "is not valid UTF-8"),
    ],
)
def test_an_ill_formed_row_is_rejected_with_its_line(tmp_path, row, reason):
    read = table(tmp_path, b"a,b\n0,ok\n" + row + b"\n9,ok\n")
    assert read.rows["a"].tolist() == ["0", "9"]
    assert [r.line for r in read.rejects] == [3]
    assert reason in read.rejects[0].reason
    assert read.rejects[0].file == "t.csv"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no header line"),
        (b"\n\n", "has no header line"),
        (b"a,b,a\n1,2,3\n", "the header names 'a' more than once"),
        ("a,b\n".encode("utf-16"), "is UTF-16, not UTF-8. Save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_says_why(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        table(tmp_path, content)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"gone\.csv is not there. Put the file there"):
        read_text_table(tmp_path / "gone.csv", "gone.csv", "|")


def test_parquet_cells_read_as_a_csv_would_hold_them(tmp_path):
    time = dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    columns = {
        "id": pa.array([1.0, None]),  # integers beside a null
        "rating": pa.array([4.5, 3.0]),
        "tags": pa.array([["a", "b"], None]),
        "time": pa.array([time, None], pa.timestamp("us", tz="UTC")),
        "big": pa.array([2**60 + 1, 7]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    rows = read_text_table(tmp_path / "t.parquet", "t.parquet", "|").rows
    first = rows.iloc[0].to_dict()
    assert pd.Timestamp(first.pop("time")) == pd.Timestamp(time)
    assert first == {"id": "1", "rating": "4.5", "tags": "a|b", "big": "1152921504606846977", LINE: 1}
    assert rows.iloc[1].isna().to_dict() == {
        "id": True, "rating": False, "tags": True, "time": True, "big": False, LINE: False,
    }  # fmt: skip


def test_a_parquet_file_that_is_none_says_so(tmp_path):
    with pytest.raises(DataError, match=r"t\.parquet: not readable as Parquet"):
        table(tmp_path, "a,b\n1,2\n", "t.parquet")
