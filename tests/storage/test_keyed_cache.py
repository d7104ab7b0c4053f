import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmsra_pipeline.storage import cache_file, keyed_cache
from mmsra_pipeline.storage.keyed_cache import DAY_SECONDS, KeyedCache
from mmsra_pipeline.storage.locks import locked

NO_BOUND = 1e9


@pytest.fixture
def path(tmp_path):
    return tmp_path / "caches" / "some.sqlite"


@pytest.fixture
def pass_days(monkeypatch):
    """Let days pass."""

    def passing(days):
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + days * DAY_SECONDS)

    return passing


def test_what_was_put_is_found_when_the_cache_is_opened_again(path):
    with KeyedCache[str](path) as cache:
        cache.put({"a": "röd", "b": ""})
        cache.put({"a": "blå"})
        cache.put({})
    cache = KeyedCache[str](path)
    assert cache.get("a") == "blå"
    assert cache.get("c") is None
    assert cache.find(["b", "c", "a", "b"]) == {"a": "blå", "b": ""}
    assert sorted(cache) == ["a", "b"]


def test_bytes_come_back_as_bytes_and_many_keys_may_be_asked_for(path):
    entries = {str(number): number.to_bytes(2, "big") for number in range(3 * keyed_cache.ASKED_AT_ONCE + 1)}
    KeyedCache[bytes](path).put(entries)
    assert KeyedCache[bytes](path).find(entries) == entries


def test_without_a_file_it_holds_what_this_process_put(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = KeyedCache[str](None)
    cache.put({"a": "x"})
    assert cache.get("a") == "x"
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_asked_for_is_kept_and_the_file_shrinks(path):
    with KeyedCache[str](path) as cache:
        cache.put({str(number): "x" * 10_000 for number in range(100)})
    before = path.stat().st_size
    with KeyedCache[str](path) as cache:
        cache.keep(["3", "not there"])
        assert list(cache) == ["3"]
        assert cache.forget(["3", "4"]) == 1
    assert path.stat().st_size < before / 10


WRITER = """
import itertools, pathlib, sys
from mmsra_pipeline.storage.keyed_cache import KeyedCache
path, name, last = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in itertools.count() if last < 0 else range(last):
    if number % 50 == 0:
        cache = KeyedCache(path)
    cache.put({f"{name}-{number}-{place}": "x" * 1000 for place in range(50)})
    print(number, flush=True)
"""


def writer(path, name, last):
    command = [sys.executable, "-c", WRITER, str(path), name, str(last)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def start(process):
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.slow
def test_processes_that_begin_and_write_at_once_lose_nothing(path):
    names = ("one", "two", "three")
    writers = [writer(path, name, 200) for name in names]
    for process in writers:
        start(process)
    assert [process.communicate() and process.returncode for process in writers] == [0, 0, 0]
    wanted = [f"{name}-{number}-{place}" for name in names for number in range(200) for place in range(50)]
    assert sorted(KeyedCache[str](path)) == sorted(wanted)


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_batches(path):
    for name in ("one", "two", "three"):
        with writer(path, name, -1) as process:
            start(process)
            for _ in range(20):
                said = int(process.stdout.readline())
            time.sleep(0.02)  # or the kill would always come right after a line
            os.kill(process.pid, signal.SIGKILL)
        found = [key.split("-")[1] for key in KeyedCache[str](path) if key.startswith(name)]
        assert {found.count(number) for number in set(found)} == {50}
        assert set(map(str, range(said + 1))) <= set(found)
    assert not path.with_name(path.name + cache_file.DAMAGED).exists()


def test_what_nobody_asked_for_goes_and_what_was_asked_for_stays(path, pass_days):
    cache = KeyedCache[str](path)
    cache.put({"asked": "x", "idle": "xyz"})
    pass_days(20)
    assert cache.get("asked") == "x"
    pass_days(15)
    cache.put({"new": "x"})
    dry = cache.trim(unused_days=30, max_bytes=NO_BOUND, dry_run=True)
    assert len(cache) == 3
    assert cache.trim(unused_days=30, max_bytes=NO_BOUND) == dry == (1, len("idle") + len("xyz"))
    assert sorted(cache) == ["asked", "new"]
    assert cache.trim(unused_days=30, max_bytes=NO_BOUND) == (0, 0)


def test_beyond_a_size_the_oldest_go(path, pass_days):
    cache = KeyedCache[bytes](path)
    for name in ("a", "b", "c", "d"):
        cache.put({name: b"x" * 99})
        pass_days(1)
    assert cache.get("a")
    assert cache.trim(unused_days=30, max_bytes=250) == (2, 200)
    assert sorted(cache) == ["a", "d"]


def test_a_cache_that_keeps_no_stamps_writes_nothing_when_it_is_asked(path, pass_days):
    cache = KeyedCache[str](path, stamps=False)
    cache.put({"a": "x"})
    pass_days(20)
    assert cache.get("a") == "x"
    assert cache.trim(unused_days=10, max_bytes=NO_BOUND, dry_run=True).entries == 1


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 20, b"short"])
def test_a_damaged_file_is_set_aside_and_the_cache_begins_anew(path, caplog, content):
    path.parent.mkdir()
    path.write_bytes(content)
    cache = KeyedCache[str](path)
    assert cache.get("a") is None
    cache.put({"a": "x"})
    assert KeyedCache[str](path).get("a") == "x"
    assert path.with_name("some.sqlite.damaged").read_bytes() == content
    assert f"{path} is damaged: it is some.sqlite.damaged now, and what it held is computed again" in caplog.text


def test_damage_that_shows_only_later_is_dealt_with_then(path, caplog):
    with KeyedCache[str](path) as cache:
        cache.put({f"{number:04d}": "x" * 1000 for number in range(500)})
    whole = path.read_bytes()
    path.write_bytes(whole[: 20 * 4096] + b"\xff" * (len(whole) - 20 * 4096))
    cache = KeyedCache[str](path)
    assert "damaged" not in caplog.text
    cache.find(f"{number:04d}" for number in range(500))
    assert "some.sqlite.damaged" in caplog.text
    cache.put({"a": "x"})
    assert cache.get("a") == "x"
    assert list(KeyedCache[str](path)) == ["a"]


def test_a_file_of_another_version_begins_anew(path):
    with KeyedCache[str](path) as cache:
        cache.put({"a": "x"})
    with sqlite3.connect(path) as connection:
        connection.execute("drop table parts")
        connection.execute("pragma user_version = 99")
    with KeyedCache[str](path) as cache:
        assert len(cache) == 0
        cache.put({"b": "x"})
    assert list(KeyedCache[str](path)) == ["b"]


def test_a_place_that_cannot_be_written_is_done_without(path, caplog):
    path.parent.parent.joinpath("caches").write_text("a file where the folder should be")
    cache = KeyedCache[str](path)
    cache.put({"a": "x"})
    cache.put({"b": "x"})
    assert cache.get("a") == "x"
    assert [record.message for record in caplog.records if "cannot be used" in record.message] == [
        f"{path} cannot be used ([Errno 17] File exists: '{path.parent}'): what is not known is computed, and not kept"
    ]


def test_a_cache_that_may_only_be_read_is_read_and_says_once_that_nothing_is_kept(path, caplog):
    cache = KeyedCache[str](path)
    cache.put({"a": "x"})
    cache._connection.execute("pragma query_only = on")
    cache.put({"b": "x"})
    cache.put({"c": "x"})
    assert cache.find(["a", "b", "c"]) == {"a": "x"}
    assert caplog.text.count("attempt to write a readonly database") == 1


def test_while_another_process_writes_a_writer_waits(path):
    cache = KeyedCache[str](path)
    with contextlib.closing(sqlite3.connect(path)) as other, ThreadPoolExecutor() as pool:
        other.execute("begin immediate")
        other.execute("insert into entries values ('theirs', 'x', 0)")
        put = pool.submit(cache.put, {"ours": "x"})
        with pytest.raises(TimeoutError):
            put.result(timeout=0.3)
        other.commit()
        put.result()
    assert list(cache) == ["theirs", "ours"]


def test_a_file_that_another_process_is_setting_aside_is_waited_for(path):
    with KeyedCache[str](path) as cache:
        cache.put({"a": "x"})
    whole = path.read_bytes()
    path.write_bytes(b"damaged" * 1000)
    with ThreadPoolExecutor() as pool:
        with locked(path.with_name(".some.sqlite.lock"), "the other's work"):
            opened = pool.submit(KeyedCache[str], path)
            with pytest.raises(TimeoutError):
                opened.result(timeout=0.3)
            path.write_bytes(whole)  # that has begun anew
        assert opened.result().get("a") == "x"
    assert not path.with_name(path.name + cache_file.DAMAGED).exists()


def test_a_writer_that_stays_too_long_is_not_waited_for_and_stops_nobody(path, caplog, monkeypatch):
    monkeypatch.setattr(cache_file, "WAIT_SECONDS", 0.05)
    cache = KeyedCache[str](path)
    cache.put({"a": "x"})
    with sqlite3.connect(path) as other:
        other.execute("begin immediate")
        cache.put({"b": "x"})
        assert cache.find(["a", "b"]) == {"a": "x"}
    assert "database is locked" in caplog.text
    cache.put({"b": "x"})
    assert cache.get("b") == "x"


def test_a_mistake_of_the_caller_is_no_damage(path):
    with KeyedCache[str](path) as cache:
        with pytest.raises(sqlite3.IntegrityError):
            cache.put({"a": None})
        cache.put({"b": "x"})
    with pytest.raises(sqlite3.ProgrammingError):
        cache.get("b")
    assert list(KeyedCache[str](path)) == ["b"]
