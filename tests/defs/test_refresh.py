"""Refreshing through a real instance and store, with two small assets in place of the real ones."""

import dagster as dg
import pandas as pd
import pytest

from mmsra_pipeline.datasets import DatasetSpec, write_dataset
from mmsra_pipeline.defs.instance import INSTANCE_YAML, REFRESH_TAG, only_refresh, open_instance
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.defs.refresh import Made, refresh
from mmsra_pipeline.errors import ConfigError, DataError, MmsraError
from mmsra_pipeline.paths import Paths, find_paths
from mmsra_pipeline.store import Store


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "root" / "dagster_home"))
    return find_paths()


@pytest.fixture
def instance(paths):
    with open_instance(paths) as opened:
        yield opened


@pytest.fixture
def shop(paths):
    return add_shop(paths, "shop")


def add_shop(paths: Paths, name: str, content: str = "user_id,item_id\nu1,i1\n"):
    folder = paths.root / "sources" / name
    folder.mkdir(parents=True)
    file = folder / "interactions.csv"
    file.write_text(content)
    (folder / "items.csv").write_text("item_id,title\ni1,Mug\n")
    write_dataset(paths.datasets, DatasetSpec(name=name, format="tables", path=folder))
    return file


def lines_of(name: str) -> list[str]:
    return (find_paths().root / "sources" / name / "interactions.csv").read_text().splitlines()


def written(table: str, name: str, rows: pd.DataFrame) -> dg.MaterializeResult:
    slice_ = Store(find_paths().data).replace(table, name, rows)
    return dg.MaterializeResult(data_version=dg.DataVersion(slice_.version))


@dg.asset(deps=["source_files"], partitions_def=datasets, code_version="1")
def raw_reviews(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Notes how many lines the source has."""
    lines = lines_of(context.partition_key)
    if "broken" in lines[-1]:
        raise DataError("interactions.csv, line 2: column item_id is missing. Add it.")
    if "bug" in lines[-1]:
        raise KeyError("bug")
    return written("raw_reviews", context.partition_key, pd.DataFrame({"lines": [len(lines)]}))


@dg.asset(deps=["raw_reviews"], partitions_def=datasets, code_version="1")
def interactions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Copies the count."""
    rows = Store(find_paths().data).read("raw_reviews", context.partition_key)
    return written("interactions", context.partition_key, rows)


@dg.observable_source_asset(partitions_def=datasets)
def source_files():
    return dg.DataVersionsByPartition({})


@pytest.fixture
def definitions():
    return dg.Definitions(
        assets=[source_files, raw_reviews, interactions],
        jobs=[dg.define_asset_job("everything", partitions_def=datasets)],
    )


BOTH = [Made("raw_reviews", "shop"), Made("interactions", "shop")]


def test_the_first_refresh_makes_all_in_one_run_and_the_second_nothing(instance, paths, shop, definitions):
    first = refresh(instance, paths, definitions=definitions)
    assert first.materialized == BOTH
    assert first.failures == []
    [run] = instance.get_runs()
    assert run.job_name == "everything"
    assert run.tags["dagster/partition"] == "shop"
    second = refresh(instance, paths, definitions=definitions)
    assert (second.stale, second.materialized, second.failures) == ([], [], [])


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


def test_a_table_that_was_deleted_is_made_again_and_stops_there(instance, paths, shop, definitions):
    refresh(instance, paths, definitions=definitions)
    (paths.data / "raw_reviews" / "shop" / "current").unlink()
    assert refresh(instance, paths, definitions=definitions).materialized == BOTH[:1]


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
    assert "interactions.csv is not there" in failures["b_without_file"]
    assert "paht: no such setting" in failures["c_bad_yaml"]


def test_an_unforeseen_error_names_itself_its_place_and_the_run(instance, paths, definitions):
    add_shop(paths, "shop", "user_id\nbug\n")
    [failure] = refresh(instance, paths, definitions=definitions).failures
    assert failure.text.startswith("raw_reviews: KeyError: 'bug'")
    assert f"log of run {instance.get_runs()[0].run_id}" in failure.text


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
    with only_refresh(instance, paths), pytest.raises(MmsraError, match="another refresh is at work"):
        refresh(instance, paths, definitions=definitions)


def test_a_run_whose_process_was_killed_is_marked_as_failed(instance, paths, shop, definitions):
    job = definitions.resolve_job_def("everything")
    left = instance.create_run_for_job(job, tags={REFRESH_TAG: "true"}, status=dg.DagsterRunStatus.STARTED)
    foreign = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    refresh(instance, paths, definitions=definitions)
    assert instance.get_run_by_id(left.run_id).status == dg.DagsterRunStatus.FAILURE
    assert instance.get_run_by_id(foreign.run_id).status == dg.DagsterRunStatus.STARTED


def test_a_fresh_root_gets_the_settings_of_the_repository(instance, paths, request):
    made = (paths.dagster_home / "dagster.yaml").read_text()
    assert made == INSTANCE_YAML
    assert (request.config.rootpath / "dagster_home" / "dagster.yaml").read_text() == INSTANCE_YAML
