"""What Dagster loads: everything under ``defs/``."""

from pathlib import Path

from dagster import Definitions, definitions, load_from_defs_folder


@definitions
def defs() -> Definitions:
    """Collect the assets, jobs, schedules, sensors and resources found under ``defs/``."""
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
