"""A backfill of three new data sets at once, one of them broken, asked for as the browser asks for it."""

import itertools

import pytest
from defs.served import Served, table_source, wait_for
from defs.tiny_settings import SETTINGS
from tiny import tiny_fastvlm

from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.orchestration.settings_read import READS
from mmsra_pipeline.storage.tables import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NAMES = ("amber", "broken", "coral")
WITHOUT_A_MODEL = [
    "raw_reviews",
    "interactions",
    "sequences",
    "training_queries",
    "item_text",
    "item_images",
    "cooccurrence_neighbors",
]
BACKFILL_TAG, PARTITION_TAG = "dagster/backfill", "dagster/partition"
ENDED = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}


@pytest.fixture
def served(tmp_path):
    model = str(tiny_fastvlm(tmp_path / "tiny"))
    settings = {**SETTINGS, "backbone": {**SETTINGS["backbone"], "model": model}, "limits": {"step_memory_gb": 1}}
    with Served(tmp_path / "root", settings) as served:
        yield served


@pytest.mark.parametrize(
    "assets",
    [
        pytest.param(WITHOUT_A_MODEL, id="without a model"),
        pytest.param(list(READS), id="everything", marks=[pytest.mark.live, pytest.mark.weights]),
    ],
)
def test_of_three_new_datasets_two_end_well_and_the_broken_one_says_what_is_wrong(served, assets):
    for name in NAMES:
        header = "user_id,thing,timestamp" if name == "broken" else "user_id,item_id,timestamp"
        served.describe(name, table_source(served.root, name, header))
    served.start_sensor("new_datasets")
    wait_for(lambda: served.partitions() == set(NAMES), seconds=90, what="the partitions")

    backfill = served.backfill(assets, list(NAMES))
    status = wait_for(
        lambda: (reached := served.backfill_status(backfill)) in ENDED and reached, seconds=1200, what="the backfill"
    )

    runs = {run["tags"][PARTITION_TAG]: run for run in served.runs(dagster__backfill=backfill)}
    assert {name: run["status"] for name, run in runs.items()} == {
        "amber": "SUCCESS",
        "broken": "FAILURE",
        "coral": "SUCCESS",
    }
    assert status == "COMPLETED_FAILED"
    [(step, text)] = served.failures(runs["broken"]["runId"]).items()
    source, file = served.root / "sources" / "broken" / "interactions.csv", served.root / "datasets" / "broken.yaml"
    assert step == "raw_reviews"
    assert f"{source}: column 'item_id' is missing. Found, separated by commas: user_id, thing," in text
    assert f"Say in {file} what the file calls it: `columns: {{item_id: THEIR_NAME}}`" in text
    store = Store(served.root / "data")
    for asset in assets:
        assert store.has(asset, "amber")
        assert store.has(asset, "coral")
        assert not store.has(asset, "broken")
        # Both have the same reviews: made side by side, they come out alike.
        assert store.current(asset, "amber").version == store.current(asset, "coral").version

    # Side by side, but for the trainings.
    assert max(run["startTime"] for run in runs.values()) < min(runs[name]["endTime"] for name in ("amber", "coral"))
    trained = trainings(served.root) if set(COSTLY) & set(assets) else []
    assert len(trained) == len(set(COSTLY) & set(assets))  # who comes second takes over what is made of the same
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(trained))


def trainings(root):
    """Give when each training began and ended, oldest first. A step begins before: it waits for its device."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, "tags.asset != ''")
    costly = [run for run in found if run.data.tags["asset"] in COSTLY]
    return sorted((run.info.start_time, run.info.end_time) for run in costly)
