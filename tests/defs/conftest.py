import pytest
from defs.small_graph import add_shop, small_graph

from mmsra_pipeline.defs.instance import open_instance
from mmsra_pipeline.paths import find_paths


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "root" / "dagster_home"))
    return find_paths()


@pytest.fixture
def instance(paths):
    with open_instance(paths) as opened:
        yield opened


@pytest.fixture
def shop(paths):
    """The file with the interactions of a described data set."""
    return add_shop(paths, "shop")


@pytest.fixture
def definitions():
    return small_graph()
