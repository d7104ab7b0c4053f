"""What `mmsra gc` removes of a small installation, and that nothing current is among it."""

import os
import time

import dagster as dg
import pandas as pd
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.operation import RetentionConfig
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.instance import RefreshBusyError, only_refresh
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.orchestration.retention import DAY
from mmsra_pipeline.orchestration.upkeep import collect
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.keyed_cache import DAY_SECONDS, KeyedCache
from mmsra_pipeline.storage.tables import Store
from mmsra_pipeline.telemetry.tracking import mlflow_run

NOTHING_OLD = RetentionConfig(versions=0, grace_hours=0, work_days=0, run_days=90)
ALL_OLD = RetentionConfig(versions=0, grace_hours=0, work_days=0, run_days=0)
LINE = "user_id,item_id\n"


@pytest.fixture
def refreshed(instance, paths, shop, definitions):
    """Three runs: of all, of the first asset again without effect, and of all again."""
    for content in ("u1,i1\n", "u2,i2\n", "u1,i1\nu2,i2\n"):
        shop.write_text(LINE + content)
        refresh(instance, paths, definitions=definitions)
    return definitions


def gc(instance, paths, definitions, rules=ALL_OLD, *, dry_run=False):
    return collect(instance, paths, definitions.resolve_asset_graph(), rules, dry_run=dry_run)


def test_after_everything_old_went_nothing_is_stale_and_all_can_be_read(instance, paths, refreshed):
    before = {run.run_id for run in instance.get_runs()}
    assert len(before) == 4  # the last refresh took a run for each asset
    dry = gc(instance, paths, refreshed, dry_run=True)
    assert {run.run_id for run in instance.get_runs()} == before
    done = gc(instance, paths, refreshed)
    assert done == dry
    left = {run.run_id for run in instance.get_runs()}
    assert left == before - {run.run_id for run in done.runs}
    assert len(left) == 2
    assert refresh(instance, paths, definitions=refreshed).stale == []
    assert Store(paths.data).read("interactions", "shop")["lines"].tolist() == [3]
    for run in done.runs:
        assert not list(paths.dagster_home.rglob(f"*{run.run_id}*"))
    assert all(not file.path.exists() for file in done.files)
    assert {file.why for file in done.files} == {"old version of a table"}
    assert done.bytes > 0
    again = gc(instance, paths, refreshed)
    assert [file.path.parent.parent.name for file in again.files] == ["refresh_report"]  # of the refresh just now
    assert again.runs == []


def test_runs_of_lately_stay(instance, paths, refreshed):
    assert gc(instance, paths, refreshed, NOTHING_OLD, dry_run=True).runs == []


def test_it_waits_for_no_run_and_removes_nothing_beside_one(instance, paths, refreshed):
    with only_refresh(instance, paths), pytest.raises(RefreshBusyError):
        gc(instance, paths, refreshed)
    run = instance.create_run_for_job(refreshed.resolve_job_def("everything"), status=dg.DagsterRunStatus.STARTED)
    with pytest.raises(MmsraError, match=f"run {run.run_id} of job everything is at work. Wait"):
        gc(instance, paths, refreshed)
    assert gc(instance, paths, refreshed, dry_run=True).files


def test_pictures_that_only_a_removed_slice_named_go_with_it(instance, paths, refreshed):
    artifacts, store = Artifacts(paths.artifacts), Store(paths.data)
    names = [artifacts.put_blob("images", content, ".jpg") for content in (b"old", b"current")]
    for name in names:
        store.replace(Tables.ITEM_IMAGES, "shop", pd.DataFrame({"image_sha256": [name]}))
    gone, kept = (artifacts.blob_path("images", name, ".jpg") for name in names)
    lately = RetentionConfig(versions=0, grace_hours=1)
    assert gone not in {file.path for file in gc(instance, paths, refreshed, lately, dry_run=True).files}
    gc(instance, paths, refreshed)
    assert not gone.exists()
    assert kept.exists()


def trained(instance, paths, run_id, asset):
    """An MLflow run of a training, and the materialization that points to it."""
    with mlflow_run(paths.mlflow_uri, asset, {"dagster_run_id": run_id}, paths.artifacts) as tracker:
        tracker.log_metrics({"loss": 1.0}, step=0)
    link = dg.MetadataValue.md(f"[{tracker.run_id}](http://somewhere)")
    instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition="shop", metadata={"mlflow_run": link}))
    return tracker


@pytest.mark.slow
def test_mlflow_runs_go_but_for_those_of_current_adapters_and_what_they_are_nested_in(instance, paths, refreshed):
    old = trained(instance, paths, "first", "interactions")
    new = trained(instance, paths, "second", "interactions")
    files = paths.artifacts / "mlflow" / old.run_id / "artifacts"
    files.mkdir(parents=True)
    (files / "plot.png").write_bytes(b"1234")
    time.sleep(0.01)  # MLflow's times are in milliseconds
    going = {run.run_id for run in gc(instance, paths, refreshed, dry_run=True).runs if run.of == "MLflow"}
    assert going == {old.run_id, old.parent_id}
    gc(instance, paths, refreshed)
    assert not files.parent.exists()
    assert [run for run in gc(instance, paths, refreshed, dry_run=True).runs if run.of == "MLflow"] == []
    from mlflow import MlflowClient, exceptions

    client = MlflowClient(tracking_uri=paths.mlflow_uri)
    assert client.get_run(new.run_id).info.status == client.get_run(new.parent_id).info.status == "FINISHED"
    with pytest.raises(exceptions.MlflowException):
        client.get_run(old.run_id)


def test_what_the_recommender_was_trained_on_stays(instance, paths, shop, refreshed):
    instance.report_runless_asset_event(dg.AssetMaterialization(Tables.RECOMMENDER, partition="shop"))
    seen = Store(paths.data).current("interactions", "shop").path
    shop.write_text(LINE * 5)
    refresh(instance, paths, definitions=refreshed)
    assert Store(paths.data).current("interactions", "shop").path != seen
    gc(instance, paths, refreshed)
    assert seen.exists()


def test_stored_configurations_of_current_materializations_stay(instance, paths, refreshed):
    folder = paths.artifacts / "configs"
    folder.mkdir()
    for name in ("named.json", "not.json"):
        (folder / name).write_text("{}")
        os.utime(folder / name, (time.time() - DAY,) * 2)
    metadata = {"config": dg.MetadataValue.path(folder / "named.json")}
    instance.report_runless_asset_event(dg.AssetMaterialization("interactions", partition="shop", metadata=metadata))
    gc(instance, paths, refreshed)
    assert [path.name for path in folder.iterdir()] == ["named.json"]


def test_of_caches_goes_what_nobody_asked_for_and_hashes_of_files_stay(instance, paths, shop, refreshed, monkeypatch):
    lists = paths.scores / "shop" / "rankings.sqlite"
    KeyedCache(lists).put({"old": "x"})
    KeyedCache(paths.keywords).put({"old": "x" * 10, "asked": "x"})
    KeyedCache(paths.file_hashes, stamps=False).put({str(shop.absolute()): "[]"})
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 100 * DAY_SECONDS)
    KeyedCache(paths.keywords).get("asked")
    dry = gc(instance, paths, refreshed, dry_run=True)
    assert len(KeyedCache(paths.keywords)) == 2
    assert gc(instance, paths, refreshed).caches == dry.caches
    assert [(one.path, one.entries, one.bytes) for one in dry.caches] == [(paths.keywords, 1, 13), (lists, 1, 4)]
    assert list(KeyedCache(paths.keywords)) == ["asked"]
    assert str(shop.absolute()) in KeyedCache(paths.file_hashes)  # beside what slow refreshes remembered
    assert f"{13:>12} 1 unused entries of {paths.keywords}" in dry.lines()
    assert dry.as_json()["caches"][0] == {"path": str(paths.keywords), "entries": 1, "bytes": 13}
    assert dry.bytes >= 17


def test_a_cache_larger_than_its_bound_loses_its_oldest_entries(instance, paths, refreshed):
    KeyedCache(paths.sentences).put({"old": b"x" * 600})
    KeyedCache(paths.sentences).put({"new": b"x" * 600})
    gc(instance, paths, refreshed, RetentionConfig(cache_gb=1e-6))
    assert list(KeyedCache(paths.sentences)) == ["new"]


def test_caches_of_earlier_versions_and_damaged_ones_go(instance, paths, refreshed):
    former = [
        paths.artifacts / name for name in ("keyword_cache/a.json", "scores/shop/rankings.jsonl", "file_hashes.sqlite")
    ]
    damaged = paths.keywords.with_name("keywords.sqlite.damaged")
    for file in (*former, damaged):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    gone = {
        file.path.name: file.why
        for file in gc(instance, paths, refreshed).files
        if file.path.is_relative_to(paths.artifacts)
    }
    assert gone == {
        "keyword_cache": "cache of an earlier version",
        "scores": "cache of an earlier version",
        "file_hashes.sqlite": "cache of an earlier version",
        damaged.name: "damaged cache",
    }
    assert not any(file.exists() for file in (*former, damaged))
