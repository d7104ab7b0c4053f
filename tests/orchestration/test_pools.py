import dagster as dg
import pytest

from mmsra_pipeline.definitions import defs
from mmsra_pipeline.orchestration.pools import DEVICE, MEMORY, memory_places, size_pools
from mmsra_pipeline.orchestration.staleness import asset_names


@pytest.mark.parametrize(("gigabytes", "places"), [(24, 5), (13, 2), (8, 1), (1, 1)])
def test_as_many_steps_without_a_model_as_fit_beside_one_with_a_model_and_one_in_any_case(gigabytes, places):
    assert memory_places(4, int(gigabytes * 1e9)) == places


def test_the_pool_of_memory_follows_the_setting_and_that_of_the_device_what_the_instance_says(instance):
    storage = instance.event_log_storage
    size_pools(instance, 1e9)
    assert {pool.name: pool.limit for pool in storage.get_pool_limits()} == {DEVICE: 1, MEMORY: 1}
    storage.set_concurrency_slots(DEVICE, 2)
    size_pools(instance, 1e9)
    assert {pool.name: pool.limit for pool in storage.get_pool_limits()} == {DEVICE: 2, MEMORY: 1}


def test_every_step_is_of_a_pool_and_those_that_read_a_model_are_of_that_of_the_device():
    graph = defs().resolve_asset_graph()
    pools = {name: graph.get(dg.AssetKey(name)).pools for name in asset_names(graph)}
    assert all(found in ({DEVICE}, {MEMORY}) for found in pools.values())
    assert {name for name, found in pools.items() if found == {DEVICE}} >= {
        "alignment", "summarizer", "draft_keywords", "item_keywords", "recommender", "rankings", "recommendations",
    }  # fmt: skip
