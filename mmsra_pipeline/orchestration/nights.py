"""A night: one look at all data sets, and then, data set by data set, wave after wave in Dagster's queue.

A night begins with a run of the job `catalog_refresh`, started by the schedule, in the launchpad or by `mmsra refresh`.
It observes the sources and computes nothing. Then a sensor asks again and again what each data set of an open night
needs next. All that is known of a night is in tags of its runs, so nothing is lost with a daemon that is killed: the
next question has the right answer.
"""

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.config.operation import AutomationConfig
from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.job_names import COSTLY, EVERYTHING, NIGHT
from mmsra_pipeline.orchestration.refresh_report import DatasetRefresh
from mmsra_pipeline.orchestration.run_results import RunResult, result_of
from mmsra_pipeline.orchestration.staleness import AssetGraph, Stale, codes_of
from mmsra_pipeline.orchestration.step_processes import PARTITION_TAG
from mmsra_pipeline.orchestration.waves import Waves
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.paths import Paths

STATE_TAG: Final = "mmsra/night_state"  # of the run that looked: open, done
DATASETS_TAG: Final = "mmsra/datasets"  # of the same: the data sets whose source it observed
CODE_TAG: Final = "mmsra/code"  # of the same: the code versions that it saw
ENDED_TAG: Final = "mmsra/ended"  # of the same: what became of data sets that are through
TRAININGS_TAG: Final = "mmsra/trainings"
NIGHT_TAG: Final = "mmsra/night"  # of the run of a wave: the run that looked
WAVE_TAG: Final = "mmsra/wave"
KEY_TAG: Final = "mmsra/wave_key"
TRY_TAG: Final = "mmsra/try"
STALE_TAG: Final = "mmsra/stale"  # of the same: what was stale before it, and why
OPEN, DONE = "open", "done"
LATER, FAILED = "a later night goes on with it", "failed"
MOST_WAVES: Final = 60  # of a data set in a night; there are fewer assets, so something never settles
WAITING: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]
UNFINISHED: Final = [*WAITING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
PATIENCE: Final = 20.0  # seconds of one evaluation; Dagster gives a sensor 60
OTHER_CODE: Final = (
    "code or settings were changed since Dagster's code server was started, so it cannot say what is stale. Reload the "
    "definitions in the UI (Deployment), or start `mmsra ui` again; the night goes on then."
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Night:
    """A night that has looked and is not over."""

    run_id: str
    at: datetime
    datasets: tuple[str, ...]
    ended: dict[str, str]
    code: str
    trainings: bool


def open_nights(instance: dg.DagsterInstance) -> list[Night]:
    """Return the nights that have looked and are not over, oldest first."""
    wanted = dg.RunsFilter(job_name=NIGHT, tags={STATE_TAG: OPEN})
    return [_night(record) for record in reversed(instance.get_run_records(wanted)) if record.dagster_run.is_finished]


def night_of(instance: dg.DagsterInstance, run_id: str) -> Night | None:
    """Return a night by the run that looked; None while it has not."""
    [record] = instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
    return _night(record) if DATASETS_TAG in record.dagster_run.tags else None


def _night(record: dg.RunRecord) -> Night:
    tags = record.dagster_run.tags
    return Night(
        record.dagster_run.run_id,
        record.create_timestamp.astimezone(UTC).replace(microsecond=0),
        tuple(json.loads(tags[DATASETS_TAG])),
        json.loads(tags.get(ENDED_TAG, "{}")),
        tags.get(CODE_TAG, ""),
        tags.get(TRAININGS_TAG) == "true",
    )


def tags_of_a_look(graph: AssetGraph, datasets: list[str], *, trainings: bool) -> dict[str, str]:
    """Return the tags by which a run that has observed the sources of these data sets opens a night."""
    return {
        STATE_TAG: OPEN if datasets else DONE,
        DATASETS_TAG: json.dumps(datasets),
        CODE_TAG: fingerprint(codes_of(graph)),
        TRAININGS_TAG: str(trainings).lower(),
    }


class Nights:
    """Goes on with the nights that are open."""

    def __init__(
        self, instance: dg.DagsterInstance, paths: Paths, graph: AssetGraph, settings: AutomationConfig
    ) -> None:
        self._instance = instance
        self._paths = paths
        self._graph = graph
        self._settings = settings

    def next_runs(self) -> tuple[list[dg.RunRequest], list[str]]:
        """Return the next wave of each data set that has one and is at rest, and remarks; end what is through."""
        requests, remarks, begun = [], [], time.monotonic()
        nights = open_nights(self._instance)
        for place, night in enumerate(nights):
            if night.code != fingerprint(codes_of(self._graph)):
                remarks.append(f"night {night.run_id[:8]}: {OTHER_CODE}")
                continue
            for name in night.datasets:
                if name in night.ended or time.monotonic() - begun > PATIENCE:
                    continue
                later = any(name in other.datasets and name not in other.ended for other in nights[place + 1 :])
                found = self._next(night, name, later=later)
                if isinstance(found, dg.RunRequest):
                    requests.append(found)
                else:
                    remarks.append(f"{name}: {found}")
        return requests, remarks

    def will_try_again(self, run: dg.DagsterRun) -> bool:
        """Whether a night makes another try of a wave that failed."""
        tries = int(run.tags.get(TRY_TAG, "1"))
        if NIGHT_TAG not in run.tags or tries > self._settings.retries:
            return False
        result = result_of(self._instance, run.run_id, run.tags.get(PARTITION_TAG, ""))
        return any(failure.may_pass for failure in result.failures)

    def _next(self, night: Night, name: str, *, later: bool) -> dg.RunRequest | str:
        """Return the next run of a data set, or what there is to say; ``later``: another night has it too."""
        busy = self._instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: name}, statuses=UNFINISHED), limit=1)
        if busy:
            return f"waits for run {busy[0].run_id[:8]} of {busy[0].job_name}"
        records = waves_of(self._instance, night.run_id, name)
        if later:
            return self._end(night, name, records, LATER)
        last = records[-1] if records else None
        tries = 1
        if last is not None and last.dagster_run.status != dg.DagsterRunStatus.SUCCESS:
            if not self.will_try_again(last.dagster_run):
                return self._end(night, name, records, FAILED)
            tries = int(last.dagster_run.tags.get(TRY_TAG, "1")) + 1
            wait = self._settings.retry_seconds * 2 ** (tries - 2) - (time.time() - (last.end_time or 0.0))
            if wait > 0:
                return f"wave {last.dagster_run.tags[WAVE_TAG]} failed and is tried again in {wait:.0f} s"
        waves = self._waves(night)
        stale = waves.stale(name)
        wave = waves.next(stale)
        if not wave:
            return self._end(night, name, records, "is up to date")
        key = waves.key(name, wave)
        again = tries == 1 and last is not None and last.dagster_run.tags[KEY_TAG] == key
        if again or len(records) >= MOST_WAVES:
            return self._end(night, name, records, "is stale as before, though its last wave was computed")
        waves.pin(name)
        number = len({record.dagster_run.tags[WAVE_TAG] for record in records}) + (tries == 1)
        return dg.RunRequest(
            run_key=f"{night.run_id} {key} {tries}",
            job_name=EVERYTHING,
            partition_key=name,
            asset_selection=[dg.AssetKey(entry.asset) for entry in wave],
            tags={
                NIGHT_TAG: night.run_id,
                WAVE_TAG: str(number),
                KEY_TAG: key,
                TRY_TAG: str(tries),
                STALE_TAG: _packed(stale),
            },
        )

    def _end(self, night: Night, name: str, records: list[dg.RunRecord], why: str) -> str:
        """Report what the night did with a data set, then note that it is through; a kill between reports it again."""
        if records or why != LATER:
            self._waves(night).report(summary_of(self._instance, night, name, records))
        # Read anew: this very evaluation may have ended other data sets.
        now = night_of(self._instance, night.run_id) or night
        ended = {**now.ended, name: why}
        state = DONE if set(ended) >= set(night.datasets) else OPEN
        self._instance.add_run_tags(night.run_id, {ENDED_TAG: json.dumps(ended), STATE_TAG: state})
        logger.info("night %s: %s %s", night.run_id[:8], name, why)
        return why

    def _waves(self, night: Night) -> Waves:
        return Waves(self._instance, self._paths, self._graph, () if night.trainings else COSTLY)


def waves_of(instance: dg.DagsterInstance, night: str, dataset: str) -> list[dg.RunRecord]:
    """Return the runs of a night for a data set, oldest first."""
    return list(reversed(instance.get_run_records(dg.RunsFilter(tags={NIGHT_TAG: night, PARTITION_TAG: dataset}))))


def summary_of(instance: dg.DagsterInstance, night: Night, dataset: str, records: list[dg.RunRecord]) -> DatasetRefresh:
    """Return what a night found and did with a data set, by its runs alone."""
    summary = DatasetRefresh(dataset, night.at)
    for record in records:
        run = record.dagster_run
        summary.note(_unpacked(run.tags[STALE_TAG], dataset))
        result = result_of(instance, run.run_id, dataset)
        summary.failed = {}  # an earlier try's
        summary.before = dict(_before(instance, result, dataset)) | summary.before
        summary.end(result)
    return summary


def failures_of_night(instance: dg.DagsterInstance, night: str, dataset: str) -> list[Failure]:
    """Return why a night did not bring a data set up to date."""
    records = waves_of(instance, night, dataset)
    return result_of(instance, records[-1].dagster_run.run_id, dataset).failures if records else []


def _before(instance: dg.DagsterInstance, result: RunResult, dataset: str) -> Iterator[tuple[str, Any]]:
    from mmsra_pipeline.orchestration.materializations import last

    for entry in result.materialized:
        events = last(instance, entry.asset, dataset, 10)
        older = [event for place, event in enumerate(events) if place and events[place - 1].run_id == result.run_id]
        yield entry.asset, older[0] if older else None


def _packed(stale: list[Stale]) -> str:
    return json.dumps({entry.asset: [entry.certain, *entry.reasons] for entry in stale})


def _unpacked(packed: str, dataset: str) -> list[Stale]:
    return [Stale(asset, dataset, tuple(reasons), certain) for asset, (certain, *reasons) in json.loads(packed).items()]
