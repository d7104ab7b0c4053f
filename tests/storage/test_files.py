import os
import subprocess

import pytest

from mmsra_pipeline.storage.files import remove, sweep, temporary, temporary_folder, write_atomically


@pytest.fixture
def dead_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_atomically_leaves_nothing_else(tmp_path):
    write_atomically(tmp_path / "a", b"1")
    write_atomically(tmp_path / "a", b"2")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"2"


def test_temporary_places_are_swept_once_their_process_is_dead(tmp_path, dead_pid):
    own, other = temporary(tmp_path), tmp_path / f".{os.getppid()}-1.tmp"
    folder, file = tmp_path / f".{dead_pid}-a.tmp", tmp_path / f".{dead_pid}-b.tmp"
    folder.mkdir()
    (folder / "weights").write_text("half")
    for path in (own, other, file, tmp_path / "kept.tmp", tmp_path / ".hidden-1"):
        path.write_text("x")
    assert sorted(sweep(tmp_path)) == [folder, file]
    assert names(tmp_path) == sorted([own.name, other.name, "kept.tmp", ".hidden-1"])


def test_what_an_earlier_process_of_the_same_number_left_is_swept(tmp_path):
    (tmp_path / f".{os.getpid()}-earlier-1.tmp").write_text("half")
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_a_temporary_folder_is_gone_afterwards_unless_it_was_renamed(tmp_path):
    with temporary_folder(tmp_path / "new") as beside:
        (beside / "file").write_text("x")
    assert names(tmp_path / "new") == []
    with temporary_folder(tmp_path / "new") as beside:
        beside.rename(tmp_path / "new" / "kept")
    assert names(tmp_path / "new") == ["kept"]


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    remove(tmp_path / "not there")
    assert names(tmp_path) == ["folder"]
