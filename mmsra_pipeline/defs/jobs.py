"""The things a person starts: everything, new adapters, or what is stale of the cheap part."""

import dagster as dg

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.defs.partitions import datasets

COSTLY = (Tables.ALIGNMENT, Tables.SUMMARIZER, Tables.USER_ENCODER, Tables.RECOMMENDER)
"""Trainings. Between two of them the rest is brought up to date with the adapters there are."""
MODELS = (*COSTLY, Tables.SFT_DATASET, Tables.FUSION)
"""Assets that later ones read an artifact of."""
EVERYTHING = "everything"
RETRAIN = "retrain"

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
