"""Prompts of one user's candidates, and what whole prompts answer to them."""

import torch

from mmsra_pipeline.backbone.likelihood import logits_of, positions
from mmsra_pipeline.backbone.prompt import Prompt

WORDS = ("Yes", "No")
HISTORY = "The user's history, newest last: red striped mug, blue ball, leather bag. Similar users then took: chair. "


def candidates(pictures, count=7, *, with_pictures=True, history=HISTORY):
    """Prompts of one user that differ in candidate, length and, where shown, picture; every third has none."""
    prompts = []
    for place in range(count):
        look = [pictures[place % 3]] if with_pictures and place % 3 != 2 else []
        prompts.append(Prompt((history + "Candidate: ", *look, f" toy {place}. " * (place + 1), "Answer Yes or No.")))
    return prompts


def whole_margins(backbone, prompts):
    """log P(Yes) - log P(No) from whole prompts, padded to one batch, with gradient."""
    ids = torch.tensor([backbone.encoder.first_token(word) for word in WORDS])
    batch = backbone.encode(prompts, side="right")
    states = backbone.model.base_model(
        **batch, position_ids=positions(backbone.model, batch), use_cache=False
    ).last_hidden_state
    last = batch["attention_mask"].sum(dim=1) - 1
    logits = logits_of(backbone.model, states[torch.arange(len(last)), last], ids)
    return logits[:, 0] - logits[:, 1]
