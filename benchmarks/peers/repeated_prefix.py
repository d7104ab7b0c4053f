"""Other ways to score or train candidates behind one prefix: what groups are compared with."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from mmsra_pipeline.backbone.likelihood import logits_of, positions
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.shared_prefix import shared_tokens

TOKENWISE = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")


def one_by_one(backbone: Backbone, prompts: Sequence[Prompt], words: tuple[str, str]) -> Tensor:
    """Margins of whole prompts, each in a forward pass of its own."""
    return torch.cat([padded_batch(backbone, [prompt], words) for prompt in prompts])


def padded_batch(backbone: Backbone, prompts: Sequence[Prompt], words: tuple[str, str]) -> Tensor:
    """Margins of whole prompts in one padded batch."""
    batch = backbone.encode(prompts, side="right")
    states = backbone.model.base_model(
        **batch, position_ids=positions(backbone.model, batch), use_cache=False
    ).last_hidden_state
    last = batch["attention_mask"].sum(dim=1) - 1
    return _margins(backbone, states[torch.arange(len(last)), last], words)


def repeated_prefix(backbone: Backbone, prompts: Sequence[Prompt], words: tuple[str, str]) -> Tensor:
    """Margins with a copy of the prefix's keys and values per candidate, batches of 16, as in commit 538b029.

    Pictures go through the vision tower each time that they are shown. Without gradient.
    """
    encoder, model = backbone.encoder, backbone.model
    tokens = [encoder.tokenizer.encode(encoder.render(prompt), add_special_tokens=False) for prompt in prompts]
    skipped = shared_tokens(tokens, stop_at=set(encoder.image_token_ids))
    ids = torch.tensor([tokens[0][:skipped]])
    whole = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    cache = DynamicCache(config=model.config.get_text_config())
    model.base_model(**whole, position_ids=positions(model, whole), use_cache=True, past_key_values=cache)
    found = []
    for start in range(0, len(prompts), 16):
        batch = backbone.encode(prompts[start : start + 16], side="right")
        where = positions(model, batch)
        copied = copy.deepcopy(cache)
        copied.batch_repeat_interleave(len(where))
        beside = {key: value for key, value in batch.items() if key not in TOKENWISE}
        states = model.base_model(
            input_ids=batch["input_ids"][:, skipped:],
            attention_mask=batch["attention_mask"],
            position_ids=where[..., skipped:],
            past_key_values=copied,
            use_cache=True,
            **beside,
        ).last_hidden_state
        last = batch["attention_mask"].sum(dim=1) - 1 - skipped
        found.append(_margins(backbone, states[torch.arange(len(last)), last], words))
    return torch.cat(found)


def _margins(backbone: Backbone, states: Tensor, words: tuple[str, str]) -> Tensor:
    ids = torch.tensor([backbone.encoder.first_token(word) for word in words])
    logits = logits_of(backbone.model, states, ids)
    return logits[:, 0] - logits[:, 1]
