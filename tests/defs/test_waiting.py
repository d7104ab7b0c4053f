"""A run of the UI while another process is at its data set."""

import time

import pytest
from defs.served import Served, table_source, wait_for
from defs.tiny_settings import SETTINGS

from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.run_locks import dataset_lock
from mmsra_pipeline.storage.tables import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_run_that_waits_for_its_turn_says_so_and_is_cancelled_in_seconds(tmp_path):
    with Served(tmp_path / "root", SETTINGS) as served:
        served.describe("amber", table_source(served.root, "amber"))
        served.start_sensor("new_datasets")
        wait_for(lambda: served.partitions() == {"amber"}, seconds=90, what="the partition")
        with locked(dataset_lock(Paths(served.root), "amber"), "it"):
            backfill = served.backfill(["raw_reviews"], ["amber"])
            [run] = wait_for(lambda: served.runs(dagster__backfill=backfill), seconds=90, what="the run")

            def waits():
                return any("done with the data set amber" in line for line in served.log_lines(run["runId"]))

            wait_for(waits, seconds=120, what="the run to say that it waits")
            served.cancel(run["runId"])
            begun = time.monotonic()

            def status():
                return served.runs(dagster__backfill=backfill)[0]["status"]

            wait_for(lambda: status() == "CANCELED", seconds=60, what="the end of the run")
            assert time.monotonic() - begun < 30
        assert not Store(served.root / "data").has("raw_reviews", "amber")
