"""Weights in the precision in which autocast multiplies them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

LANGUAGE = "language_model"


@contextlib.contextmanager
def rounded_weights(model: Any, *, enabled: bool) -> Iterator[None]:
    """Hold the frozen weights of linear layers in bfloat16 until the block ends; under autocast answers are the same.

    Autocast rounds a frozen weight anew in every forward pass (what it keeps are weights that are trained), which is
    an eighth of the time of scoring on a CPU. Weights in training stay as they are. So do the output layer, whose last
    product is in float32, and all that pictures pass: they are looked at once, without autocast.
    """
    head = model.get_output_embeddings()
    layers = [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head and LANGUAGE in name.split(".")
    ]
    frozen = [layer for layer in layers if layer.weight.dtype == torch.float32 and not layer.weight.requires_grad]
    kept = [(layer, layer.weight) for layer in frozen] if enabled else []
    rounded = {id(weight): weight.detach().to(torch.bfloat16) for _, weight in kept}  # layers may share a weight
    try:
        for layer, weight in kept:
            layer.weight = torch.nn.Parameter(rounded[id(weight)], requires_grad=False)
        yield
    finally:
        for layer, weight in kept:
            layer.weight = weight
