"""SASRec: self-attention over the items of a history (Kang and McAuley, arXiv 1808.09781)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

PADDING = 0  # item codes begin at 1


class SasRec(nn.Module):
    """A causal transformer whose state after each item is the embedding of the history up to there.

    Histories are padded on the right: nothing real ever looks at padding, the causal mask suffices, and a prefix has
    the same embedding alone and within its longer history.
    """

    def __init__(self, items: int, *, dim: int, layers: int, heads: int, dropout: float, max_length: int) -> None:
        super().__init__()
        self.items = nn.Embedding(items + 1, dim, padding_idx=PADDING)
        self.positions = nn.Embedding(max_length, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        for embedding in (self.items, self.positions):
            nn.init.normal_(embedding.weight, std=dim**-0.5)
        with torch.no_grad():
            self.items.weight[PADDING] = 0.0

    def forward(self, histories: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length dim"]:
        """Embed every prefix of every history; item codes, 0 is padding on the right."""
        places = torch.arange(histories.shape[1], device=histories.device)
        hidden = self.dropout(self.items(histories) + self.positions(places))
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.dropout(self._attend(self.attention_norm(hidden)))
        return hidden + self.dropout(self.feed_forward(hidden))  # type: ignore[no-any-return]

    def _attend(self, hidden: Tensor) -> Tensor:
        batch, length, dim = hidden.shape
        split = self.query_key_value(hidden).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.projection(mixed.transpose(1, 2).reshape(batch, length, dim))  # type: ignore[no-any-return]
