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
from mmsra_pipeline.definitions import defs
from mmsra_pipeline.defs import automation
from mmsra_pipeline.defs.automation import alert_on_failure, new_datasets, refresh_job, refresh_schedule
from mmsra_pipeline.errors import NoSpaceError, StorageError
from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.looking import Request
from mmsra_pipeline.orchestration.nights import NIGHT_TAG, STATE_TAG, TRY_TAG


class Look:
    """Runs the job with which a night begins, with a look that gives, or raises, what the test says each time."""

    def __init__(self, monkeypatch):
        self.results, self.asked = [], []
        monkeypatch.setattr(automation, "look", self.look)

    def look(self, _instance, _paths, _graph, *, say, **options):
        self.asked.append(options)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        say("shop: nothing is stale")
        return result

    def run(self, instance, *results, retries=0, **options):
        self.results = list(results)
        job = refresh_job(AutomationConfig(retries=retries, retry_seconds=1))
        config = {"ops": {"look_at_sources": {"config": options}}} if options else None
        return job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)


@pytest.fixture
def look(monkeypatch, paths):
    return Look(monkeypatch)


def lines(result, instance):
    return [entry.user_message for entry in instance.all_logs(result.run_id) if entry.dagster_event is None]


def failure_text(result):
    [event] = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.error.to_string()


def test_a_night_says_what_it_saw_leaves_trainings_out_and_is_opened_by_tags_of_its_run(look, instance):
    result = look.run(instance, ({STATE_TAG: "open"}, []))
    assert lines(result, instance) == ["shop: nothing is stale"]
    assert look.asked == [{"dataset": "", "trainings": False, "dry_run": False}]
    assert instance.get_run_by_id(result.run_id).tags[STATE_TAG] == "open"


def test_a_run_from_the_launchpad_chooses_data_set_trainings_and_dry_run(look, instance):
    chosen = {"dataset": "shop", "trainings": True, "dry_run": True}
    assert look.run(instance, ({}, []), **chosen).success
    assert look.asked == [chosen]


def test_the_launchpad_refuses_an_option_that_there_is_not(look, instance):
    with pytest.raises(dg.DagsterInvalidConfigError, match='unexpected config entry "preset"'):
        look.run(instance, preset="paper")


def test_a_data_set_that_cannot_be_read_fails_the_run_at_once_and_the_night_is_open_for_the_others(look, instance):
    failed = look.run(instance, ({STATE_TAG: "open"}, [Failure("tea", "column item_id is missing")]), retries=2)
    assert not failed.success
    assert "dataset tea: column item_id is missing" in failure_text(failed)
    assert instance.get_run_by_id(failed.run_id).tags[STATE_TAG] == "open"
    assert len(look.asked) == 1


@pytest.mark.parametrize("error", [OSError("database is locked"), StorageError("the store does not answer")])
def test_an_error_that_nobody_foresaw_or_that_passes_is_tried_again_as_often_as_set(error, look, instance):
    assert look.run(instance, error, ({}, []), retries=1).success
    assert not look.run(instance, error, error, ({}, []), retries=1).success
    assert len(look.results) == 1


def test_what_a_user_must_fix_fails_at_once_with_its_text(look, instance):
    failed = look.run(instance, NoSpaceError("a refresh needs 2 GB"), ({}, []), retries=2)
    assert not failed.success
    assert len(look.results) == 1
    assert "a refresh needs 2 GB" in failure_text(failed)


def test_the_sensor_of_waves_asks_for_runs_and_says_what_waits(instance, monkeypatch, paths):
    class Asked:
        def __init__(self, *_):
            pass

        def next_runs(self):
            return requests, ["tea: waits for run 1234 of everything"]

    assert (
        automation.waves(dg.build_sensor_context(instance=instance, definitions=defs())).skip_message
        == "no night is open"
    )
    monkeypatch.setattr(automation, "Nights", Asked)
    monkeypatch.setattr(automation, "open_nights", lambda _instance: ["one"])
    context = dg.build_sensor_context(instance=instance, definitions=defs())
    requests = []
    assert automation.waves(context).skip_message == "tea: waits for run 1234 of everything"
    requests.append(dg.RunRequest(run_key="1", job_name="everything"))
    assert automation.waves(context).run_requests == requests


def test_the_sensor_of_waves_starts_a_look_for_a_terminal_that_asks(instance, paths):
    request = Request("shop", trainings=True).leave(instance)
    repository = defs().get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository)
    [run] = automation.waves.evaluate_tick(context).run_requests
    assert (run.job_name, run.tags["mmsra/request"]) == ("catalog_refresh", request.id)
    job = repository.get_job("catalog_refresh")
    assert dg.validate_run_config(job, run.run_config)["ops"]["look_at_sources"]["config"]["dataset"] == "shop"


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
        "waves",
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
def alert_file(paths, tmp_path, monkeypatch):
    """The file that an alert command writes."""
    file = tmp_path / "alert.json"
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


def test_a_failed_run_is_reported_with_its_reason(alert_file, instance, paths):
    run_id, _ = alert(instance)
    message = json.loads(alert_file.read_text())
    assert message["errors"][0].startswith("breaks: KeyError: 'bug'")
    del message["errors"]
    assert message == {
        "what": "run failed", "job": "broken", "dataset": "shop", "run_id": run_id, "root": str(paths.root),
        "owner": "team:recommendations",
    }  # fmt: skip


def test_a_run_that_is_tried_again_is_not_reported(alert_file, instance):
    alert(instance, **{"dagster/will_retry": "true"})
    assert not alert_file.exists()


def test_a_wave_that_its_night_tries_again_is_reported_the_last_time_only(alert_file, instance):
    alert(instance, **{NIGHT_TAG: "n", TRY_TAG: "1"})
    assert not alert_file.exists()
    alert(instance, **{NIGHT_TAG: "n", TRY_TAG: "3"})
    assert alert_file.exists()


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
