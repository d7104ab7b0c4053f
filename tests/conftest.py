import os

import pytest

from mmsra_pipeline.artifacts import Artifacts
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
