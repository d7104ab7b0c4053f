"""What a person starts in the UI: everything, for some data sets at once."""

from orchestration.small_graph import add_shop

from mmsra_pipeline.orchestration.refresh import add_partitions, refresh
from mmsra_pipeline.storage.tables import Store


def test_a_broken_dataset_among_others_costs_itself_alone(instance, paths, definitions):
    add_shop(paths, "a_broken_one", "user_id\nbroken\n")
    names = ["a_broken_one", "shop", "shop2"]
    for name in names[1:]:
        add_shop(paths, name)
    add_partitions(instance, names)
    job = definitions.resolve_job_def("everything")
    ended = {
        name: job.execute_in_process(instance=instance, partition_key=name, raise_on_error=False).success
        for name in names
    }
    assert ended == {"a_broken_one": False, "shop": True, "shop2": True}
    assert Store(paths.data).datasets("interactions") == ["shop", "shop2"]
    stale = refresh(instance, paths, definitions=definitions).stale
    assert {entry.partition for entry in stale} == {"a_broken_one"}
