"""What runs by itself: when it is on, what it says, what it tries again, and whom it tells."""

import json
import os
import subprocess
import sys

import dagster as dg
import pytest
from orchestration.small_graph import add_shop

from mmsra_pipeline.config.operation import AutomationConfig
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.defs import automation
from mmsra_pipeline.defs.automation import alert_on_failure, new_datasets, refresh_job, refresh_schedule
from mmsra_pipeline.errors import NoSpaceError, StorageError
from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.instance import RefreshBusyError
from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.orchestration.outcome import MaterializedAsset, Outcome
from mmsra_pipeline.orchestration.staleness import Stale


class Night:
    """Runs the nightly job with a refresh that gives, or raises, what the test says, each time the next."""

    def __init__(self, monkeypatch, paths):
        self.left_out, self.results, self.asked = [], [], []
        monkeypatch.setattr("mmsra_pipeline.orchestration.refresh.refresh", self.refresh)

    def refresh(self, instance, paths, *, dataset, dry_run, leave_out):
        self.left_out.append(leave_out)
        self.asked.append((dataset, dry_run))
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def run(self, *results, retries=0):
        self.results = list(results)
        job = refresh_job(AutomationConfig(retries=retries, retry_seconds=1))
        return job.execute_in_process(raise_on_error=False)


@pytest.fixture
def night(monkeypatch, paths):
    return Night(monkeypatch, paths)


def lines(result, instance):
    return [entry.user_message for entry in instance.all_logs(result.run_id) if entry.dagster_event is None]


def failure_text(result):
    [event] = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.error.to_string()


def test_a_night_with_nothing_to_do_leaves_one_line_and_trainings_are_left_out(night, instance):
    job = refresh_job(AutomationConfig(retries=0))
    night.results = [Outcome()]
    result = job.execute_in_process(instance=instance)
    assert lines(result, instance) == ["nothing was stale"]
    assert night.left_out == [frozenset(COSTLY)]


def test_a_run_from_the_launchpad_chooses_data_set_trainings_and_dry_run(night, instance):
    job = refresh_job(AutomationConfig(retries=0))
    night.results = [Outcome(stale=[Stale("recommender", "shop", ("sft_dataset has changed",), certain=True)])]
    chosen = {"dataset": "shop", "trainings": True, "dry_run": True}
    options = {"ops": {"refresh_cheap_part": {"config": chosen}}}
    result = job.execute_in_process(instance=instance, run_config=options)
    assert (night.left_out, night.asked) == ([frozenset()], [("shop", True)])
    assert lines(result, instance) == ["stale: recommender[shop]: sft_dataset has changed"]


def test_the_launchpad_refuses_an_option_that_there_is_not(night, instance):
    options = {"ops": {"refresh_cheap_part": {"config": {"preset": "paper"}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match='unexpected config entry "preset"'):
        refresh_job(AutomationConfig()).execute_in_process(instance=instance, run_config=options)


def test_what_was_made_is_said(night, instance):
    stale = Stale("item_text", "shop", ("source_files has changed",), certain=True)
    night.results = [Outcome(stale=[stale], materialized=[MaterializedAsset("item_text", "shop")])]
    result = refresh_job(AutomationConfig(retries=0)).execute_in_process(instance=instance)
    assert lines(result, instance) == ["materialized: item_text[shop]"]


def test_a_night_that_finds_another_refresh_at_work_says_so_and_ends_well(night, instance):
    night.results = [RefreshBusyError("another refresh is at work in /root")]
    result = refresh_job(AutomationConfig(retries=0)).execute_in_process(instance=instance)
    assert result.success
    assert lines(result, instance) == ["skipped: another refresh is at work in /root"]


def test_what_may_pass_is_tried_again_and_no_more_often_than_set(night):
    passing = Outcome(failures=[Failure("shop", "item_images: OSError: reset", may_pass=True)])
    assert night.run(passing, Outcome(), retries=1).success
    assert len(night.left_out) == 2
    assert not night.run(passing, passing, Outcome(), retries=1).success
    assert len(night.results) == 1


@pytest.mark.parametrize("error", [OSError("database is locked"), StorageError("the store does not answer")])
def test_an_error_that_nobody_foresaw_or_that_passes_is_tried_again(error, night):
    assert night.run(error, Outcome(), retries=1).success


@pytest.mark.parametrize(
    "result",
    [
        Outcome(failures=[Failure("shop", "raw_reviews: column item_id is missing")]),
        NoSpaceError("a refresh needs 2 GB"),
    ],
)
def test_what_a_user_must_mend_fails_at_once_with_its_text(night, result):
    failed = night.run(result, Outcome(), retries=2)
    assert not failed.success
    assert len(night.results) == 1
    expected = "a refresh needs 2 GB" if isinstance(result, Exception) else "dataset shop: raw_reviews: column item_id"
    assert expected in failure_text(failed)


def test_the_schedule_takes_hour_zone_and_switch_from_the_settings():
    settings = AutomationConfig(enabled=True, cron="30 4 * * 1", timezone="Europe/Berlin")
    schedule = refresh_schedule(settings, refresh_job(settings))
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 4 * * 1", "Europe/Berlin")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_night_that_is_not_over_is_not_started_again(instance):
    job = refresh_job(AutomationConfig())
    schedule = refresh_schedule(AutomationConfig(), job)

    def tick():
        return schedule.evaluate_tick(dg.build_schedule_context(instance=instance))

    assert len(tick().run_requests) == 1
    running = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert tick().run_requests == []
    assert tick().skip_message == f"catalog_refresh of run {running.run_id} has not ended yet"
    instance.report_run_failed(running)
    assert len(tick().run_requests) == 1


def test_one_switch_turns_all_on(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("automation: {enabled: true}\n")
    script = (
        "import json\n"
        "from mmsra_pipeline.definitions import defs\n"
        "repository = defs().get_repository_def()\n"
        "found = [*repository.sensor_defs, *repository.schedule_defs]\n"
        "print(json.dumps({entry.name: entry.default_status.value for entry in found}))\n"
    )
    environment = os.environ | {"MMSRA_CONFIG": str(settings)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    names = (
        "abandoned_runs",
        "alert_on_failure",
        "catalog_refresh",
        "dead_workers",
        "new_datasets",
        "retrain_when_due",
    )
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(names, "RUNNING")


@pytest.mark.parametrize(
    "wrong",
    [{"timezone": "Mars/Olympus"}, {"cron": "every night"}, {"alert": {"webhook": "ftp://somewhere"}}, {"owner": "us"}],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValueError, match="automation"):
        Config.model_validate({"automation": wrong})


def test_a_dataset_file_written_by_hand_becomes_a_partition(instance, paths):
    add_shop(paths, "shop")
    [request] = new_datasets(dg.build_sensor_context(instance=instance)).dynamic_partitions_requests
    assert list(request.partition_keys) == ["shop"]
    instance.add_dynamic_partitions("dataset", ["shop"])
    assert isinstance(new_datasets(dg.build_sensor_context(instance=instance)), dg.SkipReason)


@dg.op
def breaks():
    raise KeyError("bug")


@dg.job(tags={"dagster/partition": "shop"})
def broken():
    breaks()


@pytest.fixture
def told(paths, tmp_path, monkeypatch):
    """The file that an alert command writes."""
    file = tmp_path / "told.json"
    command = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", str(file)]
    settings = Config.model_validate({"automation": {"alert": {"command": command}}})
    monkeypatch.setattr(automation, "loaded_config", lambda: settings)
    return file


def alert(instance, **tags):
    result = broken.execute_in_process(instance=instance, raise_on_error=False)
    instance.add_run_tags(result.run_id, tags)
    [event] = [event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE"]
    context = dg.build_run_status_sensor_context(
        "alert", dagster_event=event, dagster_instance=instance, dagster_run=instance.get_run_by_id(result.run_id)
    )
    return result.run_id, alert_on_failure(context.for_run_failure())


def test_a_failed_run_is_told_with_its_reason(told, instance, paths):
    run_id, _ = alert(instance)
    message = json.loads(told.read_text())
    assert message["errors"][0].startswith("breaks: KeyError: 'bug'")
    del message["errors"]
    assert message == {
        "what": "run failed", "job": "broken", "dataset": "shop", "run_id": run_id, "root": str(paths.root),
        "owner": "team:recommendations",
    }  # fmt: skip


def test_a_run_that_is_tried_again_is_not_told(told, instance):
    alert(instance, **{"dagster/will_retry": "true"})
    assert not told.exists()


def test_an_alert_that_fails_fails_nothing(instance, paths, monkeypatch):
    settings = Config.model_validate({"automation": {"alert": {"command": ["no-such-program"]}}})
    monkeypatch.setattr(automation, "loaded_config", lambda: settings)
    alert(instance)


KILLED = """
import os, dagster as dg
@dg.op
def dies(): os.kill(os.getpid(), 9)
@dg.job(executor_def=dg.in_process_executor)
def doomed(): dies()
with dg.DagsterInstance.get() as instance: doomed.execute_in_process(instance=instance)
"""


def test_a_run_whose_process_is_gone_is_marked_as_failed_and_one_at_work_is_not(instance, paths):
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, check=False)
    assert done.returncode == -9
    [killed] = instance.get_runs()
    assert killed.status == dg.DagsterRunStatus.STARTED

    @dg.op
    def looks():
        return automation.abandoned_runs(dg.build_sensor_context(instance=instance)).skip_message

    @dg.job(executor_def=dg.in_process_executor)
    def at_work():
        looks()

    result = at_work.execute_in_process(instance=instance)
    assert result.success
    assert result.output_for_node("looks") == f"marked as failed: {killed.run_id}"
    assert instance.get_run_by_id(killed.run_id).status == dg.DagsterRunStatus.FAILURE


def test_slots_of_pools_that_dead_runs_hold_are_freed(instance, paths):
    storage = instance.event_log_storage
    storage.set_concurrency_slots("device", 1)
    storage.claim_concurrency_slot("device", "a run that is no more", "step")
    assert storage.get_concurrency_info("device").active_slot_count == 1
    automation.abandoned_runs(dg.build_sensor_context(instance=instance))
    assert storage.get_concurrency_info("device").active_slot_count == 0
