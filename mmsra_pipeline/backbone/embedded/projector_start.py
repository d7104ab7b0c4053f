"""The first part of the alignment: what the projector makes of a picture comes near the words that name it.

No pass through the language model is needed, so a picture costs some milliseconds. Without it the language model had
learned pattern and shape after 60 steps of 16 pictures, but nothing of colour, although the features tell it.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmsra_pipeline.backbone.embedded.drawing import COLOURS, PATTERNS, SHAPES, TRAINED_LOOKS, draw
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import AlignmentConfig
from mmsra_pipeline.telemetry.progress import Progress

ATTRIBUTES: tuple[tuple[str, ...], ...] = (tuple(COLOURS), PATTERNS, SHAPES)
SHARPNESS = 10.0  # of the softmax over words
WARMUP_STEPS = 10
LENGTH_WEIGHT = 0.1  # of keeping a picture's tokens as long as a word's
NOT_PICTURE = ("input_ids", "attention_mask", "mm_token_type_ids", "labels")


def start_projector(
    backbone: Backbone, projector: Sequence[Tensor], settings: AlignmentConfig, seed: int
) -> list[float]:
    """Train the projector on drawings, in place, and give the loss of each step.

    Args:
        backbone: of which nothing else is trained.
        projector: its parameters.
        settings: ``projector_steps`` of ``projector_batch_size`` pictures, at ``projector_learning_rate``.
        seed: of the drawings.
    """
    words = [_directions(backbone, values) for values in ATTRIBUTES]
    length = backbone.model.get_input_embeddings().weight.detach().norm(dim=-1).mean()
    optimizer = torch.optim.AdamW(projector, lr=0.0, weight_decay=0.0)
    progress = Progress("projector", settings.projector_steps, "steps")
    losses = []
    for step in range(settings.projector_steps):
        rng = np.random.default_rng([seed, 1, step])
        looks = [TRAINED_LOOKS[place] for place in rng.integers(len(TRAINED_LOOKS), size=settings.projector_batch_size)]
        drawings = [Prompt((draw(look, backbone.config.image_side, rng),)) for look in looks]
        tokens = picture_tokens(backbone, backbone.encode(drawings)) / length
        loss = LENGTH_WEIGHT * (tokens.norm(dim=-1) - 1.0).square().mean()
        for place, values in enumerate(ATTRIBUTES):
            true = torch.tensor([values.index(look[place]) for look in looks], device=tokens.device)
            loss = loss + naming_loss(tokens, words[place], true)
        for group in optimizer.param_groups:
            group["lr"] = settings.projector_learning_rate * rate(step, settings.projector_steps)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        progress.advance(note=f"loss {losses[-1]:.3f}")
    return losses


def naming_loss(
    tokens: Float[Tensor, "pictures tokens dim"], words: Float[Tensor, "values dim"], true: Int[Tensor, " pictures"]
) -> Float[Tensor, ""]:
    """Return the cross-entropy, in nats, of naming the value out of all its picture's tokens.

    A value's score is the log-sum-exp over tokens: one token that tells it is enough, for colours stand in few places.
    """
    scores = torch.logsumexp(SHARPNESS * torch.einsum("ptd,vd->ptv", tokens, words), dim=1)
    return torch.nn.functional.cross_entropy(scores, true)


def picture_tokens(backbone: Backbone, batch: Mapping[str, Tensor]) -> Float[Tensor, "pictures tokens dim"]:
    """Return what the language model is shown of each picture; all pictures must be of one size."""
    pixels = {name: value for name, value in batch.items() if name not in NOT_PICTURE}
    found = backbone.model.base_model.get_image_features(**pixels, return_dict=True).pooler_output
    return torch.stack(tuple(found))


def rate(step: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step from 0: up in a line, down in half a cosine.

    >>> [round(rate(step, 100), 2) for step in (0, 9, 50, 99)]
    [0.1, 0.98, 0.5, 0.0]
    """
    return min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _directions(backbone: Backbone, values: Sequence[str]) -> Float[Tensor, "values dim"]:
    """Unit vectors in which the embeddings of an attribute's words differ from their mean."""
    table = backbone.model.get_input_embeddings().weight.detach()
    words = torch.stack([table[backbone.encoder.answer_ids(f" {value}")].mean(dim=0) for value in values])
    return torch.nn.functional.normalize(words - words.mean(dim=0), dim=-1)
