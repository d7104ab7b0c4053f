"""Settings with which the whole graph takes most of a minute on the tiny sample store."""

from typing import Any

SETTINGS: dict[str, Any] = {
    "preset": "sample",
    "backbone": {"image_side": 32, "device": "cpu", "autocast": False},  # a server's answers are compared to the word
    "alignment": {"steps": 2, "batch_size": 2, "projector_steps": 2, "measured_pictures": 4},
    "grpo": {"steps": 1, "items_per_step": 1, "group_size": 2},
    "summarization": {"draft_items": 4, "max_new_tokens": 24, "verified_items": 3},
    "retrieval": {
        "encoder": {"dim": 8, "heads": 1, "epochs": 2, "folds": 2},
        "similar_users": {"voters": 8},
        "first_stage": {"candidates": 4},
    },
    "recommendation": {
        "examples": 8,
        "list_negatives": 2,
        "batch_size": 4,
        "layers": 1,
        "validation_lists": 2,
        "validate_every": 1,
        "tasks": {"yes_no": 0.5, "choose": 0.2, "next_keywords": 0.15, "item_keywords": 0.15},
        "prompt": {"history_length": 2, "candidate_image": True},
    },
    "evaluation": {"users": 4, "validation_users": 6, "negatives": 5, "bootstrap": 20},
    "fusion": {"folds": 2},
    "recommendations": {"users": 3, "top_n": 2},
}
