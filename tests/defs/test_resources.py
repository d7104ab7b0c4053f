import threading
import time

import dagster as dg
import pytest
from tiny import tiny_fastvlm

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.errors import NoSpaceError
from mmsra_pipeline.orchestration import stage as stages
from mmsra_pipeline.orchestration.materializations import latest_with_event
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.settings_read import dataset_config, full_settings
from mmsra_pipeline.orchestration.settings_sources import version_of, with_settings
from mmsra_pipeline.orchestration.stage import MLFLOW_TAG, Stage
from mmsra_pipeline.storage.locks import is_locked, locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock, device_lock


@pytest.fixture
def stage(tmp_path):
    return Stage(Tables.RECOMMENDER, "shop", "a" * 36, "1-abc", Config(), Paths(tmp_path))


def test_a_training_does_not_begin_with_too_little_free_space(stage, monkeypatch):
    least = Config.model_validate({"retention": {"min_free_gb": 1e9}})
    monkeypatch.setattr(stages, "loaded_config", lambda: least)
    with pytest.raises(NoSpaceError, match="training recommender needs"), stage.training("cpu"):
        pass
    assert not stage.paths.artifacts.exists()


def test_what_is_stored_with_a_run_names_no_webhook():
    assert not {"automation", "retention", "limits"} & set(full_settings(Config()))
    assert "seed" in full_settings(Config())


def test_the_device_is_taken_when_weights_are_read_and_kept_until_the_stage_ends(stage, tmp_path, monkeypatch):
    model = {"model": str(tiny_fastvlm(tmp_path / "tiny")), "image_side": 32, "device": "cpu"}
    stage.config = Config.model_validate({"backbone": model})
    lock = device_lock(stage.paths, "cpu")
    backbone = stage.backbone()
    assert backbone.fingerprint
    assert not is_locked(lock)
    assert backbone.model is not None
    assert is_locked(lock)
    stage.take_device("cpu")  # has it already
    stage.held.close()
    assert not is_locked(lock)


@pytest.mark.usefixtures("shop")
def test_a_run_keeps_the_turn_of_its_dataset_and_a_device_for_the_stage_that_took_it(paths):
    locks = dataset_lock(paths, "shop"), device_lock(paths, "cpu")
    seen = {}

    def part(name, *, fails=False):
        @dg.asset(name=name, partitions_def=datasets, code_version="1")
        def asset(context: dg.AssetExecutionContext, mmsra: Installation) -> None:
            stage = mmsra.stage(context)
            begun = [is_locked(lock) for lock in locks]
            if name != "interactions":
                stage.take_device("cpu")
            seen[name] = begun, [is_locked(lock) for lock in locks]
            if fails:
                raise RuntimeError("after it took the device")

        return asset

    parts = [part("raw_reviews"), part("interactions"), part("sequences", fails=True)]
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("dataset", ["shop"])
        resources = {"mmsra": Installation()}
        dg.materialize(parts, instance=instance, partition_key="shop", resources=resources, raise_on_error=False)
    assert seen == {
        "raw_reviews": ([True, False], [True, True]),
        "interactions": ([True, False], [True, False]),
        "sequences": ([True, False], [True, True]),
    }
    assert [is_locked(lock) for lock in locks] == [False, False]


@pytest.mark.usefixtures("shop")
def test_a_run_tells_dagster_the_settings_that_it_is_made_with_before_its_first_step(paths, monkeypatch):
    monkeypatch.delenv("MMSRA_CONFIG", raising=False)

    @dg.asset(partitions_def=datasets, code_version="1")
    def user_encoder(context: dg.AssetExecutionContext, mmsra: Installation) -> None:
        assert mmsra.stage(context).config.seed == 5

    (paths.root / "mmsra.yaml").write_text("seed: 5\n")
    key = dg.AssetKey(["settings", "seed"])
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("dataset", ["shop"])
        resources = {"mmsra": Installation()}
        dg.materialize([*with_settings([user_encoder])], instance=instance, partition_key="shop", resources=resources)
        _, event = latest_with_event(instance, "user_encoder", "shop")
    assert event.tags["dagster/input_data_version/settings/seed"] == version_of(key, dataset_config(paths, "shop"))


@pytest.mark.slow
def test_a_training_waits_for_the_device_and_tags_its_run(stage, caplog):
    caplog.set_level("INFO", logger="mmsra_pipeline")
    tags: dict[str, str] = {}
    stage.tag_run = tags.update
    trained = []

    def train():
        with stage.training("cpu") as (workdir, tracker):
            trained.append((workdir, tracker.parent_id))

    with locked(device_lock(stage.paths, "cpu"), "it"):
        training = threading.Thread(target=train)
        training.start()
        patience = time.monotonic() + 20
        while "done with the device cpu" not in caplog.text and time.monotonic() < patience:
            time.sleep(0.05)
        assert "waiting for another process to be done with the device cpu" in caplog.text
        assert trained == []
    training.join()
    [(workdir, parent)] = trained
    assert workdir.is_dir()
    assert tags == {MLFLOW_TAG: parent}
