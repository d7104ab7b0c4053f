"""Likelihoods of given answers, and first-token scores with a shared prefix."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from mmsra_pipeline.backbone.encoding import IGNORED
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.backbone.shared_prefix import Group, group_by_prefix

if TYPE_CHECKING:
    from mmsra_pipeline.backbone.model import Backbone

TOKENWISE = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")


def answer_log_likelihood(
    backbone: "Backbone", prompts: Sequence[Prompt], targets: Sequence[str]
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


def prefix_scores(
    backbone: "Backbone", prompts: Sequence[Prompt], words: tuple[str, str]
) -> Float[np.ndarray, " prompts"]:
    """See ``Backbone.first_token_scores``. Memory holds one prefix and one batch of what follows it."""
    ids = torch.tensor([backbone.encoder.first_token(word) for word in words], device=backbone.device)
    if ids[0] == ids[1]:
        raise ValueError(f"{words[0]!r} and {words[1]!r} begin with the same token, so they cannot be told apart")
    scores = np.zeros(len(prompts), np.float32)
    encoder, size = backbone.encoder, backbone.config.batch_size
    tokens = [encoder.tokenizer.encode(encoder.render(prompt), add_special_tokens=False) for prompt in prompts]
    for group in group_by_prefix(tokens, stop_at=set(encoder.image_token_ids)):
        prefix = tokens[group.rows[0]][: group.shared]
        cache = _prefix_cache(backbone, prefix) if _worthwhile(group) else None
        for start in range(0, len(group.rows), size):
            rows = group.rows[start : start + size]
            batch = backbone.encode([prompts[row] for row in rows], side="right")
            hidden = _last_states(backbone.model, batch, prefix, cache)
            scores[rows] = logits_of(backbone.model, hidden, ids).softmax(dim=-1)[:, 0].cpu().numpy()
    return scores


def logits_of(model: Any, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
    """Give logits in float32 of the tokens ``rows`` (all tokens if unset), and of no other."""
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
    """Give position ids of whole, right-padded sequences: (batch, tokens), or (3, batch, tokens) for Qwen-VL."""
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


def _worthwhile(group: Group) -> bool:
    return len(group.rows) > 1 and group.shared > 0


def _prefix_cache(backbone: "Backbone", prefix: list[int]) -> DynamicCache:
    ids = torch.tensor([prefix], device=backbone.device)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    cache = DynamicCache(config=backbone.model.config.get_text_config())
    backbone.model.base_model(
        **batch, position_ids=positions(backbone.model, batch), use_cache=True, past_key_values=cache
    )
    return cache


def _last_states(model: Any, batch: dict[str, Tensor], prefix: list[int], cache: DynamicCache | None) -> Tensor:
    """Hidden states of the last token of each prompt: (batch, dim)."""
    last = batch["attention_mask"].sum(dim=1) - 1
    every = torch.arange(len(last), device=last.device)
    where = positions(model, batch)
    if cache is None or not _begins_with(batch["input_ids"], prefix):
        states = model.base_model(**batch, position_ids=where, use_cache=False).last_hidden_state
        return states[every, last]  # type: ignore[no-any-return]  # transformers is not typed here
    skipped = len(prefix)
    copied = copy.deepcopy(cache)  # a forward pass appends to it
    copied.batch_repeat_interleave(len(last))
    beside = {key: value for key, value in batch.items() if key not in TOKENWISE}
    states = model.base_model(
        input_ids=batch["input_ids"][:, skipped:],
        attention_mask=batch["attention_mask"],
        position_ids=where[..., skipped:],
        past_key_values=copied,
        use_cache=True,
        **beside,
    ).last_hidden_state
    return states[every, last - skipped]  # type: ignore[no-any-return]  # transformers is not typed here


def _begins_with(ids: Tensor, prefix: list[int]) -> bool:
    """Whether the processor left the prefix as the tokenizer gave it; some write more around a picture."""
    if ids.shape[1] < len(prefix):
        return False
    return bool((ids[:, : len(prefix)] == torch.tensor(prefix, device=ids.device)).all())
