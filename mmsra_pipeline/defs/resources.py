"""The installation as assets know it: it gives each its stage, and makes runs take turns."""

import contextlib
import functools
import logging

import dagster as dg
from pydantic import PrivateAttr

from mmsra_pipeline.orchestration.abandoned_runs import REFRESH_TAG
from mmsra_pipeline.orchestration.checks.names import COMPARED
from mmsra_pipeline.orchestration.materializations import last
from mmsra_pipeline.orchestration.settings_read import readable
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.orchestration.step_processes import of_a_run, step_processes
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.run_locks import turn_of
from mmsra_pipeline.telemetry.terminal import log_to_stderr

logger = logging.getLogger(__name__)


class Installation(dg.ConfigurableResource):
    """The installation that ``find_paths`` finds when an asset runs. It has no settings of its own."""

    _turn: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)
    _held: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)

    def stage(self, context: dg.AssetExecutionContext) -> Stage:
        """Return what the asset of ``context`` works with, once it is the turn of its data set.

        In a process of a step the turn is that of the run, whose own process holds it. Where a run computes in one
        process, it keeps the turn to its end, and the stage before gives back what it held: assets run one by one.
        """
        asset, dataset, paths = context.asset_key.path[-1], context.partition_key, find_paths()
        version = context.assets_def.code_versions_by_key[context.asset_key]
        self._held.close()
        if of_a_run() and REFRESH_TAG in context.run.tags:
            self._turn.enter_context(log_to_stderr())  # as the terminal's own process does
        self._turn.enter_context(paths.remote.turn_of_run(dataset) if of_a_run() else turn_of(paths, dataset))
        logger.info("%s: %s begins", dataset, asset)
        stage = Stage(
            asset=asset,
            dataset=dataset,
            run_id=context.run_id,
            code_version=version or "",
            config=readable(asset),
            paths=paths,
            blocking=frozenset(spec.name for spec in context.assets_def.check_specs if spec.blocking),
            before=functools.partial(last, context.instance, asset, dataset, 2 * COMPARED),
            tag_run=functools.partial(context.instance.add_run_tags, context.run_id),
        )
        self._held.push(stage.held)
        return stage

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002  # Dagster's
        """Release what the run held."""
        self._held.close()
        self._turn.close()


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the installation. Each step has a process of its own, so that what it loads ends with it."""
    return dg.Definitions(resources={"mmsra": Installation()}, executor=step_processes)
