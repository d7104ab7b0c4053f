"""A variant of a data set takes over what is made of the same, and computes what its own settings change."""

import threading
import time

import dagster as dg
import pytest
import yaml
from defs.tiny_settings import SETTINGS

from mmsra_pipeline.cli.variants import vary
from mmsra_pipeline.orchestration.checks.current import check_current
from mmsra_pipeline.orchestration.dataset_removal import remove
from mmsra_pipeline.orchestration.instance import open_instance
from mmsra_pipeline.orchestration.materializations import latest
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.orchestration.settings_read import READS
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.run_locks import work_lock
from mmsra_pipeline.storage.tables import Store

pytestmark = pytest.mark.slow

MATERIALIZED = (
    "raw_reviews", "interactions", "sequences", "training_queries", "item_text", "item_images",
    "cooccurrence_neighbors", "user_encoder", "similar_users",
)  # fmt: skip
LEFT = tuple(asset for asset in READS if asset not in MATERIALIZED)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tiny store and a variant with other voters, both refreshed as far as no language model is needed."""
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSRA_ROOT", str(root))
        patch.setenv("DAGSTER_HOME", str(root / "dagster_home"))
        patch.delenv("MMSRA_CONFIG", raising=False)
        paths = find_paths()
        paths.datasets.mkdir()
        (paths.datasets / "shop.yaml").write_text("format: sample\nsize: tiny\n")
        (root / "mmsra.yaml").write_text(yaml.safe_dump(SETTINGS))
        with open_instance(paths) as instance:
            first = refresh(instance, paths, dataset="shop", leave_out=LEFT)
            vary(paths, "shop", "voters", ["retrieval.similar_users.voters=5"], None)
            yield instance, paths, first, refresh(instance, paths, dataset="voters", leave_out=LEFT)


@pytest.fixture
def events(world):
    """The last materializations of both data sets, by asset."""
    instance = world[0]
    return {asset: [latest(instance, asset, name) for name in ("shop", "voters")] for asset in MATERIALIZED}


def outcomes(outcome):
    return {one.asset: one.outcome for one in outcome.assets if one.outcome != "skipped"}


def test_a_variant_computes_what_its_settings_change_and_says_what_it_took_over(world):
    _, _, first, second = world
    assert first.failures == second.failures == []
    assert outcomes(first) == dict.fromkeys(MATERIALIZED, "computed")
    assert outcomes(second) == {**dict.fromkeys(MATERIALIZED, "reused"), "similar_users": "computed"}
    assert {one.reason.rpartition("; ")[2] for one in second.assets if one.outcome == "reused"} == {
        "taken over from shop"
    }


def test_what_was_taken_over_has_the_version_of_the_other_and_is_the_same_file(world, events):
    store, artifacts = Store.of(world[1]), Artifacts.of(world[1])
    for asset in set(MATERIALIZED) - {"similar_users"}:
        one, other = events[asset]
        assert (one.version, one.work, one.reused_from) == (other.version, other.work, None)
        assert other.reused_from == "shop"
        own = store.current(asset, "voters").path
        assert own.samefile(store.current(asset, "shop").path)
        assert str(other.metadata["slice"]) == str(own)
    assert store.tables("voters") == store.tables("shop")
    model = artifacts.current("user_encoder", "voters")
    assert model.parent.name == "voters"
    assert str(events["user_encoder"][1].metadata["artifact"]) == str(model)
    assert events["user_encoder"][0].metadata["mlflow_run"] == events["user_encoder"][1].metadata["mlflow_run"]
    assert (world[1].artifacts / "plots" / "voters" / "user_encoder.png").is_file()


def test_a_materialization_that_is_computed_names_nobody(events):
    assert events["similar_users"][1].reused_from is None
    assert events["similar_users"][0].work != events["similar_users"][1].work


def test_the_results_of_the_checks_stand_with_what_was_taken_over(world, events):
    found = {"shop": {}, "voters": {}}
    for name, event in zip(found, events["user_encoder"], strict=True):
        for entry in world[0].all_logs(event.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
            one = entry.dagster_event.event_specific_data
            found[name][one.asset_key.to_user_string(), one.check_name] = one.passed, one.severity
    assert found["voters"].keys() == found["shop"].keys()
    assert {asset for asset, _ in found["shop"]} == set(MATERIALIZED)
    same = {place for place in found["shop"] if place[0] != "similar_users"}
    assert {place: found["voters"][place] for place in same} == {place: found["shop"][place] for place in same}
    assert not [one for one in check_current(world[0], world[1], "voters") if one.state == "fails"]


def test_afterwards_nothing_is_stale(world):
    again = refresh(world[0], world[1], dry_run=True, leave_out=LEFT)
    assert again.stale == []


def test_while_another_process_computes_the_same_it_waits_and_then_takes_over(world):
    instance, paths, *_ = world
    held, said = threading.Event(), "done with what is made of the same as similar_users of second"

    def was_said():
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": "second"}))
        return any(said in entry.user_message for run in runs for entry in instance.all_logs(run.run_id))

    def compute():
        with locked(work_lock(paths, latest(instance, "similar_users", "voters").work), "it"):
            held.set()
            patience = time.monotonic() + 120
            while not was_said() and time.monotonic() < patience:
                time.sleep(0.5)

    vary(paths, "voters", "second", [], None)
    computing = threading.Thread(target=compute)
    computing.start()
    assert held.wait(20)
    second = refresh(instance, paths, dataset="second", leave_out=LEFT)
    computing.join()
    assert was_said()
    assert set(outcomes(second).values()) == {"reused"}
    assert latest(instance, "similar_users", "second").reused_from == "voters"


def test_nothing_is_taken_over_where_a_killed_run_moved_pointers_and_could_not_say_so(world):
    instance, paths, *_ = world
    store = Store.of(paths)
    vary(paths, "shop", "torn", [], None)
    later = [asset for asset in READS if asset not in ("raw_reviews", "interactions", "sequences")]
    assert set(outcomes(refresh(instance, paths, dataset="torn", leave_out=later)).values()) == {"reused"}
    store.replace("sequences", "torn", store.read("sequences", "torn").head(-1))
    left = [asset for asset in READS if asset != "training_queries"]
    torn = refresh(instance, paths, dataset="torn", leave_out=left)
    assert outcomes(torn) == {"training_queries": "computed"}
    assert latest(instance, "training_queries", "torn").work is None


def test_neither_needs_the_other(world):
    instance, paths, *_ = world
    vary(paths, "shop", "third", [], None)
    third = refresh(instance, paths, dataset="third", leave_out=LEFT)
    assert set(outcomes(third).values()) == {"reused"}
    remove(instance, paths, "third")
    store = Store.of(paths)
    assert len(store.read("interactions", "shop")) == len(store.read("interactions", "voters")) > 0
    assert Artifacts.of(paths).current("user_encoder", "shop").is_dir()
