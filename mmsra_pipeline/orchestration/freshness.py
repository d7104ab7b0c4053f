"""When the UI calls what the pipeline is for late."""

from datetime import timedelta
from typing import Final

import dagster as dg

from mmsra_pipeline.orchestration.settings_read import loaded_config


def freshness(days: float) -> dg.FreshnessPolicy:
    """Return the policy of what was to be computed within so many days; the UI warns at half of them."""
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(days=days), warn_window=timedelta(days=days / 2))


FRESH: Final = freshness(loaded_config().automation.late_days)
