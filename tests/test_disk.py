import pytest

from mmsra_pipeline.disk import check_free
from mmsra_pipeline.errors import NoSpaceError


def test_too_little_space_is_said_with_what_is_there_and_how_to_get_more(tmp_path):
    folder = tmp_path / "not" / "yet" / "there"
    with pytest.raises(NoSpaceError, match=r"a refresh needs 1e\+09 GB of free space and .* has \d+\.\d GB. .*gc"):
        check_free(folder, 1e9, "a refresh")
    assert not folder.exists()


def test_enough_space_is_no_matter(tmp_path):
    check_free(tmp_path, 0, "a refresh")
