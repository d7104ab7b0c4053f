"""Scores of a group of candidates that share a prefix, with gradients where they are asked for.

The prefix runs once; its keys and values stand once in memory. Then its candidates run as one row of tokens, each at
the positions that it has in its whole prompt. In float32 scores equal those of whole prompts within 1e-5.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mmsra_pipeline.backbone import shared_prefix
from mmsra_pipeline.backbone.likelihood import logits_of, positions
from mmsra_pipeline.backbone.parts import Parts
from mmsra_pipeline.backbone.prompt import Prompt


class Answers(NamedTuple):
    """What a model says to each prompt of a group."""

    margin: Float[Tensor, " prompts"]
    """log P(first word) - log P(second word) of the first token of the answer, in float32."""
    mass: Float[Tensor, " prompts"]
    """P(first word) + P(second word) among all tokens."""


def group_answers(backbone: Parts, prompts: Sequence[Prompt], words: tuple[str, str]) -> Answers:
    """Score the prompts of one group. What they have in common, up to the first picture, is computed once.

    Args:
        backbone: the model. It stays in the mode (training or not) in which it is.
        prompts: at least one; they may share nothing.
        words: two answers that begin with different tokens.

    Raises:
        ValueError: if both words begin with the same token, or if there is no prompt.
    """
    if not prompts:
        raise ValueError("a group has at least one prompt")
    return answers_of(backbone, last_states(backbone, prompts), words)


def answers_of(backbone: Parts, states: Float[Tensor, "prompts dim"], words: tuple[str, str]) -> Answers:
    """Read answers off the hidden states of last tokens.

    Raises:
        ValueError: if both words begin with the same token.
    """
    wanted = torch.tensor([backbone.encoder.first_token(word) for word in words], device=backbone.device)
    if wanted[0] == wanted[1]:
        raise ValueError(f"{words[0]!r} and {words[1]!r} begin with the same token, so they cannot be told apart")
    logits = logits_of(backbone.model, states, wanted)
    every = logits_of(backbone.model, states)
    return Answers(logits[:, 0] - logits[:, 1], (logits.logsumexp(dim=1) - every.logsumexp(dim=1)).exp())


def last_states(backbone: Parts, prompts: Sequence[Prompt]) -> Float[Tensor, "prompts dim"]:
    """Return the hidden state of the last token of each prompt of a group."""
    if not shared_prefix.shares_prefixes(backbone.model):
        return _whole(backbone, prompts)
    tokens = shared_prefix.tokenized(backbone, prompts)
    if tokens is None:
        return _whole(backbone, prompts)
    shared = shared_prefix.shared_tokens(tokens.ids, stop_at=set(backbone.encoder.image_token_ids))
    where = shared_prefix.token_positions(backbone, tokens)
    cache = shared_prefix.prefix_cache(backbone, tokens.ids[0][:shared], where[..., 0, :shared]) if shared else None
    found = []
    for rows in shared_prefix.row_parts([len(ids) - shared for ids in tokens.ids], shared_prefix.TOKENS_TOGETHER):
        states = shared_prefix.row_states(backbone, tokens, rows, shared, where, cache)
        ends = torch.tensor([len(tokens.ids[row]) - shared for row in rows], device=states.device).cumsum(0)
        found.append(states[ends - 1])
    return torch.cat(found)


def _whole(backbone: Parts, prompts: Sequence[Prompt]) -> Float[Tensor, "prompts dim"]:
    """Run whole prompts, for models whose prefixes cannot be shared."""
    found = []
    for start in range(0, len(prompts), backbone.config.batch_size):
        batch = backbone.encode(prompts[start : start + backbone.config.batch_size], side="right")
        states = backbone.model.base_model(
            **batch, position_ids=positions(backbone.model, batch), use_cache=False
        ).last_hidden_state
        last = batch["attention_mask"].sum(dim=1) - 1
        found.append(states[torch.arange(len(last), device=last.device), last])
    return torch.cat(found)
