import os
import secrets
from multiprocessing import forkserver

import pytest
from s3_server import KEYS, make_bucket, s3_server

from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.tables import Store

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before any test imports torch
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


LONGEST = ("endurance/test_endurance.py", "defs/test_end_to_end.py", "defs/test_table6.py", "defs/test_reuse.py")
"""Files of minutes. They begin first, so that no process is left with one of them when the others have nothing."""


def pytest_collection_modifyitems(items):
    """Put the longest files first, all others in their order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get("/".join(item.path.parts[-2:]), len(LONGEST)))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "data")


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture(scope="session")
def s3_url():
    """The URL of an S3-compatible server on this machine."""
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3_url, monkeypatch):
    """The name of an empty bucket, with the environment set so that it can be reached."""
    name = f"b{secrets.token_hex(6)}"
    make_bucket(s3_url, name)
    for variable, value in (KEYS | {"AWS_ENDPOINT_URL": s3_url}).items():
        monkeypatch.setenv(variable, value)
    return name


@pytest.fixture
def machine(bucket, tmp_path, monkeypatch):
    """Gives the paths of a machine of that name, all of one root in the bucket."""

    def paths_of(name):
        monkeypatch.setenv("MMSRA_ROOT", f"s3://{bucket}/some/prefix")
        monkeypatch.setenv("MMSRA_SCRATCH", str(tmp_path / name))
        return find_paths()

    return paths_of


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """An empty installation."""
    from mmsra_pipeline.storage.paths import find_paths

    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "root" / "dagster_home"))
    return find_paths()


@pytest.fixture
def instance(paths):
    from mmsra_pipeline.orchestration.instance import open_instance

    with open_instance(paths) as opened:
        yield opened


@pytest.fixture
def shop(paths):
    """The file with the interactions of a described data set."""
    from orchestration.small_graph import add_shop

    return add_shop(paths, "shop")


@pytest.fixture
def definitions():
    from orchestration.small_graph import small_graph

    return small_graph()


@pytest.fixture(autouse=True, scope="module")
def _a_fork_server_of_its_own():
    """End the server that steps are forked from with the module: it keeps the environment in which it was started."""
    yield
    forkserver._forkserver._stop()
