import pandas as pd
import pytest

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.storage import adoption
from mmsra_pipeline.storage.adoption import adopt_artifact, adopt_slice
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.tables import Store

ROWS = pd.DataFrame({"item_id": ["a", "b"]})


@pytest.fixture
def published(tmp_path):
    """The paths, and a slice and an artifact of the data set 'shop'."""
    paths = Paths(tmp_path)
    artifacts = Artifacts.of(paths)
    with artifacts.publish("model", "shop") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "weights").write_bytes(b"123")
    return paths, Store.of(paths).replace("items", "shop", ROWS), artifacts.current("model", "shop")


def test_a_slice_is_the_same_file_and_is_seen_once_it_is_published(published):
    paths, one, _ = published
    store = Store.of(paths)
    other = adopt_slice(paths, one, "variant")
    assert other.path.samefile(one.path)
    assert not store.has("items", "variant")
    store.publish([other])
    assert store.current("items", "variant") == other
    store.remove("shop")
    pd.testing.assert_frame_equal(store.read("items", "variant"), ROWS)
    assert adopt_slice(paths, other, "variant") == other  # has it already


def test_an_artifact_has_the_same_version_and_neither_needs_the_other(published):
    paths, _, one = published
    other = adopt_artifact(paths, one, "variant")
    assert (other.name, other.parent.name) == (one.name, "variant")
    assert (other / "inner" / "weights").samefile(one / "inner" / "weights")
    artifacts = Artifacts.of(paths)
    assert not artifacts.has("model", "variant")
    artifacts.point(other)
    (one / "inner" / "weights").unlink()
    assert (artifacts.current("model", "variant") / "inner" / "weights").read_bytes() == b"123"


def test_without_hard_links_files_are_copied(published, monkeypatch):
    paths, one, folder = published

    def refuse(*_):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(adoption.os, "link", refuse)
    other = adopt_slice(paths, one, "variant")
    assert not other.path.samefile(one.path)
    assert other.path.read_bytes() == one.path.read_bytes()
    assert adopt_artifact(paths, folder, "variant").name == folder.name


def test_what_is_gone_or_damaged_is_not_adopted_and_nothing_is_left(published):
    paths, one, folder = published
    (folder / "inner" / "weights").write_bytes(b"12")
    with pytest.raises(MissingInputError, match="does not hold what it is named after"):
        adopt_artifact(paths, folder, "variant")
    one.path.unlink()
    with pytest.raises(MissingInputError, match="is gone"):
        adopt_slice(paths, one, "variant")
    assert list((paths.data / "items" / "variant").iterdir()) == []
    with pytest.raises(MissingInputError, match="is gone"):
        adopt_artifact(paths, folder.with_name("none"), "variant")
