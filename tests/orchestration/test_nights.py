"""Nights on a real instance and store with two small assets, each run of the queue done here, one by one."""

import time

import dagster as dg
import pytest
from orchestration.small_graph import add_shop

from mmsra_pipeline.config.operation import AutomationConfig
from mmsra_pipeline.orchestration.job_names import NIGHT
from mmsra_pipeline.orchestration.looking import Request, answers, look
from mmsra_pipeline.orchestration.nights import NIGHT_TAG, STATE_TAG, TRY_TAG, WAVE_TAG, Nights, open_nights
from mmsra_pipeline.orchestration.step_processes import PARTITION_TAG
from mmsra_pipeline.storage.tables import Store

MORE = "user_id,item_id\nu1,i1\nu2,i2\n"


class Queue:
    """Does what the schedule, the sensor and the queue do."""

    def __init__(self, instance, paths, definitions):
        self.instance, self.paths, self.definitions = instance, paths, definitions
        self.graph = definitions.resolve_asset_graph()
        self.job = definitions.resolve_job_def("everything")
        self.settings = AutomationConfig(retries=1, retry_seconds=1)

    def begin(self, **options):
        """Run the job that looks, and give its id and what it said."""
        lines, chosen = [], {"dataset": "", "trainings": False, "dry_run": False} | options

        @dg.op
        def looks(context: dg.OpExecutionContext):
            tags, failures = look(self.instance, self.paths, self.graph, **chosen, say=lines.append)
            self.instance.add_run_tags(context.run_id, tags)
            if failures:
                raise dg.Failure(failures[0].text)

        @dg.job(name=NIGHT)
        def looking():
            looks()

        return looking.execute_in_process(instance=self.instance, raise_on_error=False).run_id, lines

    def asked(self):
        """Evaluate the sensor."""
        return Nights(self.instance, self.paths, self.graph, self.settings).next_runs()

    def run(self, request, status=None):
        """Do a run that was asked for; or leave it with a status, as a queue or a kill would."""
        tags = {**request.tags, PARTITION_TAG: request.partition_key}
        if status:
            run = self.instance.create_run_for_job(self.job, tags=tags, status=status)
            return run.run_id
        return self.job.execute_in_process(
            instance=self.instance, partition_key=request.partition_key, asset_selection=request.asset_selection,
            tags=dict(request.tags), raise_on_error=False,
        ).run_id  # fmt: skip

    def to_the_end(self):
        """Evaluate and run until nothing is asked for; give the assets of each run."""
        done = []
        while requests := self.asked()[0]:
            for request in requests:
                self.run(request)
                done.append((request.partition_key, [key.to_user_string() for key in request.asset_selection]))
        return done


@pytest.fixture
def queue(instance, paths, definitions):
    return Queue(instance, paths, definitions)


def state(instance, run_id):
    return instance.get_run_by_id(run_id).tags.get(STATE_TAG)


def rows(paths, name="shop"):
    report = Store(paths.data).read("refresh_report", name)
    return [(row.asset, row.outcome) for row in report.itertuples()]


def test_a_night_computes_wave_after_wave_and_the_next_one_finds_nothing(queue, instance, paths, shop):
    night, said = queue.begin()
    assert said[0] == "stale: raw_reviews[shop]: was never materialized"
    assert queue.to_the_end() == [("shop", ["raw_reviews", "interactions"])]
    assert state(instance, night) == "done"
    assert rows(paths) == [("raw_reviews", "changed"), ("interactions", "changed")]

    quiet, said = queue.begin()
    assert (said, queue.to_the_end()) == (["shop: nothing is stale"], [])
    assert state(instance, quiet) == "done"
    assert rows(paths)[0] == ("(all)", "fresh")

    shop.write_text(MORE)
    queue.begin()
    assert queue.to_the_end() == [("shop", ["raw_reviews"]), ("shop", ["interactions"])]
    assert rows(paths)[:2] == [("raw_reviews", "changed"), ("interactions", "changed")]
    waves = instance.get_runs(dg.RunsFilter(tags={NIGHT_TAG: open_id(instance)}))
    assert [run.tags[WAVE_TAG] for run in waves[::-1]] == ["1", "2"]


def open_id(instance):
    return instance.get_runs(dg.RunsFilter(job_name=NIGHT), limit=1)[0].run_id


def test_an_output_that_comes_out_unchanged_ends_the_night(queue, paths, shop):
    queue.begin()
    queue.to_the_end()
    shop.write_text("user_id,item_id\nu2,i2\n")
    queue.begin()
    assert queue.to_the_end() == [("shop", ["raw_reviews"])]
    assert rows(paths)[:2] == [("raw_reviews", "unchanged"), ("interactions", "cut off")]


def test_a_wave_that_is_in_the_queue_or_at_work_is_waited_for_and_not_asked_for_again(queue, instance, shop):
    queue.begin()
    [request] = queue.asked()[0]
    assert queue.asked()[0][0].run_key == request.run_key  # a tick that was lost asks for the same run
    run_id = queue.run(request, dg.DagsterRunStatus.NOT_STARTED)
    requests, remarks = queue.asked()
    assert (requests, remarks) == ([], [f"shop: waits for run {run_id[:8]} of everything"])


def test_a_wave_whose_process_was_killed_is_tried_again_as_often_as_set_and_then_by_the_next_night(
    queue, instance, paths, shop
):
    night, _ = queue.begin()
    keys = []
    for number in ("1", "2"):
        [request] = wait_until_asked(queue)
        assert (request.tags[TRY_TAG], request.tags[WAVE_TAG]) == (number, "1")
        keys.append(request.run_key)
        killed = instance.get_run_by_id(queue.run(request, dg.DagsterRunStatus.STARTED))
        assert queue.asked()[0] == []
        instance.report_run_failed(killed)
    assert len(set(keys)) == 2
    assert queue.asked() == ([], ["shop: failed"])
    assert state(instance, night) == "done"
    queue.begin()
    assert queue.to_the_end() == [("shop", ["raw_reviews", "interactions"])]


def wait_until_asked(queue):

    for _ in range(60):
        if requests := queue.asked()[0]:
            return requests
        time.sleep(0.1)
    raise TimeoutError(queue.asked())


def test_what_a_user_must_fix_is_not_tried_again_and_other_data_sets_go_on(queue, instance, paths, shop):
    add_shop(paths, "broken", "user_id\nbroken\n")
    night, _ = queue.begin()
    assert sorted(queue.to_the_end()) == [(name, ["raw_reviews", "interactions"]) for name in ("broken", "shop")]
    assert state(instance, night) == "done"
    assert rows(paths, "broken") == [("raw_reviews", "failed"), ("interactions", "not reached")]
    assert rows(paths) == [("raw_reviews", "changed"), ("interactions", "changed")]


def test_a_data_set_that_cannot_be_read_fails_the_look_and_the_others_are_computed(queue, instance, paths, shop):
    add_shop(paths, "gone").unlink()
    night, _ = queue.begin()
    assert instance.get_run_by_id(night).status == dg.DagsterRunStatus.FAILURE
    assert queue.to_the_end() == [("shop", ["raw_reviews", "interactions"])]
    assert rows(paths, "gone") == [("source_files", "failed")]


def test_two_nights_at_once_compute_nothing_twice_and_the_later_goes_on(queue, instance, paths, shop):
    first, _ = queue.begin()
    [request] = queue.asked()[0]
    at_work = queue.run(request, dg.DagsterRunStatus.STARTED)
    second, _ = queue.begin()
    assert queue.asked()[0] == []
    instance.report_run_failed(instance.get_run_by_id(at_work))
    assert queue.to_the_end() == [("shop", ["raw_reviews", "interactions"])]
    assert [state(instance, night) for night in (first, second)] == ["done", "done"]


def test_a_change_between_two_waves_is_computed_and_one_that_no_night_saw_the_next_time(queue, paths, shop):
    queue.begin()
    queue.to_the_end()
    shop.write_text(MORE)  # and the night that looks is lost with all that Dagster's sensors knew
    queue.begin(dry_run=True)
    queue.begin()
    assert queue.to_the_end() == [("shop", ["raw_reviews"]), ("shop", ["interactions"])]


def test_a_dry_run_says_what_is_stale_and_opens_no_night(queue, instance, paths, shop):
    _, said = queue.begin(dry_run=True)
    assert [line.split(":")[0] for line in said] == ["stale", "stale"]
    assert open_nights(instance) == []
    assert not Store(paths.data).has("refresh_report", "shop")


def test_one_data_set_can_be_chosen(queue, paths, shop):
    add_shop(paths, "tea")
    queue.begin(dataset="tea")
    assert queue.to_the_end() == [("tea", ["raw_reviews", "interactions"])]


def test_where_the_code_server_has_other_code_it_says_so_and_asks_for_nothing(queue, instance, shop, monkeypatch):
    night, _ = queue.begin()
    instance.add_run_tags(night, {"mmsra/code": "of another release"})
    requests, [remark] = queue.asked()
    assert requests == []
    assert "Reload the definitions" in remark
    assert state(instance, night) == "open"


def test_a_request_of_a_terminal_is_answered_once(instance):
    request = Request("shop", trainings=True).leave(instance)
    [run] = answers(instance)
    assert run.run_config["ops"]["look_at_sources"]["config"] == {"dataset": "shop", "trainings": True}
    assert answers(instance)[0].run_key == run.run_key

    @dg.job(name=NIGHT)
    def looking():
        pass

    run_of_terminal = instance.create_run_for_job(looking, tags=run.tags)
    assert answers(instance) == []
    assert instance.get_dynamic_partitions("mmsra_refresh_requests") == []
    assert request.run(instance).run_id == run_of_terminal.run_id
