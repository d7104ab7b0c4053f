"""The graph that Dagster shows: names, dependencies and descriptions are an interface."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from mmsra_pipeline.definitions import defs
from mmsra_pipeline.orchestration.freshness import freshness
from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.orchestration.labels import SETTINGS, STAGES, UPKEEP
from mmsra_pipeline.orchestration.settings_read import READS
from mmsra_pipeline.orchestration.settings_sources import is_settings

PROMPTED = {
    "cooccurrence_neighbors",
    "interactions",
    "sequences",
    "item_text",
    "item_keywords",
    "user_encoder",
    "similar_users",
}
UPSTREAM = {
    "raw_reviews": {"source_files"},
    "interactions": {"raw_reviews"},
    "sequences": {"interactions"},
    "item_text": {"raw_reviews", "interactions"},
    "item_images": {"raw_reviews", "item_text"},
    "alignment": {"item_text", "item_images"},
    "draft_keywords": {"alignment", "item_text", "item_images"},
    "summarizer": {"alignment", "item_text", "item_images"},
    "item_keywords": {"summarizer", "alignment", "draft_keywords", "item_text", "item_images"},
    "keyword_quality": {
        "item_keywords", "draft_keywords", "item_text", "item_images", "alignment", "summarizer", "raw_reviews",
    },
    "user_encoder": {"interactions", "sequences"},
    "training_queries": {"sequences"},
    "similar_users": {"user_encoder", "interactions", "sequences", "training_queries"},
    "cooccurrence_neighbors": {"interactions", "sequences"},
    "sft_dataset": {"training_queries"} | PROMPTED,
    "recommender": {"sft_dataset", "alignment", "item_images"},
    "fusion": {"sft_dataset", "recommender", "alignment", "item_images"} | PROMPTED,
    "rankings": {"fusion", "recommender", "alignment", "item_images", "sft_dataset"} | PROMPTED,
    "first_stage_recall": {
        "user_encoder", "cooccurrence_neighbors", "interactions", "sequences", "item_text", "item_keywords",
    },
    "metrics": {"rankings", "interactions", "sequences", "item_images"},
    "served_quality": {"fusion", "recommender", "alignment", "item_images", "sft_dataset"} | PROMPTED,
    "report": {
        "metrics", "rankings", "recommendations", "keyword_quality", "served_quality",
        "sft_dataset", "recommender", "alignment", "item_images",
    } | PROMPTED,
    "recommendations": {"fusion", "sft_dataset", "recommender", "alignment", "item_images"} | PROMPTED,
}  # fmt: skip


@pytest.fixture(scope="module")
def definitions():
    return defs()


@pytest.fixture(scope="module")
def graph(definitions):
    return definitions.resolve_asset_graph()


def materializable(graph):
    return {
        key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys() if not graph.get(key).is_external
    }


def test_every_box_of_the_flow_is_an_asset_and_depends_on_what_it_reads(graph):
    found = {
        name: {parent.to_user_string() for parent in node.parent_keys if not is_settings(parent)}
        for name, node in materializable(graph).items()
    }
    assert found == UPSTREAM


def test_every_asset_is_partitioned_by_dataset_and_says_what_a_row_is(graph):
    for name, node in materializable(graph).items():
        assert node.partitions_def == dg.DynamicPartitionsDefinition(name="dataset"), name
        assert node.description, name
        assert node.owners == ["team:recommendations"], name
        assert node.kinds, name
        assert node.code_version, name


def test_groups_sorted_by_name_are_in_the_order_of_the_flow(graph):
    groups = {graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert [name.partition("_")[2] for name in sorted(groups)] == [SETTINGS, *STAGES, UPKEEP]
    for name, node in materializable(graph).items():
        for parent in UPSTREAM[name]:
            assert graph.get(dg.AssetKey(parent)).group_name <= node.group_name, (name, parent)


def test_the_sources_are_observed_and_never_materialized(graph):
    source = graph.get(dg.AssetKey("source_files"))
    assert source.is_observable
    assert not source.is_materializable


def test_every_asset_declares_what_it_reads(graph):
    assert set(READS) == set(materializable(graph))


def test_the_jobs_are_the_things_that_a_person_starts(definitions, graph):
    jobs = {job.name: job for job in definitions.resolve_all_job_defs()}
    assert {"everything", "retrain", "catalog_refresh"} <= set(jobs)
    everything = {key.to_user_string() for key in jobs["everything"].asset_layer.selected_asset_keys}
    assert everything == set(UPSTREAM)
    renewed = {key.to_user_string() for key in jobs["retrain"].asset_layer.selected_asset_keys}
    untouched = {
        "raw_reviews", "interactions", "sequences", "training_queries", "item_text", "item_images",
        "cooccurrence_neighbors",
    }  # fmt: skip
    assert renewed == set(UPSTREAM) - untouched
    assert set(COSTLY) <= renewed


def test_every_asset_links_to_its_function(graph):
    for name, node in materializable(graph).items():
        [link] = node.metadata["dagster/code_references"].code_references
        source = Path(link.file_path).read_text().splitlines()[link.line_number - 1 :]
        assert Path(link.file_path).parent.name == "defs", name
        assert any(line.startswith(f"def {name}(") for line in source[:30]), name


def test_what_the_pipeline_is_for_must_be_fresh(graph):
    policies = {name: node.freshness_policy for name, node in materializable(graph).items() if node.freshness_policy}
    assert set(policies) == {"metrics", "recommendations"}
    assert {policy.fail_window.to_timedelta() for policy in policies.values()} == {timedelta(days=7)}
    assert freshness(3).warn_window.to_timedelta() == timedelta(days=1.5)


def test_schedule_and_sensor_are_stopped_until_somebody_starts_them(definitions):
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def("catalog_refresh")
    assert schedule.cron_schedule == "0 3 * * *"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert repository.get_sensor_def("new_datasets").default_status == dg.DefaultSensorStatus.STOPPED
