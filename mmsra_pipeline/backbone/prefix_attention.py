"""Attention of many candidates behind one prefix: its keys and values stand once, whatever the number of candidates.

Candidates lie one behind the other in a single row without padding, so that all other layers compute real tokens only.
Each token sees the whole prefix and the earlier tokens of its own candidate. Candidates of several prefixes may lie in
one row, those of one prefix together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AttentionInterface, DynamicCache

NAME: Final = "candidates_behind_a_prefix"


@dataclass(frozen=True)
class Behind:
    """Where the tokens of a row of candidates belong, and the keys and values of the prefixes, by layer.

    ``keys[layer]`` and ``values[layer]`` have the shape (kv heads, prefixes, prefix tokens, head dim); none without a
    prefix.
    """

    keys: list[Tensor]
    values: list[Tensor]
    padded: Int[Tensor, "places longest"]
    """The place in the row of each candidate's tokens; padding names place 0. Each prefix has equally many places for
    candidates, of which the last may be padding alone."""
    back: Int[Tensor, " tokens"]
    """The place of each token of the row in ``padded``, flattened."""
    hidden: Tensor
    """Bool, (longest, longest): which later tokens a token does not see. Padding comes last: nothing real sees it."""
    unread: Tensor | None = None
    """Bool, (prefixes, prefix tokens): the padding of prefixes; None where there is none."""


def behind(
    cache: DynamicCache | None,
    lengths: Sequence[int],
    device: torch.device,
    *,
    counts: Sequence[int] | None = None,
    prefixes: Sequence[int] | None = None,
) -> Behind:
    """Describe a row of candidates with ``lengths`` tokens behind the prefixes that ``cache`` holds.

    Args:
        cache: a sequence a prefix, padded on the right.
        lengths: tokens of each candidate, at least 1, those of one prefix together and in the order of prefixes.
        device: where the row lies.
        counts: candidates of each prefix. Unset: there is one prefix.
        prefixes: tokens of each prefix. Unset: none is padded.
    """
    counts = [len(lengths)] if counts is None else counts
    most = max(counts)
    places = [group * most + place for group, count in enumerate(counts) for place in range(count)]
    sizes = torch.tensor(lengths, device=device)
    longest = int(sizes.max())
    at = torch.tensor(places, device=device)
    own = sizes.new_zeros(len(counts) * most).index_copy(0, at, sizes)
    starts = sizes.new_zeros(len(own)).index_copy(0, at, sizes.cumsum(0) - sizes)
    steps = torch.arange(longest, device=device)
    real = steps[None, :] < own[:, None]
    padded = torch.where(real, starts[:, None] + steps[None, :], torch.zeros_like(steps)[None, :])
    hidden = torch.ones(longest, longest, dtype=torch.bool, device=device).triu(1)
    unread = None
    if prefixes is not None and min(prefixes) < max(prefixes):
        unread = torch.arange(max(prefixes), device=device)[None, :] >= torch.tensor(prefixes, device=device)[:, None]
    layers = cache.layers if cache is not None else []
    return Behind(
        [layer.keys.transpose(0, 1) for layer in layers],
        [layer.values.transpose(0, 1) for layer in layers],
        padded,
        real.flatten().nonzero()[:, 0],
        hidden,
        unread,
    )


def attend(
    module: Any,
    query: Float[Tensor, "one heads tokens dim"],
    key: Float[Tensor, "one kv_heads tokens dim"],
    value: Float[Tensor, "one kv_heads tokens dim"],
    attention_mask: Tensor | None,  # noqa: ARG001  (the interface of transformers)
    *,
    behind: Behind,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_rest: Any,
) -> tuple[Float[Tensor, "one tokens heads dim"], None]:
    """Attend as transformers' eager attention would if each candidate stood behind a copy of its prefix of its own.

    Softmax is over the prefix and the own candidate together, in float32. The gradient reaches the prefix.
    """
    heads, tokens, dim = query.shape[1:]
    kv_heads = key.shape[1]
    scale = dim**-0.5 if scaling is None else scaling
    count, longest = behind.padded.shape
    shared = heads // kv_heads  # query heads that share a key head
    grouped = query[0].view(kv_heads, shared, tokens, dim)
    own = _rows(grouped, behind.padded).transpose(1, 2).reshape(kv_heads, count, shared * longest, dim)
    keys, values = _rows(key[0], behind.padded), _rows(value[0], behind.padded)
    scores = torch.matmul(own, keys.transpose(2, 3)) * scale
    scores = scores.view(kv_heads, count, shared, longest, longest).masked_fill(behind.hidden, -torch.inf)
    prefixes, prefix = behind.keys[module.layer_idx].shape[1:3] if behind.keys else (1, 0)
    if prefix:
        flat = own.reshape(kv_heads, prefixes, -1, dim)
        before = torch.matmul(flat, behind.keys[module.layer_idx].transpose(2, 3)) * scale
        if behind.unread is not None:
            before = before.masked_fill(behind.unread[:, None], -torch.inf)
        scores = torch.cat([before.view(kv_heads, count, shared, longest, prefix), scores], dim=-1)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = torch.nn.functional.dropout(weights, p=dropout, training=module.training)
    mixed = torch.matmul(weights[..., prefix:].reshape(kv_heads, count, shared * longest, longest), values)
    if prefix:
        seen = weights[..., :prefix].reshape(kv_heads, prefixes, -1, prefix)
        mixed = mixed + torch.matmul(seen, behind.values[module.layer_idx]).view_as(mixed)
    rows = mixed.view(kv_heads, count, shared, longest, dim).permute(1, 3, 0, 2, 4)
    return rows.reshape(count * longest, heads, dim)[behind.back][None], None


def _rows(states: Float[Tensor, "... tokens dim"], places: Int[Tensor, "candidates longest"]) -> Tensor:
    """Take the rows of each candidate: (..., candidates, longest, dim) out of (..., tokens, dim)."""
    gathered = states.index_select(-2, places.flatten())
    return gathered.view(*states.shape[:-2], *places.shape, states.shape[-1])


AttentionInterface.register(NAME, attend)
