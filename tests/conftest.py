import os
import secrets

import pytest
from s3_server import KEYS, make_bucket, s3_server

from mmsra_pipeline.artifacts import Artifacts
from mmsra_pipeline.paths import find_paths
from mmsra_pipeline.store import Store

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # before any test imports torch
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


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
