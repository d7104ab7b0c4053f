import threading
import time

import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config import Config
from mmsra_pipeline.defs import resources
from mmsra_pipeline.defs.resources import MLFLOW_TAG, Stage, full_settings
from mmsra_pipeline.errors import NoSpaceError
from mmsra_pipeline.locks import locked
from mmsra_pipeline.paths import Paths


@pytest.fixture
def stage(tmp_path):
    return Stage(Tables.RECOMMENDER, "shop", "a" * 36, "1-abc", Config(), Paths(tmp_path))


def test_a_training_does_not_begin_with_too_little_free_space(stage, monkeypatch):
    least = Config.model_validate({"retention": {"min_free_gb": 1e9}})
    monkeypatch.setattr(resources, "loaded_config", lambda: least)
    with pytest.raises(NoSpaceError, match="training recommender needs"), stage.training():
        pass
    assert not stage.paths.artifacts.exists()


def test_what_is_stored_with_a_run_names_no_webhook():
    assert not {"automation", "retention"} & set(full_settings())
    assert "seed" in full_settings()


@pytest.mark.slow
def test_a_training_waits_for_the_device_and_tags_its_run(stage, caplog):
    caplog.set_level("INFO", logger="mmsra_pipeline")
    tags: dict[str, str] = {}
    stage.tag_run = tags.update
    trained = []

    def train():
        with stage.training() as (workdir, tracker):
            trained.append((workdir, tracker.parent_id))

    with locked(stage.paths.artifacts / "work" / ".device.lock", "the device"):
        training = threading.Thread(target=train)
        training.start()
        patience = time.monotonic() + 20
        while "done with the device" not in caplog.text and time.monotonic() < patience:
            time.sleep(0.05)
        assert "waiting for another process to be done with the device" in caplog.text
        assert trained == []
    training.join()
    [(workdir, parent)] = trained
    assert workdir.is_dir()
    assert tags == {MLFLOW_TAG: parent}
