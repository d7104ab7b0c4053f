"""What the user encoder minimizes: the next item against all items, or against sampled ones."""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mmsra_pipeline.config.tree import EncoderConfig

CELLS = 4_000_000  # logits of the whole catalogue that are held at once: 16 MB
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def effective_loss(config: EncoderConfig, items: int) -> Literal["catalogue", "softmax", "bce", "gbce"]:
    """Return the loss that is used for so many items: of too many, ``catalogue`` becomes ``softmax``."""
    return "softmax" if config.loss == "catalogue" and items > config.catalogue_items else config.loss


def next_item_loss(config: EncoderConfig, items: int) -> Loss:
    """Return the loss that the settings name, of (hidden, windows, item vectors).

    Hidden states are (batch, length, dim), windows (batch, length + 1) item codes padded with 0, item vectors
    (1 + ``items``, dim) with that of padding first. A sampled loss draws its negatives from torch's random state.
    """
    loss = effective_loss(config, items)
    if loss == "catalogue":
        return catalogue_loss
    weight = None
    if loss != "softmax":
        weight = positive_weight(config.negatives, items, config.calibration if loss == "gbce" else 0.0)

    def sampled(hidden: Tensor, windows: Tensor, vectors: Tensor) -> Tensor:
        negatives = torch.randint(1, items + 1, (len(windows), config.negatives))
        return sampled_loss(hidden, windows, negatives, vectors, weight)

    return sampled


def catalogue_loss(
    hidden: Float[Tensor, "batch length dim"],
    windows: Int[Tensor, "batch width"],
    items: Float[Tensor, "codes dim"],
    cells: int = CELLS,
) -> Float[Tensor, ""]:
    r"""Cross-entropy of the next item over all items, mean over positions, in nats. ``width`` is ``length`` + 1.

    $-\log\,e^{s^+} / \sum_i e^{s_i}$ over every item, those of the window too; only padding, code 0, is none. At most
    ``cells`` logits, or those of one position, exist at once, for the gradient is computed along with the loss.
    """
    targets = windows[:, 1:]
    real = targets > 0
    loss: Tensor = _FullSoftmax.apply(hidden[real], items[1:], targets[real] - 1, cells)  # type: ignore[no-untyped-call]
    return loss


class _FullSoftmax(torch.autograd.Function):
    """Mean cross-entropy of ``hidden @ items.T``, block by block."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, items: Tensor, targets: Tensor, cells: int) -> Tensor:
        """Return the loss, and keep its gradient: of a block $(p - 1_{target})$ times what it was multiplied with."""
        total = hidden.new_zeros(())
        of_hidden, of_items = torch.empty_like(hidden), torch.zeros_like(items)
        together = max(1, cells // len(items))
        for start in range(0, len(hidden), together):
            part, wanted = hidden[start : start + together], targets[start : start + together, None]
            logits = part @ items.T
            highest = logits.amax(dim=1, keepdim=True)
            reached = logits.gather(1, wanted)
            shares = logits.sub_(highest).exp_()  # times ``whole``: dividing vectors costs less than dividing these
            whole = shares.sum(dim=1, keepdim=True)
            total += (whole.log() + highest - reached).sum()
            shares.scatter_add_(1, wanted, -whole)
            torch.div(shares @ items, whole, out=of_hidden[start : start + together])
            of_items.addmm_(shares.T, part / whole)
        ctx.save_for_backward(of_hidden, of_items)
        ctx.positions = len(hidden)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor, Tensor, None, None]:
        """Scale what ``forward`` kept."""
        of_hidden, of_items = ctx.saved_tensors
        scale = outputs[0] / ctx.positions
        return of_hidden * scale, of_items * scale, None, None


def sampled_loss(
    hidden: Float[Tensor, "batch length dim"],
    windows: Int[Tensor, "batch width"],
    negatives: Int[Tensor, "batch negatives"],
    items: Float[Tensor, "codes dim"],
    weight: float | None,
) -> Float[Tensor, ""]:
    r"""Loss of the next item against sampled ones, mean over positions, in nats. ``width`` is ``length`` + 1.

    With a ``weight`` $\beta$ it is binary cross-entropy (gBCE, Petrov and Macdonald, arXiv 2308.07192; 1 is plain BCE)

    $$-\tfrac{1}{k+1}\bigl(\beta \log\sigma(s^+) + \textstyle\sum_{j=1}^{k} \log(1-\sigma(s^-_j))\bigr)$$

    and without one cross-entropy over positive and negatives, $-\log\,e^{s^+} / (e^{s^+} + \sum_j e^{s^-_j})$.

    The negatives of a window serve all its positions, which makes one matrix product of them; those in the window
    itself are no negatives and count nothing.
    """
    targets = windows[:, 1:]
    real = targets > 0
    false = (negatives[:, :, None] != windows[:, None, :]).all(dim=2)[:, None, :]
    positive = (hidden * F.embedding(targets, items)).sum(dim=2, keepdim=True)
    negative = hidden @ F.embedding(negatives, items).transpose(1, 2)
    negative = negative.masked_fill(~false, -torch.inf)
    if weight is None:
        losses = -torch.log_softmax(torch.cat([positive, negative], dim=2), dim=2)[..., 0]
        return losses[real].mean()
    losses = -weight * F.logsigmoid(positive[..., 0]) + F.softplus(negative).sum(dim=2)
    return losses[real].mean() / (negatives.shape[1] + 1)


def positive_weight(negatives: int, items: int, calibration: float) -> float:
    r"""Return $\beta$ of gBCE: $\alpha\,(t(1 - 1/\alpha) + 1/\alpha)$ with $\alpha$ the share of items sampled.

    >>> positive_weight(10, 101, calibration=0.0), positive_weight(10, 101, calibration=1.0)
    (1.0, 0.1)
    """
    sampled = min(negatives / max(items - 1, 1), 1.0)
    return sampled * (calibration * (1 - 1 / sampled) + 1 / sampled)
