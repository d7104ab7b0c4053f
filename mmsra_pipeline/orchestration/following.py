"""`mmsra refresh` where Dagster's daemon runs: the queue does the work, the terminal follows.

Whoever ends the terminal ends no run.
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import Final

import dagster as dg

from mmsra_pipeline.config.datasets import list_datasets, load_dataset
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.job_names import COSTLY
from mmsra_pipeline.orchestration.loading import load_definitions
from mmsra_pipeline.orchestration.looking import Request
from mmsra_pipeline.orchestration.nights import (
    FAILED,
    OTHER_CODE,
    Night,
    failures_of_night,
    night_of,
    waves_of,
)
from mmsra_pipeline.orchestration.outcome import Outcome, Planned, asset_outcomes
from mmsra_pipeline.orchestration.refresh import add_partitions
from mmsra_pipeline.orchestration.renewals import Approve, check_approved, renewals
from mmsra_pipeline.orchestration.run_results import result_of
from mmsra_pipeline.orchestration.settings_read import dataset_config
from mmsra_pipeline.orchestration.staleness import codes_of
from mmsra_pipeline.orchestration.waves import Waves
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.paths import Paths

DAEMONS: Final = ("SENSOR", "QUEUED_RUN_COORDINATOR")
BEAT_SECONDS: Final = 75.0  # they give a sign every 30 s
POLL_SECONDS: Final = 2.0
QUIET_SECONDS: Final = 120.0  # without an event, after which it is said what may be wrong
logger = logging.getLogger(__name__)


def daemon_runs(instance: dg.DagsterInstance) -> bool:
    """Whether Dagster's daemon is at work on this instance, by the signs of life that it leaves there."""
    beats = instance.get_daemon_heartbeats()
    return all(name in beats and time.time() - beats[name].timestamp < BEAT_SECONDS for name in DAEMONS)


def refresh_by_queue(
    instance: dg.DagsterInstance,
    paths: Paths,
    *,
    dataset: str | None,
    trainings: bool,
    approve: Approve | None,
    tell: Callable[[list[Planned]], None] | None,
) -> Outcome:
    """Have the queue bring one data set or all up to date, and follow until that is done.

    Args: as of ``refresh``.

    Raises:
        ConfigError: if ``dataset`` is not described, or ``approve`` says no.
        MmsraError: if the run that looks fails as a whole.
    """
    names = [load_dataset(paths.datasets, dataset).name] if dataset else list_datasets(paths.datasets)
    add_partitions(instance, names)
    graph = load_definitions().resolve_asset_graph()
    waves, outcome = Waves(instance, paths, graph, () if trainings else COSTLY), Outcome()
    for name in names:
        summary, failures = waves.examine(name)
        outcome.failures += failures
        outcome.stale += summary.stale.values()
    outcome.plan = waves.planned(outcome.stale)
    if tell and outcome.plan:
        tell(outcome.plan)
    if approve:
        check_approved(renewals(instance, outcome.stale, functools.partial(dataset_config, paths)), approve)
    request = Request(dataset or "", trainings).leave(instance)
    logger.info("Dagster's daemon runs, so its queue does the work; this terminal follows (Ctrl-C leaves it going)")
    night = _Following(instance, request, fingerprint(codes_of(graph))).to_the_end()
    for name in night.datasets:
        for record in waves_of(instance, night.run_id, name):
            result = result_of(instance, record.dagster_run.run_id, name)
            outcome.materialized += result.materialized
            outcome.failed_checks += result.failed_checks
        if night.ended.get(name) == FAILED:
            outcome.failures += failures_of_night(instance, night.run_id, name)
        outcome.assets += asset_outcomes(name, _rows(paths, night, name))
    return outcome


class _Following:
    def __init__(self, instance: dg.DagsterInstance, request: Request, code: str) -> None:
        self._instance = instance
        self._request = request
        self._code = code
        self._seen: dict[str, str | None] = {}
        self._heard = time.monotonic()

    def to_the_end(self) -> Night:
        """Say what happens until the night is over; a terminal that is left leaves it going."""
        night: Night | None = None
        try:
            while night is None or set(night.ended) < set(night.datasets):
                time.sleep(POLL_SECONDS)
                night = self._look(night)
        except KeyboardInterrupt:
            logger.warning(
                "left; the queue goes on. To follow: `mmsra refresh` again, or `mmsra ui`. To cancel: the runs with "
                "the tag mmsra/night=%s in the UI%s",
                night.run_id if night else "(not begun yet)",
                "" if night else f", or those with mmsra/request={self._request.id}",
            )
            raise
        return night

    def _look(self, night: Night | None) -> Night | None:
        if night is None:
            run = self._request.run(self._instance)
            if run is not None:
                self._tell(run)
                night = night_of(self._instance, run.run_id) if run.is_finished else None
                if run.is_finished and night is None:
                    raise MmsraError(f"the run that looks, {run.run_id}, ended without a result; its log says why")
        else:
            for name in night.datasets:
                for record in waves_of(self._instance, night.run_id, name):
                    self._tell(record.dagster_run)
            night = night_of(self._instance, night.run_id)
        if time.monotonic() - self._heard > QUIET_SECONDS:
            self._heard = time.monotonic()
            logger.info("nothing has happened for %.0f s: %s", QUIET_SECONDS, self._why(night))
        return night

    def _tell(self, run: dg.DagsterRun) -> None:
        """Say what is new of a run: what its stages logged."""
        if run.run_id not in self._seen:
            logger.info("%s: run %s is %s", run.tags.get("dagster/partition", run.job_name), run.run_id[:8], run.status)
        if run.is_finished and self._seen.get(run.run_id) == "":
            return
        page = self._instance.get_records_for_run(run.run_id, cursor=self._seen.get(run.run_id) or None)
        for record in page.records:
            self._heard = time.monotonic()
            if record.event_log_entry.dagster_event is None:
                logger.info("%s", record.event_log_entry.user_message)
        self._seen[run.run_id] = "" if run.is_finished and not page.records else page.cursor

    def _why(self, night: Night | None) -> str:
        if not daemon_runs(self._instance):
            return "Dagster's daemon has stopped; what was asked waits until it runs again (`mmsra ui`)"
        if night is not None and night.code != self._code:
            return OTHER_CODE
        return "another run may be at the data set, or the sensor `waves` is stopped; see the UI"


def _rows(paths: Paths, night: Night, name: str) -> list[dict[str, object]]:
    """The rows that the night has in ``refresh_report``."""
    import pandas as pd

    from mmsra_pipeline.columns import Tables
    from mmsra_pipeline.storage.tables import Store

    store = Store.of(paths)
    if not store.has(Tables.REFRESH_REPORT, name):
        return []
    report = store.read(Tables.REFRESH_REPORT, name)
    rows = report[pd.to_datetime(report["at"], utc=True) == pd.Timestamp(night.at)]
    clean = rows.astype(object).where(rows.notna(), None)
    return [{str(column): value for column, value in row.items()} for row in clean.to_dict(orient="records")]
