"""The look at all data sets with which a night begins, and how a terminal asks for one.

A terminal leaves its request as a partition of a name of its own, which any storage of Dagster keeps; the sensor of the
nights starts the run.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import dagster as dg

from mmsra_pipeline.config.datasets import list_datasets, load_dataset
from mmsra_pipeline.orchestration.failures import Failure
from mmsra_pipeline.orchestration.job_names import COSTLY, NIGHT
from mmsra_pipeline.orchestration.nights import tags_of_a_look
from mmsra_pipeline.orchestration.refresh import add_partitions
from mmsra_pipeline.orchestration.settings_read import loaded_config
from mmsra_pipeline.orchestration.staleness import AssetGraph
from mmsra_pipeline.orchestration.waves import Waves
from mmsra_pipeline.storage.disk import check_free, explained_errors
from mmsra_pipeline.storage.leftovers import sweep_all
from mmsra_pipeline.storage.paths import Paths

OP: Final = "look_at_sources"
REQUESTS: Final = "mmsra_refresh_requests"  # dynamic partitions of no asset
REQUEST_TAG: Final = "mmsra/request"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What a terminal asks for."""

    dataset: str
    trainings: bool
    id: str = ""

    def leave(self, instance: dg.DagsterInstance) -> "Request":
        """Leave it where the sensor finds it, and return it with its id."""
        left = Request(self.dataset, self.trainings, secrets.token_hex(4))
        instance.add_dynamic_partitions(REQUESTS, [json.dumps(asdict(left))])
        return left

    def take_back(self, instance: dg.DagsterInstance) -> None:
        """Forget it."""
        instance.delete_dynamic_partition(REQUESTS, json.dumps(asdict(self)))

    def run(self, instance: dg.DagsterInstance) -> dg.DagsterRun | None:
        """Return the run that it was answered by, if there is one."""
        found = instance.get_runs(dg.RunsFilter(job_name=NIGHT, tags={REQUEST_TAG: self.id}), limit=1)
        return found[0] if found else None


def answers(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """Return a run for each request that has none yet; forget those that have one."""
    runs = []
    for entry in instance.get_dynamic_partitions(REQUESTS):
        request = Request(**json.loads(entry))
        if request.run(instance):
            request.take_back(instance)
            continue
        options = {"dataset": request.dataset, "trainings": request.trainings}
        runs.append(
            dg.RunRequest(
                run_key=request.id,
                job_name=NIGHT,
                run_config={"ops": {OP: {"config": options}}},
                tags={REQUEST_TAG: request.id},
            )
        )
    return runs


def look(
    instance: dg.DagsterInstance,
    paths: Paths,
    graph: AssetGraph,
    *,
    dataset: str,
    trainings: bool,
    dry_run: bool,
    say: Say,
) -> tuple[dict[str, str], list[Failure]]:
    """Observe the sources of one data set or, with an empty name, of all, and say what is stale.

    Returns:
        The tags by which the run opens a night, none in a dry run; and the data sets that cannot be read, which have
        their row in ``refresh_report``.

    Raises:
        ConfigError: if the data set is not described.
        NoSpaceError: if there is too little free space to begin.
    """
    names = [load_dataset(paths.datasets, dataset).name] if dataset else list_datasets(paths.datasets)
    waves, failures, seen = Waves(instance, paths, graph, () if trainings else COSTLY), [], []
    with explained_errors(paths.root, "the refresh"):
        add_partitions(instance, names)
        if not dry_run:
            sweep_all(paths)
            check_free(paths.root, loaded_config().retention.min_free_gb, "a refresh")
        for name in names:
            summary, failed = waves.examine(name)
            failures += failed
            for entry in summary.stale.values():
                say(f"stale: {entry}: {'; '.join(entry.reasons)}")
            if failed and not dry_run:
                waves.report(summary)
            if not failed:
                seen.append(name)
            if not summary.stale and not failed:
                say(f"{name}: nothing is stale")
    tags: dict[str, Any] = {} if dry_run else tags_of_a_look(graph, seen, trainings=trainings)
    return tags, failures
