"""Nights as `dagster dev` has them: the schedule fires every minute, and the queue computes wave after wave."""

import os
import signal

import dagster as dg
import psutil
import pytest
from defs.served import Served, table_source, wait_for
from defs.tiny_settings import SETTINGS

from mmsra_pipeline.orchestration.nights import DONE, ENDED_TAG, NIGHT_TAG, STATE_TAG
from mmsra_pipeline.storage.tables import Store

pytestmark = [pytest.mark.slow, pytest.mark.live, pytest.mark.timeout(2400)]

NIGHTLY = {"enabled": True, "cron": "* * * * *", "retries": 3, "retry_seconds": 1}
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
    served = Served(tmp_path / "root", {**SETTINGS, "automation": NIGHTLY})
    served.describe("shop", table_source(served.root, "shop"))
    with served:
        yield served


@pytest.fixture
def history(served):
    with dg.DagsterInstance.from_config(str(served.root / "dagster_home")) as instance:
        yield instance


class Nights:
    """Nights of a minute: one that is not over when the next one comes hands over to it."""

    def __init__(self, history):
        self.history, self.killed, self.waves = history, {}, {}
        self._past, self._begun = set(), set()

    def to_rest(self, *, killing=False, first=False):
        """Wait for a night that begins from now on to find all up to date; give the waves until then, oldest first.

        ``killing``: kill -9 the process of the first run of each wave, by its assets.
        """
        self.killed, self.waves = {}, {}
        looks = [] if first else self.history.get_runs(dg.RunsFilter(job_name="catalog_refresh"))
        self._past = {run.run_id for run in looks if run.tags.get(STATE_TAG) == DONE}
        self._begun = {run.run_id for run in looks}
        wait_for(lambda: self._rests(killing), seconds=1500, what="a night that finds all up to date", every=0.3)
        queued = dg.DagsterEventType.RUN_ENQUEUED
        assert all(self.history.all_logs(run_id, of_type=queued) for run_id in self.waves)
        return list(self.waves.values())

    def _rests(self, killing):
        over = False
        for look in reversed(self.history.get_runs(dg.RunsFilter(job_name="catalog_refresh"))):
            for run in reversed(self.history.get_runs(dg.RunsFilter(tags={NIGHT_TAG: look.run_id}))):
                if look.run_id not in self._past:
                    self.waves[run.run_id] = run
                    assets = frozenset(run.asset_selection)
                    if killing and assets not in self.killed and at_work(self.history, run):
                        os.kill(process_of(self.history, run), signal.SIGKILL)
                        self.killed[assets] = run.run_id
            if look.run_id not in self._begun and look.tags.get(STATE_TAG) == DONE:
                over |= "is up to date" in look.tags[ENDED_TAG]
        return over


def at_work(history, run):
    steps = history.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
    return bool(steps) and not history.get_run_by_id(run.run_id).is_finished


def process_of(history, run):
    events = history.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    details = [entry.dagster_event.engine_event_data.metadata for entry in events]
    return int([metadata["pid"].value for metadata in details if "pid" in metadata][-1])


def test_nights_compute_in_the_queue_find_nothing_the_next_time_and_end_well_where_each_wave_is_killed(
    served, history, record_property
):
    nights, store = Nights(history), Store(served.root / "data")
    first = nights.to_rest(first=True)
    assert [run.status for run in first] == [dg.DagsterRunStatus.SUCCESS]
    assert all(store.has(asset, "shop") for asset in CHEAP)
    assert not store.has("recommender", "shop")  # trainings are not of the night
    assert nights.to_rest() == []

    file = served.root / "sources" / "shop" / "interactions.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()[1:]]
    user = lines[-1][0]
    new = next(item for _, item, *_ in lines if item not in {other for one, other, *_ in lines if one == user})
    before = store.current("interactions", "shop").version
    file.write_text(f"{file.read_text()}{user},{new},2030-01-01T00:00:00Z,5,bought\n")
    waves = nights.to_rest(killing=True)
    ended = {frozenset(run.asset_selection) for run in waves if run.status == dg.DagsterRunStatus.SUCCESS}
    assert set(nights.killed) == ended
    assert len(ended) >= 3  # what reads the source, what reads reviews, what reads interactions
    for run_id in nights.killed.values():
        assert history.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE
    assert store.current("interactions", "shop").version != before
    assert nights.to_rest() == []
    assert not [child for child in psutil.process_iter(["cmdline"]) if is_a_step_left(served, child)]
    record_property("nights", f"one wave, nothing, {len(ended)} waves each killed once, nothing")
    assert {tick["status"] for tick in served.ticks("catalog_refresh")} <= {"SUCCESS", "SKIPPED", "STARTED"}


def is_a_step_left(served, process):
    """Whether a process computes for this root though its run's own process is gone."""
    try:
        ours = process.environ().get("MMSRA_ROOT") == str(served.root)
        return ours and process.ppid() == 1
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
