import os
import signal
import subprocess
import sys
import threading
import time

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from mmsra_pipeline.errors import ConfigError, MissingInputError
from mmsra_pipeline.storage import table_writer
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.tables import KEPT_VERSIONS, Store


def rows(*values):
    return pd.DataFrame({"a": list(values)})


def catalog(store):
    return duckdb.connect(str(store.root / "catalog.duckdb"), read_only=True)


def test_a_slice_is_read_back_as_it_was_written(store):
    table = pd.DataFrame({"item_id": ["x", "y"], "n": [1, 2], "keywords": [["red"], []]})
    written = store.replace("item_keywords", "shop", table)
    read = store.read("item_keywords", "shop")
    assert written.rows == 2
    assert read["item_id"].tolist() == ["x", "y"]
    assert [list(words) for words in read["keywords"]] == [["red"], []]


def test_the_first_rows_and_those_of_a_value_are_read_alone(store, monkeypatch):
    monkeypatch.setattr(table_writer, "GROUP_ROWS", 2)
    table = pd.DataFrame({"user_id": list("abcabc"), "n": range(6), "keywords": [["red"], [], None] * 2})
    written = store.replace("t", "shop", table)
    assert written.head(3)["n"].tolist() == [0, 1, 2]
    found = written.where("user_id", ["c", "a", "nobody"])
    assert (found["user_id"].tolist(), found["n"].tolist()) == (["a", "c", "a", "c"], [0, 2, 3, 5])
    assert written.where("user_id", []).empty
    whole = store.read("t", "shop")
    pd.testing.assert_frame_equal(written.head(99), whole)


def test_duckdb_takes_threads_and_memory_as_it_is_set(tmp_path):
    with Store(tmp_path, memory_limit="300MB", threads=None).duckdb() as connection:
        [[threads, memory]] = connection.execute(
            "select current_setting('threads'), current_setting('memory_limit')"
        ).fetchall()
    assert threads == len(os.sched_getaffinity(0))
    assert memory.startswith("286")  # MiB


def test_the_same_rows_give_the_same_version_and_other_rows_another(store):
    first = store.replace("t", "shop", rows(1, 2)).version
    assert store.replace("t", "shop", rows(2, 1)).version != first
    assert store.replace("t", "shop", rows(1, 2)).version == first


def written_in(store, table, *cuts):
    with store.writer("t", "shop", table.schema) as writing:
        for start, end in zip((0, *cuts), (*cuts, len(table))):
            writing.write(table.slice(start, end - start))
    return writing.slice


@pytest.mark.parametrize("group", [1, 2, 3, 8, 100])
def test_the_batches_in_which_rows_come_change_neither_file_nor_version(store, monkeypatch, group):
    monkeypatch.setattr(table_writer, "GROUP_ROWS", group)
    table = pa.table(
        {
            "a": list(range(20)),
            "s": [None if n % 3 == 0 else "x" * n for n in range(20)],
            "l": [None if n % 5 == 0 else list(range(n % 4)) for n in range(20)],
            "b": [None if n % 7 == 0 else n % 2 == 0 for n in range(20)],
        }
    )
    whole = store.replace("t", "shop", table)
    content = whole.path.read_bytes()
    for cuts in [(1,), (7, 8), (3, 3, 9, 19), tuple(range(1, 20))]:
        pieces = written_in(store, table, *cuts)
        assert pieces.version == whole.version
        assert pieces.path.read_bytes() == content
    padded = pa.concat_tables([table.slice(0, 1), table]).slice(1)
    assert store.replace("t", "shop", padded).version == whole.version
    assert store.read_arrow("t", "shop").equals(table)


def test_a_table_without_rows_has_its_columns(store):
    assert store.replace("t", "shop", rows(1).head(0)).rows == 0
    assert list(store.read("t", "shop").columns) == ["a"]


def test_an_error_while_writing_keeps_the_old_rows_and_leaves_no_file(store):
    store.replace("t", "shop", rows(1))

    def write():
        with store.writer("t", "shop", pa.schema({"a": "int64"})) as writing:
            writing.write(rows(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert store.read("t", "shop")["a"].tolist() == [1]
    assert len(list((store.root / "t" / "shop").iterdir())) == 2


def test_what_a_dead_process_left_is_swept(store):
    folder = store.root / "t" / "shop"
    folder.mkdir(parents=True)
    dead = subprocess.Popen(["true"])
    dead.wait()
    (folder / f".{dead.pid}-1.tmp").write_bytes(b"half")
    (folder / f".{dead.pid}-2.tmp.wal").write_bytes(b"what DuckDB puts beside a file")
    (folder / f".{os.getppid()}-1.tmp").write_bytes(b"at work")
    store.replace("t", "shop", rows(1))
    assert [path.name for path in folder.glob(".*")] == [f".{os.getppid()}-1.tmp"]


def test_the_catalog_has_one_view_over_all_datasets(store):
    store.replace("t", "one", rows(1))
    store.replace("t", "two", rows(2, 3))
    assert catalog(store).execute("select dataset, a from t order by a").fetchall() == [
        ("one", 1),
        ("two", 2),
        ("two", 3),
    ]


def test_a_quote_in_the_root_does_not_break_the_catalog(tmp_path):
    store = Store(tmp_path / "it's here")
    store.replace("t", "one", rows(1))
    assert catalog(store).execute("select a from t").fetchall() == [(1,)]


def test_an_open_reader_neither_blocks_a_writer_nor_loses_its_rows(store):
    store.replace("t", "shop", rows(1))
    reader = catalog(store)
    store.replace("t", "shop", rows(2))
    assert reader.execute("select a from t").fetchall() == [(1,)]
    # Another process: within one, DuckDB hands out the same open database for the same path.
    query = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).sql('select a from t').fetchall())"
    command = [sys.executable, "-c", query, str(store.root / "catalog.duckdb")]
    assert subprocess.check_output(command, text=True).strip() == "[(2,)]"


def test_old_versions_are_dropped_but_for_a_few(store):
    for value in range(6):
        store.replace("t", "shop", rows(value))
    assert len(list((store.root / "t" / "shop").glob("*.parquet"))) == KEPT_VERSIONS
    assert store.read("t", "shop")["a"].tolist() == [5]


def test_a_missing_slice_says_which_and_how_to_get_it(store):
    with pytest.raises(MissingInputError, match=r"table 'metrics' has no rows of dataset 'shop'.*mmsra refresh"):
        store.read("metrics", "shop")


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden", "x" * 65])
def test_a_name_that_could_leave_its_folder_is_refused(store, name):
    with pytest.raises(ConfigError, match="cannot name a dataset or table"):
        store.replace("t", name, rows(1))


def test_removing_a_dataset_names_the_tables_and_keeps_the_others(store):
    store.replace("t", "one", rows(1))
    store.replace("u", "one", rows(1))
    store.replace("t", "two", rows(2))
    assert store.remove("one") == ["t", "u"]
    assert catalog(store).execute("select a from t").fetchall() == [(2,)]


WRITER = """
import sys, pathlib, itertools, pandas as pd
from mmsra_pipeline.storage.tables import Store
store = Store(pathlib.Path(sys.argv[1]))
for value in itertools.count():
    store.replace("t", "shop", pd.DataFrame({"a": [value] * 1000}))
    print(value, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_instant_leaves_a_whole_slice(tmp_path):
    store = Store(tmp_path)
    for pause in (0.0, 0.01, 0.02, 0.03, 0.05):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(pause)
            os.kill(writer.pid, signal.SIGKILL)
        values = store.read("t", "shop")["a"]
        assert len(values) == 1000
        assert values.nunique() == 1
        assert catalog(store).execute("select count(*) from t").fetchone() == (1000,)


def test_the_catalog_is_rebuilt_by_one_writer_at_a_time(store):
    """Else a writer that looked earlier could put its older catalog over a newer one."""
    store.replace("t", "one", rows(1))
    with locked(store.root / ".catalog.lock", "the catalog"):
        writer = threading.Thread(target=store.replace, args=("t", "two", rows(2)))
        writer.start()
        writer.join(timeout=0.3)
        assert writer.is_alive()
    writer.join(timeout=10)
    assert not writer.is_alive()
    assert catalog(store).execute("select count(*) from t").fetchone() == (2,)


def staged(store, *values):
    with store.staging("t", "shop", pa.schema({"a": "int64"})) as writing:
        writing.write(rows(*values))
    return writing.slice


def test_staged_rows_are_seen_once_they_are_published(store):
    store.replace("t", "shop", rows(1))
    new = staged(store, 2)
    assert store.read("t", "shop")["a"].tolist() == [1]
    assert new.read()["a"].tolist() == [2]
    assert catalog(store).execute("select a from t").fetchall() == [(1,)]
    store.publish([new])
    assert store.read("t", "shop")["a"].tolist() == [2]
    assert catalog(store).execute("select a from t").fetchall() == [(2,)]


def test_nothing_is_published_where_one_slice_is_gone(store):
    store.replace("t", "shop", rows(1))
    new, other = staged(store, 2), staged(store, 3)
    other.path.unlink()
    with pytest.raises(MissingInputError, match="gone before its rows were published"):
        store.publish([new, other])
    assert store.read("t", "shop")["a"].tolist() == [1]


def test_a_writer_killed_after_staging_leaves_the_old_rows(store):
    store.replace("t", "shop", rows(1))
    code = (
        "import os, signal, sys, pandas as pd, pyarrow as pa\n"
        "from pathlib import Path\n"
        "from mmsra_pipeline.storage.tables import Store\n"
        "Store.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Store(Path(sys.argv[1])).replace('t', 'shop', pd.DataFrame({'a': [2]}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.root)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((store.root / "t" / "shop").glob("*.parquet"))) == 2
    assert store.read("t", "shop")["a"].tolist() == [1]


def test_a_dataset_is_removed_with_what_was_only_staged(store):
    staged(store, 1)
    assert store.remove("shop") == ["t"]
    assert not (store.root / "t" / "shop").exists()
