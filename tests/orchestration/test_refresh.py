"""Refreshing through a real instance and store, with two small assets in place of the real ones."""

import contextlib
import logging
import resource
import subprocess
import threading
import time

import dagster as dg
import pandas as pd
import pytest
from orchestration.small_graph import BOTH, add_shop, small_graph, written

from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import ConfigError, NoSpaceError
from mmsra_pipeline.orchestration import refresh as refreshing
from mmsra_pipeline.orchestration.abandoned_runs import REFRESH_TAG
from mmsra_pipeline.orchestration.instance import INSTANCE_YAML, RefreshBusyError, only_refresh, open_instance
from mmsra_pipeline.orchestration.job_names import MODELS
from mmsra_pipeline.orchestration.outcome import MaterializedAsset
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh import again, refresh
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.run_locks import dataset_lock
from mmsra_pipeline.storage.tables import Store


def test_the_first_refresh_makes_all_in_one_run_and_the_second_nothing(instance, paths, shop, definitions):
    first = refresh(instance, paths, definitions=definitions)
    assert first.materialized == BOTH
    assert first.failures == []
    [run] = instance.get_runs()
    assert run.job_name == "everything"
    assert run.tags["dagster/partition"] == "shop"
    second = refresh(instance, paths, definitions=definitions)
    assert (second.stale, second.materialized, second.failures) == ([], [], [])


def test_one_asset_is_computed_again_though_nothing_changed(instance, paths, shop, definitions):
    refresh(instance, paths, definitions=definitions)
    done = again(instance, paths, "shop", "interactions", definitions)
    assert (done.materialized, done.failures) == ([MaterializedAsset("interactions", "shop")], [])
    shop.unlink()
    failed = again(instance, paths, "shop", "raw_reviews", definitions)
    assert (failed.materialized, [one.asset for one in failed.failures]) == ([], ["raw_reviews"])


def test_a_dry_run_says_what_is_stale_and_computes_nothing(instance, paths, shop, definitions):
    outcome = refresh(instance, paths, definitions=definitions, dry_run=True)
    assert [entry.asset for entry in outcome.stale] == ["raw_reviews", "interactions"]
    assert outcome.materialized == []
    assert not Store(paths.data).has("raw_reviews", "shop")
    assert instance.get_runs() == []


def test_an_output_that_comes_out_unchanged_ends_the_chain(instance, paths, shop, definitions):
    refresh(instance, paths, definitions=definitions)
    shop.write_text("user_id,item_id\nu2,i2\n")
    outcome = refresh(instance, paths, definitions=definitions)
    assert [(entry.asset, entry.reasons) for entry in outcome.stale] == [
        ("raw_reviews", ("source_files has changed",)),
        ("interactions", ("may change with raw_reviews",)),
    ]
    assert outcome.materialized == BOTH[:1]


def test_an_output_that_changed_is_followed_in_a_second_run(instance, paths, shop, definitions):
    refresh(instance, paths, definitions=definitions)
    shop.write_text("user_id,item_id\nu1,i1\nu2,i2\n")
    assert refresh(instance, paths, definitions=definitions).materialized == BOTH
    assert len(instance.get_runs()) == 3


def test_a_dataset_that_another_run_is_at_comes_last_and_is_waited_for(instance, paths, shop, definitions, caplog):
    caplog.set_level("INFO", logger="mmsra_pipeline")
    add_shop(paths, "tea")
    turn = contextlib.ExitStack()
    turn.enter_context(locked(dataset_lock(paths, "shop"), "it"))
    patience = threading.Timer(30, turn.close)

    class End(logging.Handler):
        def emit(self, record):
            if "done with the data set shop" in record.getMessage():
                turn.close()

    patience.start()
    logging.getLogger("mmsra_pipeline").addHandler(end := End())
    outcome = refresh(instance, paths, definitions=definitions)
    logging.getLogger("mmsra_pipeline").removeHandler(end)
    patience.cancel()
    assert "waiting for another process to be done with the data set shop" in caplog.text
    assert [entry.partition for entry in outcome.materialized] == ["tea", "tea", "shop", "shop"]


def test_a_refresh_that_finds_the_disk_full_says_so_and_the_next_one_does_what_is_left(
    instance, paths, shop, definitions
):
    refresh(instance, paths, definitions=definitions)
    shop.write_text("user_id,item_id\nu1,i1\nu2,i2\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))  # Dagster's databases are larger
    try:
        with pytest.raises(NoSpaceError, match=r"the disk or quota of .* is full"):
            refresh(instance, paths, definitions=definitions)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refresh(instance, paths, definitions=definitions).materialized == BOTH
    assert [run for run in instance.get_runs() if not run.is_finished] == []


def test_a_table_that_was_deleted_is_made_again_and_stops_there(instance, paths, shop, definitions):
    refresh(instance, paths, definitions=definitions)
    (paths.data / "raw_reviews" / "shop" / "current").unlink()
    assert refresh(instance, paths, definitions=definitions).materialized == BOTH[:1]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_deleted_is_made_again(instance, paths, shop, name):
    @dg.asset(name=name, deps=["interactions"], partitions_def=datasets, code_version="1")
    def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with Artifacts(paths.artifacts).publish(name, context.partition_key) as folder:
            (folder / "model.json").write_text("{}")
        return written(name, context.partition_key, pd.DataFrame({"value": [1.0]}))

    definitions = small_graph(model)
    refresh(instance, paths, definitions=definitions)
    (paths.artifacts / name / "shop" / "current").unlink()
    assert refresh(instance, paths, definitions=definitions).materialized == [MaterializedAsset(name, "shop")]


def test_a_dataset_that_fails_says_why_and_the_others_go_on(instance, paths, definitions):
    add_shop(paths, "a_broken_one", "user_id\nbroken\n")
    add_shop(paths, "b_without_file").unlink()
    add_shop(paths, "c_bad_yaml")
    (paths.datasets / "c_bad_yaml.yaml").write_text("format: tables\npaht: x\n")
    add_shop(paths, "shop")
    outcome = refresh(instance, paths, definitions=definitions)
    assert outcome.materialized == BOTH
    failures = {failure.partition: failure.text for failure in outcome.failures}
    assert set(failures) == {"a_broken_one", "b_without_file", "c_bad_yaml"}
    expected = "raw_reviews: interactions.csv, line 2: column item_id is missing. Add it."
    assert failures["a_broken_one"] == expected
    assert {failure.may_pass for failure in outcome.failures} == {False}
    assert "no file fits 'interactions.csv'" in failures["b_without_file"]
    assert "paht: no such setting" in failures["c_bad_yaml"]


def test_an_unforeseen_error_names_itself_its_place_and_the_run(instance, paths, definitions):
    add_shop(paths, "shop", "user_id\nbug\n")
    [failure] = refresh(instance, paths, definitions=definitions).failures
    assert failure.text.startswith("raw_reviews: KeyError: 'bug'")
    assert failure.may_pass
    assert f"log of run {instance.get_runs()[0].run_id}" in failure.text


def test_a_store_that_does_not_answer_may_do_so_the_next_time(instance, paths, definitions):
    add_shop(paths, "shop", "user_id\naway\n")
    [failure] = refresh(instance, paths, definitions=definitions).failures
    assert (failure.text, failure.may_pass) == ("raw_reviews: the store does not answer", True)


def test_what_failed_is_tried_again_and_what_was_made_stays(instance, paths, shop, definitions):
    shop.write_text("broken")
    assert refresh(instance, paths, definitions=definitions).failures
    shop.write_text("user_id,item_id\n")
    outcome = refresh(instance, paths, definitions=definitions)
    assert outcome.materialized == BOTH
    assert outcome.failures == []


def test_a_dataset_that_is_not_described_is_refused(instance, paths, shop, definitions):
    with pytest.raises(ConfigError, match=r"dataset 'shpo' is not described .*Did you mean 'shop'"):
        refresh(instance, paths, dataset="shpo", definitions=definitions)


def test_two_refreshes_at_once_are_refused(instance, paths, shop, definitions):
    with only_refresh(instance, paths), pytest.raises(RefreshBusyError, match="another refresh is at work"):
        refresh(instance, paths, definitions=definitions)


def test_too_little_free_space_is_said_before_anything_is_computed(instance, paths, shop, definitions, monkeypatch):
    least = Config.model_validate({"retention": {"min_free_gb": 1e9}})
    monkeypatch.setattr(refreshing, "loaded_config", lambda: least)
    with pytest.raises(NoSpaceError, match="a refresh needs"):
        refresh(instance, paths, definitions=definitions)
    assert instance.get_runs() == []


def test_a_change_that_only_a_lost_process_saw_is_still_found(paths, shop, definitions):
    with open_instance(paths) as before:
        refresh(before, paths, definitions=definitions)
        shop.write_text("user_id,item_id\nu1,i1\nu2,i2\n")
        refresh(before, paths, definitions=definitions, dry_run=True)  # observes the change; then it is killed
    with open_instance(paths) as after:
        assert refresh(after, paths, definitions=definitions).materialized == BOTH


def test_a_change_is_found_also_if_what_is_remembered_of_files_is_lost_or_old(
    instance, paths, shop, definitions, monkeypatch
):
    now = time.time
    monkeypatch.setattr(
        "mmsra_pipeline.storage.file_hashes.time.time", lambda: now() + 60
    )  # so that hashes are remembered
    refresh(instance, paths, definitions=definitions)
    old = paths.file_hashes.read_bytes()
    shop.write_text("user_id,item_id\nu1,i1\nu2,i2\n")
    assert refresh(instance, paths, definitions=definitions).materialized == BOTH
    paths.file_hashes.unlink()
    shop.write_text("user_id,item_id\nu1,i1\nu2,i2\nu3,i3\n")
    assert refresh(instance, paths, definitions=definitions).materialized == BOTH
    paths.file_hashes.write_bytes(old)
    assert refresh(instance, paths, definitions=definitions).stale == []


def test_what_a_killed_process_left_half_written_is_swept(instance, paths, shop, definitions):
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = [
        paths.data / "metrics" / "shop" / f".{dead.pid}-1.tmp",
        paths.artifacts / "recommender" / "shop" / f".{dead.pid}-2.tmp",
        paths.artifacts / "work" / "recommender" / "shop" / f".{dead.pid}-3.tmp",
    ]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "weights").write_text("half")
    refresh(instance, paths, definitions=definitions)
    assert [folder for folder in left if folder.exists()] == []


def test_a_run_whose_process_was_killed_is_marked_as_failed(instance, paths, shop, definitions):
    job = definitions.resolve_job_def("everything")
    left = instance.create_run_for_job(job, tags={REFRESH_TAG: "true"}, status=dg.DagsterRunStatus.STARTED)
    unbegun = instance.create_run_for_job(job, tags={REFRESH_TAG: "true"}, status=dg.DagsterRunStatus.NOT_STARTED)
    foreign = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    queued = instance.create_run_for_job(job, status=dg.DagsterRunStatus.NOT_STARTED)
    refresh(instance, paths, definitions=definitions)
    assert instance.get_run_by_id(left.run_id).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(unbegun.run_id).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(queued.run_id).status == dg.DagsterRunStatus.NOT_STARTED
    assert instance.get_run_by_id(foreign.run_id).status == dg.DagsterRunStatus.STARTED


def test_a_fresh_root_gets_the_settings_of_the_repository(instance, paths, request):
    written = (paths.dagster_home / "dagster.yaml").read_text()
    assert written == INSTANCE_YAML
    assert (request.config.rootpath / "dagster_home" / "dagster.yaml").read_text() == INSTANCE_YAML
