"""Settings with which the whole graph takes most of a minute on the tiny sample store."""

from typing import Any

SETTINGS: dict[str, Any] = {
    "preset": "sample",
    "backbone": {"image_side": 32, "device": "cpu"},
    "alignment": {"steps": 2, "batch_size": 2, "measured_pictures": 4},
    "grpo": {"steps": 1, "items_per_step": 1, "group_size": 2},
    "summarization": {"draft_items": 4, "max_new_tokens": 8},
    "retrieval": {"encoder": {"dim": 8, "heads": 1, "epochs": 2}, "first_stage": {"candidates": 4}},
    "recommendation": {"examples": 8, "batch_size": 4, "checkpoint_every": 1, "prompt": {"history_length": 2}},
    "evaluation": {"users": 4, "negatives": 5, "bootstrap": 20},
    "recommendations": {"users": 3, "top_n": 2},
}
