"""The catalog where its root was moved, and where other programs have it open."""

import logging
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from mmsra_pipeline.cli.reading import ask_sql
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.storage import catalog as catalogs
from mmsra_pipeline.storage.tables import Store

ASK = """
import duckdb, sys
print(duckdb.connect(sys.argv[1], read_only=True).sql('select dataset, a from t').fetchall())
"""
KEEP_OPEN = """
import duckdb, sys
catalog = duckdb.connect(sys.argv[1])
catalog.sql('create table own as select 7')
print(flush=True)
input()
"""


def put(store, value):
    store.replace("t", "shop", pd.DataFrame({"a": [value]}))


def asked(place, folder):
    """What a program that starts in that folder reads of the catalog."""
    return subprocess.check_output([sys.executable, "-c", ASK, str(place)], cwd=folder, text=True).strip()


@pytest.fixture
def opened():
    """Opens a catalog to write in another process, which writes into it and lives until it is killed."""
    living = []

    def open_in_another(place):
        command = [sys.executable, "-c", KEEP_OPEN, str(place)]
        living.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert living[-1].stdout.readline() == b"\n"
        return living[-1]

    yield open_in_another
    for process in living:
        process.kill()
        process.communicate()


def test_a_moved_root_is_asked_from_within_from_elsewhere_and_by_its_name(tmp_path):
    put(Store(tmp_path / "old" / "data"), 1)
    (tmp_path / "old").rename(tmp_path / "it's [new]")
    new = tmp_path / "it's [new]"
    assert asked("data/catalog.duckdb", new) == "[('shop', 1)]"
    assert asked("catalog.duckdb", new / "data") == "[('shop', 1)]"
    assert asked(new / "data" / "catalog.duckdb", "/") == "[('shop', 1)]"


def test_a_copied_root_reads_its_own_rows(tmp_path):
    put(Store(tmp_path / "one" / "data"), 1)
    subprocess.run(["cp", "-r", str(tmp_path / "one"), str(tmp_path / "two")], check=True)
    [copied] = (tmp_path / "two" / "data" / "t" / "shop").glob("*.parquet")
    pd.DataFrame({"a": [2]}).to_parquet(copied)
    assert asked(tmp_path / "two" / "data" / "catalog.duckdb", tmp_path) == "[('shop', 2)]"


def test_an_attached_catalog_is_read_where_it_was_made(store):
    put(store, 1)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{store.root / 'catalog.duckdb'}' as shops (read_only)")
        assert connection.execute("select a from shops.t").fetchall() == [(1,)]


def test_a_program_that_writes_into_the_catalog_neither_stops_a_writer_nor_breaks_the_new_one(store, opened):
    put(store, 1)
    other = opened(store.root / "catalog.duckdb")
    assert (store.root / "catalog.duckdb.wal").is_file()
    put(store, 2)
    assert asked(store.root / "catalog.duckdb", "/") == "[('shop', 2)]"
    other.kill()
    other.wait()
    assert asked(store.root / "catalog.duckdb", "/") == "[('shop', 2)]"


def test_sql_is_answered_while_another_program_has_the_catalog_to_write(paths, opened):
    put(Store.of(paths), 1)
    opened(paths.data / "catalog.duckdb")
    with pytest.raises(duckdb.IOException, match="lock"):
        duckdb.connect(str(paths.data / "catalog.duckdb"), read_only=True)
    assert ask_sql(paths, "select a from t") == (["a"], [["1"]])


def test_a_catalog_that_cannot_be_replaced_costs_a_warning_and_no_table(store, monkeypatch, caplog):
    put(store, 1)
    replace = Path.replace

    def held(path, target):
        if Path(target).name == catalogs.CATALOG:
            raise PermissionError(13, "the file is used by another process", str(target))
        return replace(path, target)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(Path, "replace", held)
        put(store, 2)
    assert store.read("t", "shop")["a"].tolist() == [2]
    [said] = caplog.messages
    assert f"{store.root / 'catalog.duckdb'} was not renewed" in said
    assert "used by another process" in said
    assert asked(store.root / "catalog.duckdb", "/") == "[('shop', 1)]"
    assert not list(store.root.glob(".*.tmp*"))
    put(store, 3)
    assert asked(store.root / "catalog.duckdb", "/") == "[('shop', 3)]"


def test_a_full_disk_is_no_warning(store, monkeypatch):
    put(store, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(catalogs, "_build", full)
    with pytest.raises(OSError, match="No space"):
        put(store, 2)


def test_a_catalog_that_is_none_says_so(paths):
    put(Store.of(paths), 1)
    place = paths.data / "catalog.duckdb"
    place.unlink()
    place.write_bytes(b"no database" * 1000)
    assert ask_sql(paths, "select a from t") == (["a"], [["1"]])
    with pytest.raises(DataError, match="DuckDB refuses the query"):
        ask_sql(paths, "select b from t")
