"""Names of jobs, and of the assets that they treat apart. Importing it reads no settings."""

from typing import Final

from mmsra_pipeline.columns import Tables

COSTLY: Final = (Tables.ALIGNMENT, Tables.SUMMARIZER, Tables.USER_ENCODER, Tables.RECOMMENDER)
"""Trainings. Between two of them the rest is brought up to date with the adapters there are."""
MODELS: Final = (*COSTLY, Tables.COOCCURRENCE_NEIGHBORS, Tables.SFT_DATASET, Tables.FUSION, Tables.REPORT)
"""Assets that have an artifact: later ones read it, or people do."""
EVERYTHING: Final = "everything"
RETRAIN: Final = "retrain"
NIGHT: Final = "catalog_refresh"
"""Names of jobs."""
