"""The installation as assets know it: it gives each its stage, and makes runs take turns."""

import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import dagster as dg
from pydantic import PrivateAttr

from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.orchestration.abandoned_runs import REFRESH_TAG
from mmsra_pipeline.orchestration.checks.names import COMPARED
from mmsra_pipeline.orchestration.checks.results import Results
from mmsra_pipeline.orchestration.materializations import last
from mmsra_pipeline.orchestration.reuse import taken_over
from mmsra_pipeline.orchestration.settings_read import dataset_config, readable
from mmsra_pipeline.orchestration.settings_sources import observe_settings
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.orchestration.step_processes import of_a_run, step_processes
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.run_locks import turn_of
from mmsra_pipeline.telemetry.terminal import log_to_stderr

PARTITION = "dagster/partition"
logger = logging.getLogger(__name__)


class Installation(dg.ConfigurableResource):
    """The installation that ``find_paths`` finds when an asset runs. It has no settings of its own."""

    _begun: list[Stage] = PrivateAttr(default_factory=list)
    """The stage that has begun and that the asset's function is yet to ask for."""
    _configs: dict[str, Config] = PrivateAttr(default_factory=dict)
    _turn: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)
    _held: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)

    def stage(self, context: dg.AssetExecutionContext) -> Stage:
        """Return what the asset of ``context`` works with, once it is the turn of its data set."""
        begun = self._begun.pop() if self._begun else None
        return begun or self.begin(context)

    def reused(self, context: dg.AssetExecutionContext) -> Results | None:
        """Return the results of the asset that another data set's slice gives; None: it has to be computed."""
        stage = self.begin(context)
        results = taken_over(stage, context)
        self._begun[:] = [] if results else [stage]
        return results

    def begin(self, context: dg.AssetExecutionContext) -> Stage:
        """Return the stage of an asset that begins.

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
            config=readable(asset, self._config(dataset)),
            paths=paths,
            blocking=frozenset(spec.name for spec in context.assets_def.check_specs if spec.blocking),
            before=functools.partial(last, context.instance, asset, dataset, 2 * COMPARED),
            tag_run=functools.partial(context.instance.add_run_tags, context.run_id),
        )
        self._held.push(stage.held)
        return stage

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tell Dagster the settings of the run's data set before any step begins: a step notes what it began with."""
        self._configs.clear()
        dataset = context.run.tags.get(PARTITION) if context.run else None
        if dataset and context.instance:
            with contextlib.suppress(MmsraError):  # which the first step says
                observe_settings(context.instance, dataset, self._config(dataset))

    def _config(self, dataset: str) -> Config:
        """Return the settings of a data set, read once a run: what they are changed to meanwhile is for the next."""
        if dataset not in self._configs:
            self._configs[dataset] = dataset_config(find_paths(), dataset)
        return self._configs[dataset]

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002  # Dagster's
        """Release what the run held."""
        self._held.close()
        self._turn.close()


Function: TypeAlias = Callable[[dg.AssetExecutionContext, Installation], Results]


def reusable(function: Function) -> Function:
    """Have an asset take over what another data set has that was made of the same, in place of computing it."""

    @functools.wraps(function)
    def asset(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
        yield from mmsra.reused(context) or function(context, mmsra)

    # Dagster links an asset to the file and line of its function's code.
    code = function.__code__
    wrapped: Any = asset
    wrapped.__code__ = wrapped.__code__.replace(co_filename=code.co_filename, co_firstlineno=code.co_firstlineno)
    return asset


@dg.definitions
def resources() -> dg.Definitions:
    """Bind the installation. Each step has a process of its own, so that what it loads ends with it."""
    return dg.Definitions(resources={"mmsra": Installation()}, executor=step_processes)
