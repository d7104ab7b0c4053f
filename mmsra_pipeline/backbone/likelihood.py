"""Likelihoods of given answers, and what all scores are made of: positions and logits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmsra_pipeline.backbone.encoding import IGNORED
from mmsra_pipeline.backbone.parts import Parts
from mmsra_pipeline.backbone.prompt import Prompt


def answer_log_likelihood(
    backbone: Parts, prompts: Sequence[Prompt], targets: Sequence[str]
) -> list[Float[np.ndarray, " tokens"]]:
    """See ``Backbone.log_likelihood``. Logits are made only where a target token is predicted."""
    if len(prompts) != len(targets):
        raise ValueError(f"{len(prompts)} prompts but {len(targets)} targets")
    found: list[Float[np.ndarray, " tokens"]] = [np.zeros(0, np.float32)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda row: sum(len(p) for p in prompts[row].parts if isinstance(p, str)))
    size = backbone.config.batch_size
    for rows in (order[start : start + size] for start in range(0, len(order), size)):
        batch = backbone.encode([prompts[row] for row in rows], [targets[row] for row in rows], side="right", end=False)
        labels = batch.pop("labels")[:, 1:]
        hidden = backbone.model.base_model(
            **batch, position_ids=positions(backbone.model, batch), use_cache=False
        ).last_hidden_state[:, :-1]  # the state at t predicts the token at t + 1
        scored = labels != IGNORED
        logits = logits_of(backbone.model, hidden[scored])
        picked = torch.log_softmax(logits, dim=-1).gather(1, labels[scored][:, None])[:, 0].cpu().numpy()
        pieces = np.split(picked, scored.sum(dim=1).cumsum(0)[:-1].tolist())
        for row, piece in zip(rows, pieces, strict=True):
            found[row] = piece
    return found


def logits_of(model: Any, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return logits in float32 of the tokens ``rows`` (all tokens if unset), and of no other."""
    head = model.get_output_embeddings()
    if rows is None:
        logits = head(hidden).float()
    else:
        bias = head.bias[rows].float() if getattr(head, "bias", None) is not None else None
        # In float32 also under autocast: a logit near 10 has steps of 1/16 in bfloat16, and candidates would tie.
        with torch.autocast(hidden.device.type, enabled=False):
            logits = torch.nn.functional.linear(hidden.float(), head.weight[rows].float(), bias)
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    capped: Tensor = torch.tanh(logits / cap) * cap if cap else logits
    return capped


def positions(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Return position ids of whole, right-padded sequences: (batch, tokens), or (3, batch, tokens) for Qwen-VL."""
    inner = model.base_model
    if hasattr(inner, "get_rope_index") and "image_grid_thw" in batch:
        found: Tensor = inner.get_rope_index(
            batch["input_ids"],
            mm_token_type_ids=batch["mm_token_type_ids"],
            image_grid_thw=batch["image_grid_thw"],
            attention_mask=batch["attention_mask"],
        )[0]
        return found
    plain = (batch["attention_mask"].cumsum(dim=-1) - 1).clamp(min=0)
    return plain.expand(3, -1, -1) if hasattr(inner, "get_rope_index") else plain
