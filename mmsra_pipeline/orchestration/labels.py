"""Names that the UI shows: groups of assets, and their owner."""

from typing import Final

from mmsra_pipeline.orchestration.settings_read import loaded_config

STAGES: Final = ("interactions", "items", "summarization", "retrieval", "recommendation", "evaluation")
"""In the order of the flow."""
SETTINGS: Final = "settings"
"""What the stages read beside data."""
UPKEEP: Final = "upkeep"
"""What tells how the installation ran; the data flow through the stages does not touch it."""
GROUPS: Final = {stage: f"{number}_{stage}" for number, stage in enumerate((SETTINGS, *STAGES, UPKEEP))}
"""The group of a stage's assets. The number is there because the UI sorts groups by name."""
OWNERS: Final = [loaded_config().automation.owner]
