"""The definitions that are loaded from the folder ``defs/``, which nothing here imports."""

import functools
import warnings
from pathlib import Path

import dagster as dg

from mmsra_pipeline.orchestration.job_names import EVERYTHING
from mmsra_pipeline.orchestration.settings_sources import with_settings


@functools.cache
def load_definitions() -> dg.Definitions:
    """Collect the assets, jobs, schedules, sensors and resources found under ``defs/``.

    Each asset depends on the settings that it reads, and has a link to its function, which the UI opens in an editor.
    """
    found = dg.load_from_defs_folder(path_within_project=Path(__file__).parents[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = dg.with_source_code_references(list(with_settings(found.assets or ())))
    return dg.Definitions(
        assets=assets,
        jobs=found.jobs,
        schedules=found.schedules,
        sensors=found.sensors,
        resources=found.resources,
        executor=found.executor,
        loggers=found.loggers,
        asset_checks=found.asset_checks,
        metadata=found.metadata,
        component_tree=found.component_tree,
    )


def everything() -> dg.JobDefinition:
    """Return the job of all assets; other processes find it by this function."""
    return load_definitions().resolve_job_def(EVERYTHING)
