import errno
import resource
import sqlite3
from contextlib import contextmanager

import pytest

from mmsra_pipeline.errors import NoSpaceError
from mmsra_pipeline.storage.disk import check_free, explained_errors


def test_too_little_space_is_said_with_what_is_there_and_how_to_get_more(tmp_path):
    folder = tmp_path / "not" / "yet" / "there"
    with pytest.raises(NoSpaceError, match=r"a refresh needs 1e\+09 GB of free space and .* has \d+\.\d GB. .*gc"):
        check_free(folder, 1e9, "a refresh")
    assert not folder.exists()


def test_enough_space_is_no_matter(tmp_path):
    check_free(tmp_path, 0, "a refresh")


@contextmanager
def no_file_above(size):
    """Have the system refuse to write beyond ``size`` bytes, as a quota does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_half_way_is_reported_as_such_with_how_to_go_on(tmp_path):
    wanted = r"the disk or quota of .* is full \(.*File too large\), so a refresh could not go on. .*mmsra gc"
    with pytest.raises(NoSpaceError, match=wanted), explained_errors(tmp_path, "a refresh"), no_file_above(10):
        (tmp_path / "file").write_bytes(bytes(11))


def test_it_is_reported_too_where_a_library_hides_it_behind_an_error_of_its_own(tmp_path):
    failed = RuntimeError("the library failed")
    failed.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(NoSpaceError, match="the disk or quota"), explained_errors(tmp_path, "a refresh"):
        raise failed


def test_a_database_that_cannot_grow_is_a_full_disk(tmp_path):
    with sqlite3.connect(tmp_path / "runs.db") as database:
        database.execute("create table runs (name)")
        database.commit()
        database.execute("insert into runs values (?)", ["run" * 10_000])
        with (
            pytest.raises(NoSpaceError, match="the disk"),
            explained_errors(tmp_path, "a refresh"),
            no_file_above(8192),
        ):
            database.commit()


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="no such table"), explained_errors(tmp_path, "a refresh"):
        sqlite3.connect(":memory:").execute("select * from runs")
    with pytest.raises(FileNotFoundError), explained_errors(tmp_path, "a refresh"):
        (tmp_path / "not there").read_text()
