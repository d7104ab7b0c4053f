"""The definitions that are loaded from the folder ``defs/``, which nothing here imports."""

from pathlib import Path

import dagster as dg


def load_definitions() -> dg.Definitions:
    """Collect the assets, jobs, schedules, sensors and resources found under ``defs/``."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parents[1])
