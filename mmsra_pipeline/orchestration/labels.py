"""Names that the UI shows: groups of assets, their owner, jobs."""

from typing import Final

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.orchestration.settings_read import loaded_config

STAGES: Final = ("interactions", "items", "summarization", "retrieval", "recommendation", "evaluation")
"""In the order of the flow."""
UPKEEP: Final = "upkeep"
"""What tells how the installation ran; the data flow through the stages does not touch it."""
GROUPS: Final = {stage: f"{number}_{stage}" for number, stage in enumerate((*STAGES, UPKEEP), start=1)}
"""The group of a stage's assets. The number is there because the UI sorts groups by name."""
OWNERS: Final = [loaded_config().automation.owner]

COSTLY: Final = (Tables.ALIGNMENT, Tables.SUMMARIZER, Tables.USER_ENCODER, Tables.RECOMMENDER)
"""Trainings. Between two of them the rest is brought up to date with the adapters there are."""
MODELS: Final = (*COSTLY, Tables.COOCCURRENCE_NEIGHBORS, Tables.SFT_DATASET, Tables.FUSION)
"""Assets that later ones read an artifact of."""
EVERYTHING: Final = "everything"
RETRAIN: Final = "retrain"
"""Names of jobs."""
