"""A terminal that has the queue do its work; what daemon and queue do is done here whenever it waits."""

import time

import dagster as dg
import pytest
from orchestration.test_nights import Queue

from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.orchestration import following
from mmsra_pipeline.orchestration.following import daemon_runs, refresh_by_queue
from mmsra_pipeline.orchestration.job_names import NIGHT
from mmsra_pipeline.orchestration.looking import REQUESTS, answers, look
from mmsra_pipeline.orchestration.outcome import MaterializedAsset


class Daemon(Queue):
    """Answers requests and does a wave each time it is waited for."""

    def tick(self, _seconds=0):
        for request in answers(self.instance):
            self.look(request)
        for request in self.asked()[0]:
            self.run(request)

    def look(self, request):
        options = request.run_config["ops"]["look_at_sources"]["config"]

        @dg.op
        def looks(context: dg.OpExecutionContext):
            tags, _ = look(self.instance, self.paths, self.graph, **options, dry_run=False, say=context.log.info)
            self.instance.add_run_tags(context.run_id, tags)

        @dg.job(name=NIGHT)
        def looking():
            looks()

        looking.execute_in_process(instance=self.instance, tags=dict(request.tags))


@pytest.fixture
def daemon(instance, paths, definitions, monkeypatch):
    daemon = Daemon(instance, paths, definitions)
    monkeypatch.setattr(following, "load_definitions", lambda: definitions)
    monkeypatch.setattr(following.time, "sleep", daemon.tick)
    return daemon


def refreshed(instance, paths, **options):
    return refresh_by_queue(
        instance, paths, **{"dataset": None, "trainings": True, "approve": None, "tell": None} | options
    )


def test_the_queue_does_the_work_and_the_terminal_says_what_came_of_it(daemon, instance, paths, shop, caplog):
    caplog.set_level("INFO", logger="mmsra_pipeline")
    plans = []
    outcome = refreshed(instance, paths, tell=plans.append)
    assert [entry.asset for entry in plans[0]] == ["raw_reviews", "interactions"]
    assert outcome.materialized == [MaterializedAsset(name, "shop") for name in ("raw_reviews", "interactions")]
    assert [(entry.asset, entry.outcome) for entry in outcome.assets] == [
        ("raw_reviews", "computed"), ("interactions", "computed"),
    ]  # fmt: skip
    assert outcome.failures == []
    assert "stale: raw_reviews[shop]: was never materialized" in caplog.text
    assert instance.get_dynamic_partitions(REQUESTS) == []
    again = refreshed(instance, paths)
    assert (again.stale, again.materialized, again.failures) == ([], [], [])


def test_a_wave_that_fails_is_reported_with_its_reason(daemon, instance, paths, shop):
    shop.write_text("user_id\nbroken\n")
    [failure] = refreshed(instance, paths).failures
    assert failure.text == "raw_reviews: interactions.csv, line 2: column item_id is missing. Add it."


def test_a_terminal_that_is_left_says_how_to_follow_and_to_cancel_and_ends_no_run(
    daemon, instance, paths, shop, caplog, monkeypatch
):
    def left(_seconds):
        if instance.get_runs(dg.RunsFilter(job_name=NIGHT)):
            raise KeyboardInterrupt
        for request in answers(instance):
            daemon.look(request)

    monkeypatch.setattr(following.time, "sleep", left)
    with pytest.raises(KeyboardInterrupt):
        refreshed(instance, paths)
    assert "left; the queue goes on. To follow: `mmsra refresh` again" in caplog.text
    assert daemon.to_the_end() == [("shop", ["raw_reviews", "interactions"])]


def test_where_renewals_are_not_approved_nothing_is_asked_for(daemon, instance, paths, shop, monkeypatch):
    def refuse(_renewals, _approve):
        raise ConfigError("not now")

    monkeypatch.setattr(following, "check_approved", refuse)
    with pytest.raises(ConfigError, match="not now"):
        refreshed(instance, paths, approve=lambda _renewals: False)
    assert instance.get_dynamic_partitions(REQUESTS) == []


def test_a_daemon_is_known_by_young_signs_of_life_of_the_sensors_and_of_the_queue(instance, monkeypatch):
    class Beat:
        def __init__(self, age):
            self.timestamp = time.time() - age

    def beats(**ages):
        monkeypatch.setattr(instance, "get_daemon_heartbeats", lambda: {name: Beat(age) for name, age in ages.items()})
        return daemon_runs(instance)

    assert not daemon_runs(instance)
    assert beats(SENSOR=20, QUEUED_RUN_COORDINATOR=40)
    assert not beats(SENSOR=20, QUEUED_RUN_COORDINATOR=90)
    assert not beats(SENSOR=20)
