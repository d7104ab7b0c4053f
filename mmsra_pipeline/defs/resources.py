"""The installation as assets know it: it gives each its stage, and makes runs take turns."""

import contextlib
import functools
import logging

import dagster as dg
from pydantic import PrivateAttr

from mmsra_pipeline.orchestration.checks.names import COMPARED
from mmsra_pipeline.orchestration.materializations import last
from mmsra_pipeline.orchestration.settings_read import loaded_config, readable
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.storage.paths import find_paths
from mmsra_pipeline.storage.run_locks import turn_of

logger = logging.getLogger(__name__)


class Installation(dg.ConfigurableResource):
    """The installation that ``find_paths`` finds when an asset runs. It has no settings of its own."""

    _turn: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)
    _held: contextlib.ExitStack = PrivateAttr(default_factory=contextlib.ExitStack)

    def stage(self, context: dg.AssetExecutionContext) -> Stage:
        """Return what the asset of ``context`` works with, once it is the turn of its data set.

        The run keeps the turn to its end, and the stage before gives back what it held: assets run one by one.
        """
        asset, dataset, paths = context.asset_key.path[-1], context.partition_key, find_paths()
        version = context.assets_def.code_versions_by_key[context.asset_key]
        self._held.close()
        self._turn.enter_context(turn_of(paths, dataset, loaded_config().limits.run_memory_gb))
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
    """Bind the installation. One process computes a run: assets share the memory of what they load."""
    return dg.Definitions(resources={"mmsra": Installation()}, executor=dg.in_process_executor)
