"""The things a person starts: everything, new adapters, or what is stale of the cheap part."""

import dagster as dg

from mmsra_pipeline.orchestration.job_names import COSTLY, EVERYTHING, RETRAIN
from mmsra_pipeline.orchestration.partitions import datasets

everything = dg.define_asset_job(
    EVERYTHING,
    selection=dg.AssetSelection.all(),
    partitions_def=datasets,
    description="All assets of a data set, stale or not. To compute only what is stale: `mmsra refresh`.",
)

retrain = dg.define_asset_job(
    RETRAIN,
    selection=dg.AssetSelection.assets(*COSTLY).downstream(),
    partitions_def=datasets,
    description="Renew the trained adapters of a data set, and all that is made with them.",
)
