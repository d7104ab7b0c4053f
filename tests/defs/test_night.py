"""The nightly schedule as `dagster dev` fires it, here every minute."""

import pytest
from defs.served import Served, table_source, wait_for
from defs.tiny_settings import SETTINGS

from mmsra_pipeline.storage.tables import Store

pytestmark = [pytest.mark.slow, pytest.mark.live, pytest.mark.timeout(1800)]

EVERY_MINUTE = {**SETTINGS, "automation": {"enabled": True, "cron": "* * * * *"}}
CHEAP = {
    "raw_reviews",
    "interactions",
    "sequences",
    "training_queries",
    "item_text",
    "item_images",
    "cooccurrence_neighbors",
}


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path / "root", EVERY_MINUTE)
    served.describe("shop", table_source(served.root, "shop"))
    with served:
        yield served


def next_night(served, seen) -> tuple[str, list[str]]:
    """Wait for the next run of the schedule to end, and give its status and what it said."""

    def ended():
        nights = [run for run in served.runs(dagster__schedule_name="catalog_refresh") if run["runId"] not in seen]
        return nights[0] if nights and nights[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

    run = wait_for(ended, seconds=600, what="the next night")
    seen.add(run["runId"])
    return run["status"], served.log_lines(run["runId"])


def test_the_first_night_computes_the_next_finds_nothing_and_one_after_new_data_computes_again(served, record_property):
    seen = set()
    status, lines = next_night(served, seen)
    first, store = lines, Store(served.root / "data")
    assert status == "SUCCESS"
    assert lines[-1].startswith("materialized: raw_reviews[shop], ")
    assert all(store.has(asset, "shop") for asset in CHEAP)
    assert not store.has("recommender", "shop")  # trainings are not of the night

    wait_for(lambda: served.partitions() == {"shop"}, seconds=60, what="the partition")
    second = next_night(served, seen)
    assert second == ("SUCCESS", ["nothing was stale"])

    file = served.root / "sources" / "shop" / "interactions.csv"
    newest = file.read_text().splitlines()[-1]
    user, item, *_ = newest.split(",")
    file.write_text(f"{file.read_text()}{user},{item},2030-01-01T00:00:00Z,5,again\n")
    while (third := next_night(served, seen)) == ("SUCCESS", ["nothing was stale"]):
        pass  # it had begun before the file changed
    assert third[0] == "SUCCESS"
    assert "raw_reviews[shop]" in third[1][-1]

    for number, lines in enumerate((first, second[1], third[1]), start=1):
        record_property(f"night {number}", lines[-1])
    ticks = served.ticks("catalog_refresh")
    assert {tick["status"] for tick in ticks} <= {"SUCCESS", "SKIPPED", "STARTED"}
