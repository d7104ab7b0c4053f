import time

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest
from orchestration.small_graph import add_shop, small_graph

from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import DataError, MmsraError
from mmsra_pipeline.orchestration import reporting
from mmsra_pipeline.orchestration.dataset_removal import remove
from mmsra_pipeline.orchestration.materializations import latest
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh import refresh
from mmsra_pipeline.orchestration.reporting import sample_table
from mmsra_pipeline.storage.file_hashes import FileHashes
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.run_locks import dataset_lock
from mmsra_pipeline.storage.tables import Store
from mmsra_pipeline.telemetry.tracking import mlflow_run


@pytest.fixture
def two(instance, paths, definitions, monkeypatch):
    """Two data sets that were made, with source files that are remembered."""
    now = time.time
    monkeypatch.setattr("mmsra_pipeline.storage.file_hashes.time.time", lambda: now() + 60)
    for name in ("shop", "shop2"):
        add_shop(paths, name)
        for folder in ("work/recommender", "fusion", "lists"):
            (paths.artifacts / folder / name / "abc").mkdir(parents=True)
        dataset_lock(paths, name).touch()
    refresh(instance, paths, definitions=definitions)


def remembered(paths, name):
    with FileHashes(paths.file_hashes) as hashes:
        for file in ("interactions.csv", "items.csv"):
            hashes.of(paths.root / "sources" / name / file)
        return 2 - hashes.read


def test_all_of_a_dataset_goes_and_nothing_of_another(instance, paths, two):
    store = Store(paths.data)
    store.pin("interactions", "shop", {store.current("interactions", "shop").version})
    assert remembered(paths, "shop") == 2
    removed = remove(instance, paths, "shop")
    assert removed[0] == "tables: interactions, raw_reviews, refresh_report"
    assert "work/recommender/shop" in removed[1]
    assert ".dataset-shop.lock" in removed[1]
    assert removed[2:5] == ["remembered source files: 2", "runs of Dagster: 1, of MLflow: 0", "partition: shop"]
    assert [path for path in paths.root.rglob("*") if path.name == "shop"] == [paths.root / "sources" / "shop"]
    assert remembered(paths, "shop2") == 2
    assert store.datasets("refresh_report") == ["shop2"]
    assert dataset_lock(paths, "shop2").exists()
    assert instance.get_dynamic_partitions("dataset") == ["shop2"]


def test_a_dataset_whose_description_is_broken_can_be_removed(instance, paths, two):
    (paths.datasets / "shop.yaml").write_text("format: tables\npaht: x\n")
    removed = remove(instance, paths, "shop")
    assert "remembered source files: 0" in removed
    assert not Store(paths.data).has("raw_reviews", "shop")


def test_a_dataset_that_is_being_computed_stays(instance, paths, two):
    with locked(dataset_lock(paths, "shop"), "shop"), pytest.raises(MmsraError, match="'shop' is being computed"):
        remove(instance, paths, "shop")
    assert Store(paths.data).has("raw_reviews", "shop")
    assert (paths.datasets / "shop.yaml").is_file()


USER_ID, REVIEW_TEXT = "user-of-whom-nothing-stays", "what-that-user-wrote"


@pytest.fixture
def remembering(paths, monkeypatch):
    """Two data sets with a user who is in samples, logs, errors, checks, curves, scores and notes of refreshes."""
    config = Config.model_validate({"automation": {"show_users": True}})
    monkeypatch.setattr(reporting, "loaded_config", lambda: config)

    @dg.asset(
        deps=["raw_reviews"], partitions_def=datasets, code_version="1",
        check_specs=[dg.AssetCheckSpec("seen", asset="sequences")],
    )  # fmt: skip
    def sequences(context: dg.AssetExecutionContext):
        secret = f"{USER_ID} of {context.partition_key}: {REVIEW_TEXT}"
        context.log.info(secret)
        tags = {"dataset": context.partition_key}
        with mlflow_run(paths.mlflow_uri, "sequences", tags, paths.artifacts) as tracker:
            tracker.log_params({"example": secret})
        with KeyedCache(paths.scores / context.partition_key / "rankings.sqlite") as cache:
            cache.put({"key": secret})
        rows = pd.DataFrame({"user_id": [secret], "review": [secret]})
        stored = Store(paths.data).replace("sequences", context.partition_key, rows)
        yield dg.MaterializeResult(
            metadata={"sample": sample_table(rows)},
            data_version=dg.DataVersion(stored.version),
            check_results=[dg.AssetCheckResult(check_name="seen", passed=False, description=secret)],
        )

    @dg.asset(deps=["sequences"], partitions_def=datasets, code_version="1")
    def similar_users(context: dg.AssetExecutionContext) -> None:
        raise DataError(f"row 1: {USER_ID} of {context.partition_key} has no history")

    return small_graph(sequences, similar_users)


def with_bytes(root, text):
    """Give the files below a folder that hold these bytes, compressed Parquet and databases by their content too."""
    found = []
    for path in root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += str(pq.read_table(path, partitioning=None).to_pydict()).encode()
            if text.encode() in content:
                found.append(path.relative_to(root).as_posix())
    return sorted(found)


def test_no_file_and_no_database_knows_a_user_of_a_data_set_that_was_removed(instance, paths, remembering):
    for name in ("shop", "shop2"):
        add_shop(paths, name)
    assert len(refresh(instance, paths, definitions=remembering).failures) == 2
    before = with_bytes(paths.root, f"{USER_ID} of shop:") + with_bytes(paths.root, f"{USER_ID} of shop ")
    for place in (
        "data/sequences/shop/",
        "history/runs/index.db",
        "mlflow.db",
        "caches/scores/shop/",
        "refresh_report",
    ):
        assert any(place in path for path in before), place
    others = with_bytes(paths.root, f"{USER_ID} of shop2:")

    removed = remove(instance, paths, "shop")

    assert "runs of Dagster: 1, of MLflow: 1" in removed
    assert with_bytes(paths.root, f"{USER_ID} of shop:") + with_bytes(paths.root, f"{USER_ID} of shop ") == []
    assert set(with_bytes(paths.root, f"{USER_ID} of shop2:")) <= set(others)
    assert latest(instance, "sequences", "shop") is None
    assert latest(instance, "sequences", "shop2") is not None
    event = instance.get_latest_materialization_event(dg.AssetKey("sequences"))
    assert event.asset_materialization.partition == "shop2"
    assert [entry.partition for entry in refresh(instance, paths, definitions=remembering).failures] == ["shop2"]


def test_a_data_set_with_a_run_in_the_queue_stays(instance, paths, definitions, two):
    job = definitions.resolve_job_def("everything")
    instance.create_run_for_job(job, tags={"dagster/partition": "shop"}, status=dg.DagsterRunStatus.NOT_STARTED)
    with pytest.raises(MmsraError, match="has not ended"):
        remove(instance, paths, "shop")
    assert Store(paths.data).has("raw_reviews", "shop")
