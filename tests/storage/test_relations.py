import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmsra_pipeline.storage.relations import register

FRAME = pd.DataFrame({"a": [1.5, float("nan")], "b": ["x", None]})


@pytest.fixture
def forms(tmp_path):
    """The same rows as a frame, an Arrow table and a file."""
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    file = tmp_path / "part=1" / "rows.parquet"  # the folder's name is no column
    file.parent.mkdir()
    pq.write_table(table, file)
    return {"frame": FRAME, "table": table, "file": file}


@pytest.mark.parametrize("form", ["frame", "table", "file"])
def test_rows_are_read_by_name_and_what_is_missing_is_null(forms, form):
    with duckdb.connect() as connection:
        register(connection, "rows", forms[form])
        assert connection.execute("select * from rows").fetchall() == [(1.5, "x"), (None, None)]


@pytest.mark.parametrize("first", ["frame", "table", "file"])
@pytest.mark.parametrize("second", ["frame", "table", "file"])
def test_a_name_is_given_anew(forms, first, second):
    with duckdb.connect() as connection:
        register(connection, "rows", pd.DataFrame({"c": [0]}) if first == "frame" else forms[first])
        assert len(connection.execute("select * from rows").fetchall()) > 0
        register(connection, "rows", forms[second])
        assert connection.execute("select count(a) from rows").fetchall() == [(1,)]
