"""The object store behind a root, against a real server on this machine."""

import threading
import time

import pytest
from obstore.exceptions import GenericError

from mmsra_pipeline.errors import StorageError
from mmsra_pipeline.storage import object_store


def file(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_changes_is_read_from_the_store_each_time(machine):
    one, two = machine("one"), machine("two")
    one.remote.write(one.data / "current", b"first")
    assert two.remote.read(two.data / "current") == b"first"
    one.remote.write(one.data / "current", b"second")
    assert two.remote.read(two.data / "current") == b"second"
    assert (two.data / "current").read_bytes() == b"second"


def test_what_the_store_lost_is_gone_here_too(machine):
    one, two = machine("one"), machine("two")
    one.remote.write(one.data / "current", b"first")
    two.remote.read(two.data / "current")
    one.remote.delete(one.data / "current")
    assert two.remote.read(two.data / "current") is None
    assert not (two.data / "current").exists()


def test_a_folder_comes_as_a_whole_with_empty_and_nested_files(machine):
    one, two = machine("one"), machine("two")
    for name in ("a", "deep/er/b", "empty"):
        file(one.artifacts / "kind" / "v1" / name, "" if name == "empty" else name)
    one.remote.push(one.artifacts / "kind" / "v1")
    folder = two.artifacts / "kind" / "v1"
    assert two.remote.fetch(folder)
    assert names(folder) == ["a", "deep/er/b", "empty"]
    assert (folder / "deep" / "er" / "b").read_text() == "deep/er/b"
    assert [path.name for path in folder.parent.iterdir()] == ["v1"]


def test_what_is_here_is_not_asked_for_again(machine, monkeypatch):
    one = machine("one")
    here = file(one.data / "rows")
    monkeypatch.setattr(one.remote, "_system", None)
    assert one.remote.fetch(here)


def test_what_nobody_has_is_not_there(machine):
    one = machine("one")
    assert not one.remote.fetch(one.data / "none")
    assert one.remote.read(one.data / "none") is None
    assert one.remote.listing(one.data) == []
    one.remote.delete(one.data / "none")
    assert names(one.data) == []


def test_a_folder_that_loses_an_object_meanwhile_does_not_come_in_part(machine, monkeypatch):
    one, two = machine("one"), machine("two")
    for name in "abc":
        file(one.artifacts / "v1" / name)
    one.remote.push(one.artifacts / "v1")
    before = two.remote.listing(two.artifacts / "v1")
    one.remote.delete(one.artifacts / "v1" / "b")
    monkeypatch.setattr(two.remote, "listing", lambda folder: before)
    assert not two.remote.fetch(two.artifacts / "v1")
    assert names(two.artifacts) == []


def test_a_listing_says_place_size_and_age(machine):
    one = machine("one")
    one.remote.push(file(one.data / "t" / "shop" / "v1", "1234"))
    one.remote.push(file(one.data / "table" / "v2", "1"))
    [entry, _] = one.remote.listing(one.data)
    assert (entry.path, entry.bytes) == (one.data / "t" / "shop" / "v1", 4)
    assert abs(entry.changed - time.time()) < 60
    assert [entry.path.name for entry in one.remote.listing(one.data / "t")] == ["v1"]
    assert [entry.path.name for entry in one.remote.find(one.data, "*/v*")] == ["v2"]


def test_deleting_a_folder_takes_all_below_it_and_nothing_beside_it(machine):
    one = machine("one")
    for name in ("shop/a", "shop/b/c", "shop2/a"):
        one.remote.push(file(one.data / name))
    one.remote.delete(one.data / "shop")
    assert [entry.path for entry in one.remote.listing(one.data)] == [one.data / "shop2" / "a"]
    assert names(one.data) == ["shop/a", "shop/b/c", "shop2/a"]


def test_a_large_file_comes_back_as_it_went(machine):
    one, two = machine("one"), machine("two")
    content = bytes(range(256)) * 50_000  # more than one part of a multipart upload
    one.data.mkdir(parents=True)
    (one.data / "rows").write_bytes(content)
    one.remote.push(one.data / "rows")
    assert two.remote.fetch(two.data / "rows")
    assert (two.data / "rows").read_bytes() == content


def test_two_that_bring_the_same_folder_at_once_both_have_it(machine):
    one, two = machine("one"), machine("two")
    for number in range(10):
        file(one.artifacts / "v1" / str(number))
    one.remote.push(one.artifacts / "v1")
    found = []
    threads = [threading.Thread(target=lambda: found.append(two.remote.fetch(two.artifacts / "v1"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert names(two.artifacts) == [f"v1/{number}" for number in range(10)]


def test_an_upload_that_fails_names_the_object_and_not_the_keys(machine, monkeypatch):
    one = machine("one")

    def fail(*_arguments, **_named):
        raise GenericError("403 Forbidden\n\nDebug source:\n" + "line\n" * 50)

    monkeypatch.setattr(object_store.obstore, "put", fail)
    with pytest.raises(StorageError, match=r"writing s3://b\w+/some/prefix/data/rows failed: 403 Forbidden\. If "):
        one.remote.push(file(one.data / "rows"))
