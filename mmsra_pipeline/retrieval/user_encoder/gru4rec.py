"""GRU4Rec: a recurrent network over the items of a history (Hidasi et al., arXiv 1511.06939); see table 6."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

PADDING = 0  # item codes begin at 1


class Gru4Rec(nn.Module):
    """A GRU whose state after each item, projected, is the embedding of the history up to there.

    Histories are padded on the right, which no earlier state sees.
    """

    def __init__(self, items: int, *, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.items = nn.Embedding(items + 1, dim, padding_idx=PADDING)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(dim, dim, num_layers=layers, batch_first=True)
        self.projection = nn.Linear(dim, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        with torch.no_grad():
            self.items.weight[PADDING] = 0.0

    def forward(self, histories: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length dim"]:
        """Embed every prefix of every history; item codes, 0 is padding on the right."""
        states, _ = self.gru(self.dropout(self.items(histories)))
        return self.projection(states)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
