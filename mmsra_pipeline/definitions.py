"""What Dagster loads: everything under ``defs/``."""

from dagster import Definitions, definitions

from mmsra_pipeline.orchestration.loading import load_definitions


@definitions
def defs() -> Definitions:
    """Collect the assets, jobs, schedules, sensors and resources found under ``defs/``."""
    return load_definitions()
