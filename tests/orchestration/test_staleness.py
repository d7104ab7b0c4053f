"""What is expected of Dagster's resolver, which is internal, and of what is built on it: source -> first -> second."""

import dagster as dg
import pytest

from mmsra_pipeline.orchestration.staleness import CODE_CHANGED, GONE, MISSING, next_wave, stale_assets

SHOP = "shop"
PARTITIONS = dg.DynamicPartitionsDefinition(name="dataset")


def world(outputs, versions=None, middle="middle"):
    """Four assets in a row, ``source -> first -> middle -> last``, whose data versions are those of ``outputs``."""
    versions = versions or {}

    def asset(name, upstream):
        @dg.asset(name=name, deps=[upstream], partitions_def=PARTITIONS, code_version=versions.get(name, "1"))
        def materialize() -> dg.MaterializeResult:
            return dg.MaterializeResult(data_version=dg.DataVersion(outputs[name]))

        return materialize

    @dg.observable_source_asset(name="source", partitions_def=PARTITIONS)
    def source():
        return dg.DataVersionsByPartition({})

    return dg.Definitions(assets=[source, asset("first", "source"), asset("middle", "first"), asset("last", "middle")])


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        opened.add_dynamic_partitions("dataset", [SHOP])
        yield opened


def observe(instance, version):
    tags = {"dagster/data_version": version}
    instance.report_runless_asset_event(dg.AssetObservation("source", partition=SHOP, tags=tags))


def run(instance, definitions, *names):
    job = definitions.resolve_implicit_global_asset_job_def()
    keys = [dg.AssetKey(name) for name in names] or None
    assert job.execute_in_process(instance=instance, partition_key=SHOP, asset_selection=keys).success


def stale(instance, definitions, **options):
    return stale_assets(instance, definitions.resolve_asset_graph(), SHOP, **options)


def reasons(entries):
    return {entry.asset: entry.reasons for entry in entries}


def wave(definitions, entries):
    return [entry.asset for entry in next_wave(definitions.resolve_asset_graph(), entries)]


ONE = {"first": "a1", "middle": "b1", "last": "c1"}


def test_at_first_everything_is_missing_and_makes_one_wave(instance):
    definitions = world(ONE)
    found = stale(instance, definitions)
    assert reasons(found) == dict.fromkeys(("first", "middle", "last"), (MISSING,))
    assert wave(definitions, found) == ["first", "middle", "last"]


def test_after_a_run_nothing_is_stale_also_if_the_same_source_is_observed_again(instance):
    definitions = world(ONE)
    observe(instance, "v1")
    run(instance, definitions)
    observe(instance, "v1")
    assert stale(instance, definitions) == []


def test_a_changed_source_makes_the_first_surely_stale_and_the_others_perhaps(instance):
    definitions = world(ONE)
    observe(instance, "v1")
    run(instance, definitions)
    observe(instance, "v2")
    found = stale(instance, definitions)
    assert reasons(found) == {
        "first": ("source has changed",),
        "middle": ("may change with first",),
        "last": ("may change with middle",),
    }
    assert wave(definitions, found) == ["first"]


def test_an_unchanged_output_stops_the_chain(instance):
    definitions = world(ONE)
    observe(instance, "v1")
    run(instance, definitions)
    observe(instance, "v2")
    run(instance, definitions, "first")
    assert stale(instance, definitions) == []


def test_a_changed_output_goes_one_step_on(instance):
    run(instance, world(ONE))
    definitions = world(ONE | {"first": "a2"}, versions={"first": "2"})
    run(instance, definitions, "first")
    found = stale(instance, definitions)
    assert reasons(found) == {"middle": ("first has changed",), "last": ("may change with middle",)}


def test_a_source_that_changed_and_changed_back_leaves_all_fresh(instance):
    definitions = world(ONE)
    observe(instance, "v1")
    run(instance, definitions)
    observe(instance, "v2")
    observe(instance, "v1")
    assert stale(instance, definitions) == []


def test_new_code_makes_an_asset_stale_and_so_do_settings_which_are_named(instance):
    run(instance, world(ONE))
    definitions = world(ONE, versions={"middle": "2"})
    assert reasons(stale(instance, definitions)) == {"middle": (CODE_CHANGED,), "last": ("may change with middle",)}

    def changes(asset):
        return [f"{asset}.k 3 -> 5"] if asset in ("middle", "last") else []

    assert reasons(stale(instance, definitions, changes=changes)) == {
        "middle": ("settings changed: middle.k 3 -> 5", CODE_CHANGED),
        "last": ("settings changed: last.k 3 -> 5",),
    }


def test_what_is_surely_stale_waits_for_what_it_depends_on_if_that_is_perhaps_stale(instance):
    run(instance, world(ONE))
    definitions = world(ONE, versions={"first": "2", "last": "2"})
    assert wave(definitions, stale(instance, definitions)) == ["first"]


def test_two_that_are_surely_stale_and_neighbours_are_one_wave(instance):
    run(instance, world(ONE))
    definitions = world(ONE, versions={"first": "2", "middle": "2"})
    assert wave(definitions, stale(instance, definitions)) == ["first", "middle"]


def test_what_is_left_out_counts_as_fresh_and_what_it_made_last_is_used(instance):
    run(instance, world(ONE))
    definitions = world(ONE, versions={"first": "2", "middle": "2"})
    found = stale(instance, definitions, leave_out={"middle"})
    assert [entry.asset for entry in found] == ["first"]
    run(instance, definitions, "middle")
    assert [entry.asset for entry in stale(instance, definitions, leave_out={"middle"})] == ["first"]


def test_what_depends_on_something_left_out_that_was_never_made_is_left_out_too(instance):
    definitions = world(ONE)
    assert [entry.asset for entry in stale(instance, definitions, leave_out={"middle"})] == ["first"]


def test_what_was_made_and_is_gone_is_made_again(instance):
    definitions = world(ONE)
    run(instance, definitions)
    found = stale(instance, definitions, exists=lambda asset: asset != "middle")
    assert reasons(found) == {"middle": (GONE,), "last": ("may change with middle",)}


def test_datasets_do_not_touch_each_other(instance):
    definitions = world(ONE)
    run(instance, definitions)
    instance.add_dynamic_partitions("dataset", ["other"])
    assert stale(instance, definitions) == []
    assert len(stale_assets(instance, definitions.resolve_asset_graph(), "other")) == 3
