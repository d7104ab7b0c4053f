"""Attention of answers that grow: each row has keys and values of its own, and all see one prefix that stands once.

New tokens of all rows lie one behind the other in a single row without padding, one token of most rows and several of
those whose next tokens are known. So all other layers compute real tokens only.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AttentionInterface, DynamicCache

from mmsra_pipeline.backbone import prefix_attention

PROMPTS: Final = "prompts_that_are_kept"
ROWS: Final = "rows_that_grow"


class Rows:
    """Keys and values of rows, by layer, and where the new tokens of a forward pass belong.

    ``keys[layer]`` has the shape (kv heads, rows, room, head dim). A row's token t stands at place t; what lies behind
    a row's last token is unread.
    """

    def __init__(self, prefix: DynamicCache | None, lengths: Sequence[int], *, copies: int, room: int) -> None:
        """Make ready for prompts of ``lengths`` own tokens, ``copies`` rows of each, with ``room`` for further ones."""
        self.prefix = [(layer.keys[0], layer.values[0]) for layer in prefix.layers] if prefix is not None else []
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.lengths = [length for length in lengths for _ in range(copies)]
        self._prompts = list(lengths)
        self._copies = copies
        self._room = max(lengths) + room

    def keep(self, key: Float[Tensor, "kv_heads tokens dim"], value: Float[Tensor, "kv_heads tokens dim"]) -> None:
        """Keep the next layer's keys and values of prompts that were run one behind the other."""
        for kept, states in ((self.keys, key), (self.values, value)):
            padded = states.new_zeros(states.shape[0], len(self.lengths), self._room, states.shape[2])
            start = 0
            for place, length in enumerate(self._prompts):
                rows = slice(place * self._copies, (place + 1) * self._copies)
                padded[:, rows, :length] = states[:, None, start : start + length]
                start += length
            kept.append(padded)

    def place(self, counts: Sequence[int], device: torch.device) -> None:
        """Say how many new tokens of each row, at least one, the next forward pass has."""
        most = max(counts)
        self.row = torch.tensor([row for row, count in enumerate(counts) for _ in range(count)], device=device)
        steps = torch.tensor([step for count in counts for step in range(count)], device=device)
        before = torch.tensor(self.lengths, device=device)
        self.slot = before[self.row] + steps
        self.back = self.row * most + steps  # of each new token among the padded ones
        self.shape = (len(counts), most)
        self.lengths = [length + count for length, count in zip(self.lengths, counts, strict=True)]
        self.used = max(self.lengths)
        own = before[:, None] + torch.arange(most, device=device)[None, :]
        self.hidden = torch.arange(self.used, device=device) > own[:, :, None]  # (rows, most, used)
        if most == 1 and bool((before == before[0]).all()):
            self.hidden = self.hidden[:0]  # nothing is

    def select(self, rows: Sequence[int], device: torch.device) -> None:
        """Go on with these rows alone."""
        chosen = torch.tensor(rows, device=device)
        self.lengths = [self.lengths[row] for row in rows]
        for kept in (self.keys, self.values):
            for layer, states in enumerate(kept):
                kept[layer] = states.index_select(1, chosen)


def attend_prompts(
    module: Any,
    query: Tensor,
    key: Float[Tensor, "one kv_heads tokens dim"],
    value: Float[Tensor, "one kv_heads tokens dim"],
    attention_mask: Tensor | None,
    *,
    keep_in: Rows,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attend as ``prefix_attention.attend`` does, and keep the prompts' keys and values for the rows."""
    keep_in.keep(key[0], value[0])
    return prefix_attention.attend(module, query, key, value, attention_mask, **rest)


def attend_rows(
    module: Any,
    query: Float[Tensor, "one heads tokens dim"],
    key: Float[Tensor, "one kv_heads tokens dim"],
    value: Float[Tensor, "one kv_heads tokens dim"],
    attention_mask: Tensor | None,  # noqa: ARG001  (the interface of transformers)
    *,
    rows: Rows,
    scaling: float | None = None,
    **_rest: Any,
) -> tuple[Float[Tensor, "one tokens heads dim"], None]:
    """Attend as transformers' eager attention would if each row stood alone behind the prefix. Softmax in float32."""
    heads, _, dim = query.shape[1:]
    keys, values = rows.keys[module.layer_idx], rows.values[module.layer_idx]
    keys[:, rows.row, rows.slot], values[:, rows.row, rows.slot] = key[0], value[0]
    kv_heads, (count, most) = keys.shape[0], rows.shape
    shared = heads // kv_heads  # query heads that share a key head
    padded = query.new_zeros(heads, count * most, dim).index_copy_(1, rows.back, query[0])
    asked = padded.view(kv_heads, shared, count, most, dim).transpose(1, 2)
    asked = asked.reshape(kv_heads * count, shared * most, dim) * (dim**-0.5 if scaling is None else scaling)
    scores = torch.bmm(asked, keys[:, :, : rows.used].flatten(0, 1).transpose(1, 2))
    if len(rows.hidden):
        scores = scores.view(kv_heads, count, shared, most, -1).masked_fill_(rows.hidden[:, None], -torch.inf)
        scores = scores.view(kv_heads * count, shared * most, -1)
    size = 0
    if rows.prefix:
        prefix_keys, prefix_values = rows.prefix[module.layer_idx]
        size = prefix_keys.shape[1]
        before = torch.bmm(asked.view(kv_heads, -1, dim), prefix_keys.transpose(1, 2))
        scores = torch.cat([before.view(*scores.shape[:2], size), scores], dim=2)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    mixed = torch.bmm(weights[..., size:], values[:, :, : rows.used].flatten(0, 1))
    if rows.prefix:
        seen = weights[..., :size].reshape(kv_heads, -1, size)
        mixed = mixed + torch.bmm(seen, prefix_values).view_as(mixed)
    found = mixed.view(kv_heads, count, shared, most, dim).permute(1, 3, 0, 2, 4).reshape(count * most, heads, dim)
    return found[rows.back][None], None


AttentionInterface.register(PROMPTS, attend_prompts)
AttentionInterface.register(ROWS, attend_rows)
