"""Log-probabilities of given tokens behind prompts, where what prompts have in common is computed once.

Unlike ``Backbone.log_likelihood`` it takes tokens as they were sampled and what a form allowed at each of their places,
and it gives gradients. The completions of one item lie behind one run of its prompt, picture included.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from mmsra_pipeline.backbone import shared_prefix
from mmsra_pipeline.backbone.likelihood import logits_of, positions
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.parts import Pictures, Seen
from mmsra_pipeline.backbone.prompt import Prompt

LOGITS_TOGETHER = 2**25  # numbers; bounds what lies in memory where no gradient is asked for


class Said(NamedTuple):
    """What a model says of each token of one completion."""

    log_probs: Float[Tensor, " tokens"]
    """In nats, among the tokens that the form allows at that place; 0 where it allows one only."""
    entropy: Float[Tensor, " tokens"]
    """Of the distribution at that place, in nats, without gradient; 0 where no gradients are computed."""
    free: Bool[Tensor, " tokens"]
    """Whether the form allows more than one token there."""


def said_of(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    completions: Sequence[Sequence[int]],
    allowed: Sequence[Bool[Tensor, "tokens vocab"]] | None = None,
    *,
    temperature: float = 1.0,
    exact: bool = True,
) -> list[Said]:
    """Return the log-probability of each token of each completion after its prompt, at a temperature of sampling.

    Args:
        backbone: the model. It stays in the mode in which it is; gradients and autocast are the caller's.
        prompts: one a completion; those with all in common, or a beginning, share its computation.
        completions: their tokens, of no picture. One without tokens gives empty tensors.
        allowed: what might have stood at each place; unset, every token.
        temperature: that logits are divided by.
        exact: make logits in the precision of the weights also under autocast: near 10 a bfloat16 has steps of 1/16.
            Unset, they are faster, and a mean over a text's tokens moves by a hundredth of a nat.

    Raises:
        ValueError: if a token is not among the allowed ones.
    """
    if len(prompts) != len(completions):
        raise ValueError(f"{len(prompts)} prompts but {len(completions)} completions")
    states = completion_states(backbone, prompts, completions)
    device = backbone.device
    result = []
    for row, (own, ids) in enumerate(zip(states, completions, strict=True)):
        tokens = torch.tensor(list(ids), dtype=torch.long, device=device)
        mask = None if allowed is None else allowed[row].to(device)
        result.append(_said(backbone, own, tokens, mask, temperature, exact))
    return result


def _said(
    backbone: Backbone, states: Tensor, tokens: Tensor, mask: Tensor | None, temperature: float, exact: bool
) -> Said:
    if mask is not None and not bool(mask[torch.arange(len(tokens), device=mask.device), tokens].all()):
        raise ValueError("a completion has a token that its form does not allow there")
    free = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.sum(dim=1) > 1
    places = free.nonzero()[:, 0]
    vocabulary = int(backbone.model.get_output_embeddings().weight.shape[0])
    size = len(places) if torch.is_grad_enabled() else max(1, LOGITS_TOGETHER // vocabulary)
    log_probs = torch.zeros(len(tokens), dtype=torch.float32, device=states.device)
    entropy = torch.zeros_like(log_probs)
    found, spreads = [], []
    for some in torch.split(places, max(size, 1)) if len(places) else ():
        logits = (_exact_logits if exact else _logits)(backbone, states[some])
        if temperature != 1.0:
            logits = logits / temperature
        if mask is not None:  # a head may have more rows than the vocabulary has tokens
            logits = logits[:, : mask.shape[1]].masked_fill(~mask[some], -torch.inf)
        whole = torch.logsumexp(logits, dim=-1)
        found.append(logits.gather(1, tokens[some][:, None])[:, 0] - whole)
        if torch.is_grad_enabled():  # of the policy alone
            spreads.append(_entropy(logits.detach(), whole.detach()))
    if found:
        log_probs = log_probs.index_put((places,), torch.cat(found))
    if spreads:
        entropy = entropy.index_put((places,), torch.cat(spreads))
    return Said(log_probs, entropy, free)


def _entropy(logits: Tensor, whole: Tensor) -> Tensor:
    """Return log Z - sum p x of logits x, of which some may be minus infinity."""
    chances = torch.exp(logits - whole[:, None])
    return whole - (chances * logits.masked_fill(chances == 0, 0.0)).sum(dim=-1)


def _logits(backbone: Backbone, states: Tensor) -> Tensor:
    return logits_of(backbone.model, states)


def _exact_logits(backbone: Backbone, states: Tensor) -> Tensor:
    with torch.autocast(states.device.type, enabled=False):
        return logits_of(backbone.model, states.to(backbone.model.get_output_embeddings().weight.dtype))


def completion_states(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    completions: Sequence[Sequence[int]],
    pictures: Pictures | None = None,
) -> list[Float[Tensor, "tokens dim"]]:
    """Return the hidden states that predict each token of each completion.

    ``pictures`` gives pictures as the language model takes them; unset, those that are kept, without gradient.
    """
    tokens = (
        shared_prefix.tokenized(backbone, prompts, pictures) if shared_prefix.shares_prefixes(backbone.model) else None
    )
    if tokens is None:
        return [_whole(backbone, prompt, ids) for prompt, ids in zip(prompts, completions, strict=True)]
    heads, by_prompt = tokens
    placeholders = set(backbone.encoder.image_token_ids)
    alike = all(_same(own, by_prompt[0]) for own in by_prompt)  # then a prefix may reach beyond the picture
    shared = shared_prefix.shared_tokens(heads, stop_at=() if alike else placeholders)
    whole = shared_prefix.Tokens([[*head, *ids] for head, ids in zip(heads, completions, strict=True)], by_prompt)
    where = shared_prefix.token_positions(backbone, whole)
    cache = None
    passed = placeholders & set(heads[0][:shared])
    if shared:
        cache = _prefix(backbone, heads[0][:shared], by_prompt[0] if passed else [], where[..., 0, :shared])
    if passed:
        whole = shared_prefix.Tokens(whole.ids, [[] for _ in by_prompt])
    result: list[Tensor] = []
    for rows in shared_prefix.row_parts([len(ids) - shared for ids in whole.ids], shared_prefix.TOKENS_TOGETHER):
        states = shared_prefix.row_states(backbone, whole, rows, shared, where, cache)
        start = 0
        for row in rows:
            first = start + len(heads[row]) - shared - 1  # the prompt's last token predicts the completion's first
            result.append(states[first : first + len(completions[row])])
            start += len(whole.ids[row]) - shared
    return result


def _same(one: Sequence[Seen], other: Sequence[Seen]) -> bool:
    """Whether both show the same pictures; the same content is the same object in ``backbone.pictures``."""
    return len(one) == len(other) and all(a.states is b.states for a, b in zip(one, other))


def _prefix(backbone: Backbone, ids: list[int], pictures: Sequence[Seen], where: Tensor) -> DynamicCache:
    """Run what all have in common, pictures included, with gradient where it is on; give its keys and values."""
    model, device = backbone.model, backbone.device
    tokens = torch.tensor([ids], device=device)
    embedded = model.get_input_embeddings()(tokens)
    if pictures:
        places = torch.isin(tokens, torch.tensor(backbone.encoder.image_token_ids, device=device))
        states = torch.cat([one.states for one in pictures])
        embedded = embedded.masked_scatter(places[..., None], states.to(embedded.dtype))
    cache = DynamicCache()
    shared_prefix.language_model(model)(
        inputs_embeds=embedded,
        attention_mask=torch.ones_like(tokens),
        position_ids=where.unsqueeze(-2),
        past_key_values=cache,
        use_cache=True,
    )
    return cache


def _whole(backbone: Backbone, prompt: Prompt, ids: Sequence[int]) -> Float[Tensor, "tokens dim"]:
    """Run one whole sequence, for models whose prefixes cannot be shared."""
    batch = backbone.encode([prompt], side="right")
    tail = torch.tensor([list(ids)], dtype=torch.long, device=backbone.device)
    beside = {"input_ids": tail, "attention_mask": torch.ones_like(tail)}
    for name in ("mm_token_type_ids", "token_type_ids"):
        beside[name] = torch.zeros_like(tail)
    for name, ending in beside.items():
        if name in batch:
            batch[name] = torch.cat([batch[name], ending.to(batch[name].dtype)], dim=1)
    states: Tensor = backbone.model.base_model(
        **batch, position_ids=positions(backbone.model, batch), use_cache=False
    ).last_hidden_state[0]
    return states[len(states) - len(ids) - 1 : -1]
