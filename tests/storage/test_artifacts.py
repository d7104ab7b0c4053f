import pytest

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.storage.artifacts import KEPT_VERSIONS


def publish(artifacts, text, then_fail=False):
    with artifacts.publish("adapter", "shop") as folder:
        (folder / "weights").write_text(text)
        if then_fail:
            raise RuntimeError("stopped")


def test_a_published_folder_is_current_and_named_by_its_content(artifacts):
    publish(artifacts, "one")
    first = artifacts.current("adapter", "shop")
    publish(artifacts, "two")
    assert artifacts.current("adapter", "shop") != first
    publish(artifacts, "one")
    assert artifacts.current("adapter", "shop") == first
    assert (first / "weights").read_text() == "one"


def test_a_block_that_fails_publishes_nothing_and_leaves_no_trace(artifacts):
    publish(artifacts, "one")
    kept = artifacts.current("adapter", "shop")
    with pytest.raises(RuntimeError, match="stopped"):
        publish(artifacts, "half", then_fail=True)
    assert artifacts.current("adapter", "shop") == kept
    assert sorted(path.name for path in kept.parent.iterdir()) == sorted(["current", kept.name])


def test_old_versions_are_dropped_but_for_a_few(artifacts):
    for text in "abcd":
        publish(artifacts, text)
    home = artifacts.current("adapter", "shop").parent
    assert len([path for path in home.iterdir() if path.is_dir()]) == KEPT_VERSIONS


def test_what_was_never_published_is_named(artifacts):
    with pytest.raises(MissingInputError, match="artifact 'adapter' of 'shop' is not in"):
        artifacts.current("adapter", "shop")


def test_work_on_other_inputs_is_dropped_and_on_the_same_kept(artifacts):
    (artifacts.workdir("adapter", "shop", "aaa") / "checkpoint").write_text("x")
    assert (artifacts.workdir("adapter", "shop", "aaa") / "checkpoint").exists()
    other = artifacts.workdir("adapter", "shop", "bbb")
    assert [path.name for path in other.parent.iterdir()] == ["bbb"]


def test_the_same_bytes_are_stored_once(artifacts):
    first = artifacts.put_blob("images", b"picture", ".jpg")
    assert artifacts.put_blob("images", b"picture", ".jpg") == first
    assert artifacts.blob_path("images", first, ".jpg").read_bytes() == b"picture"
