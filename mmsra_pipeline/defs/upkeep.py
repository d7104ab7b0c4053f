"""What tells how the installation ran; no asset computes it."""

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS, UPKEEP
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh_report import MEANING

refresh_report = dg.AssetSpec(
    Tables.REFRESH_REPORT,
    partitions_def=datasets,
    group_name=GROUPS[UPKEEP],
    owners=OWNERS,
    kinds={"parquet"},
    description="One row per refresh and asset: why it was computed or not, how long that took, and what not computing "
    "it saved (the seconds it took last). A refresh that finds nothing to do leaves one row. Newest first. "
    + "; ".join(f"{name}: {meaning}" for name, meaning in MEANING.items())
    + ".",
)
