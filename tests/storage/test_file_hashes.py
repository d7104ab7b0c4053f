import hashlib
import os
import time

import pytest

from mmsra_pipeline.storage.file_hashes import RACY_SECONDS, FileHashes


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "artifacts" / "hashes.sqlite"


@pytest.fixture
def file(tmp_path):
    return written(tmp_path / "shop" / "a.jpg", b"picture")


def written(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def later(monkeypatch):
    """Make now late enough for files that were just written to be remembered."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 2 * RACY_SECONDS)


def asked(memory, *files):
    """The hashes, and how many files were read for them."""
    with FileHashes(memory) as hashes:
        return [hashes.of(file) for file in files], hashes.read


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_file_that_did_not_change_is_read_once(memory, file, later):
    assert asked(memory, file) == ([sha256(b"picture")], 1)
    assert asked(memory, file) == ([sha256(b"picture")], 0)


def test_a_file_that_just_changed_is_read_each_time(memory, file):
    assert asked(memory, file)[1] == 1
    assert asked(memory, file)[1] == 1


def test_another_content_of_the_same_size_and_modification_time_is_seen(memory, file, later):
    before = file.stat()
    asked(memory, file)
    file.write_bytes(b"PICTURE")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asked(memory, file) == ([sha256(b"PICTURE")], 1)


def test_a_file_in_the_place_of_another_is_seen(memory, file, later):
    before = file.stat()
    asked(memory, file)
    other = written(file.with_name("b.jpg"), b"PICTURE")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)
    assert asked(memory, file) == ([sha256(b"PICTURE")], 1)


def test_a_file_that_changes_while_it_is_read_is_not_remembered(memory, file, later, monkeypatch):
    def slowly(path):
        path.write_bytes(b"longer than before")
        return "of the middle"

    with monkeypatch.context() as patch:
        patch.setattr("mmsra_pipeline.storage.file_hashes.file_hash", slowly)
        asked(memory, file)
    assert asked(memory, file) == ([sha256(b"longer than before")], 1)


def test_the_memory_may_be_deleted_at_any_time(memory, file, later):
    with FileHashes(memory) as hashes:
        hashes.of(file)
        memory.unlink()
    assert asked(memory, file)[1] == 1
    assert asked(memory, file)[1] == 0


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be taken for one" * 20, b"short"])
def test_a_damaged_memory_begins_anew(memory, file, later, content):
    memory.parent.mkdir()
    memory.write_bytes(content)
    assert asked(memory, file) == ([sha256(b"picture")], 1)
    assert asked(memory, file)[1] == 0


def test_a_memory_that_cannot_be_written_costs_the_reading_alone(memory, file, later):
    memory.mkdir(parents=True)  # a folder in its place
    assert asked(memory, file) == ([sha256(b"picture")], 1)
    assert asked(memory, file)[1] == 1


def test_what_is_below_a_folder_is_forgotten_and_nothing_else(memory, file, later):
    other = written(file.parent.parent / "shop2" / "a.jpg", b"other")
    asked(memory, file, other)
    with FileHashes(memory) as hashes:
        assert hashes.forget(file.parent) == 1
    assert asked(memory, file, other)[1] == 1


def test_files_that_are_gone_are_forgotten(memory, file, later):
    other = written(file.with_name("b.jpg"), b"other")
    asked(memory, file, other)
    other.unlink()
    with FileHashes(memory) as hashes:
        assert hashes.forget_missing() == 1
    assert asked(memory, file)[1] == 0
