"""Slices that begin with another's rows: the same rows and version as written anew, and nothing of the old is read."""

import random
from functools import partial

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmsra_pipeline.storage import growing, table_writer
from mmsra_pipeline.storage.growing import Beginning, GrowingWriter
from mmsra_pipeline.storage.tables import Store

SCHEMA = pa.schema({"user_id": pa.string(), "rating": pa.float64(), "order": pa.int64()})


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    for module in (growing, table_writer):
        monkeypatch.setattr(module, "GROUP_ROWS", 100)


def rows(start, end):
    places = range(start, end)
    users = [None if place % 7 == 0 else f"user {place * 31 % 101} \u00e9" for place in places]
    return pa.table([users, [place % 5 / 2 for place in places], list(places)], schema=SCHEMA)


def written(path, *tables, beginning=None):
    writer = GrowingWriter(path, SCHEMA, beginning)
    for table in tables:
        writer.write(table)
    return writer.close(), writer


@pytest.mark.parametrize("seed", range(8))
def test_a_slice_that_grows_again_and_again_is_the_one_that_is_written_anew(tmp_path, seed):
    rng = random.Random(seed)
    end = rng.randrange(500)
    version, writer = written(tmp_path / "0", rows(0, end))
    for step in range(1, 7):
        kept = max(0, end - rng.choice([0, 0, 3, 100, 170, 1000]))
        beginning = Beginning(tmp_path / str(step - 1), kept, tuple(writer.groups))
        end = kept + rng.choice([0, 1, 40, 100, 260])
        version, writer = written(tmp_path / str(step), rows(kept, end), beginning=beginning)
        whole, anew = written(tmp_path / f"whole {step}", rows(0, end // 2), rows(end // 2, end))
        assert (version, writer.groups, writer.rows) == (whole, anew.groups, end)
        assert writer.head == anew.head
        found = pq.read_table(tmp_path / str(step))
        assert found == rows(0, end)
        assert [pq.read_metadata(tmp_path / str(step)).row_group(at).num_rows for at in range(-(-end // 100))] == [
            min(100, end - at) for at in range(0, end, 100)
        ]
        middle = end // 2
        sql = f'select min("order"), count(*) from read_parquet(\'{tmp_path / str(step)}\') where "order" >= {middle}'
        assert duckdb.execute(sql).fetchone() == ((middle, end - middle) if end else (None, 0))


def test_what_stands_behind_a_null_does_not_count(tmp_path):
    nan = pa.array([1.5, float("nan")])
    odd = pa.Array.from_buffers(pa.float64(), 2, [pa.array([True, False]).buffers()[1], nan.buffers()[1]])
    one, other = (pa.table([["a", "b"], ratings, [0, 1]], schema=SCHEMA) for ratings in (odd, pa.array([1.5, None])))
    assert one == other
    assert written(tmp_path / "one", one)[0] == written(tmp_path / "other", other)[0]
    assert (
        written(tmp_path / "nan", pa.table([["a", "b"], nan, [0, 1]], schema=SCHEMA))[0]
        != written(tmp_path / "zero", other)[0]
    )


def test_other_columns_and_missing_rows_are_refused(tmp_path):
    _, writer = written(tmp_path / "old", rows(0, 150))
    with pytest.raises(ValueError, match="has not 151 rows"):
        GrowingWriter(tmp_path / "new", SCHEMA, Beginning(tmp_path / "old", 151, tuple(writer.groups)))
    other = SCHEMA.set(1, pa.field("rating", pa.int64()))
    with pytest.raises(ValueError, match="has not 100 rows"):
        GrowingWriter(tmp_path / "new", other, Beginning(tmp_path / "old", 100, tuple(writer.groups)))


def test_old_groups_are_copied_as_bytes(tmp_path, monkeypatch):
    _, writer = written(tmp_path / "old", rows(0, 1050))
    read = []
    inner = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, at: read.append(at) or inner(self, at))
    written(tmp_path / "new", rows(1050, 1060), beginning=Beginning(tmp_path / "old", 1050, tuple(writer.groups)))
    assert read == [0, 10]  # the first rows are shown, the last group is not full


def test_it_is_a_slice_of_the_store(tmp_path):
    store = Store(tmp_path)
    with store.staging("raw_reviews", "shop", SCHEMA, GrowingWriter) as writing:
        writing.write(rows(0, 150))
    assert isinstance(writing, GrowingWriter)
    beginning = Beginning(writing.slice.path, 150, tuple(writing.groups))
    with store.staging("raw_reviews", "shop", SCHEMA, partial(GrowingWriter, beginning=beginning)) as writing:
        writing.write(rows(150, 250))
    store.publish([writing.slice])
    assert store.read_arrow("raw_reviews", "shop") == rows(0, 250)
    assert writing.slice.version == written(tmp_path / "anew", rows(0, 250))[0]
