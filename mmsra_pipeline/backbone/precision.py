"""Weights in the precision in which autocast multiplies them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def rounded_weights(model: Any, *, enabled: bool) -> Iterator[None]:
    """Hold the weights of linear layers in bfloat16 until the block ends; under autocast the answers are the same.

    Autocast rounds a frozen weight anew in every forward pass (what it keeps are weights that are trained), which is
    an eighth of the time of scoring on a CPU. The output layer stays: its last product is in float32.
    """
    head = model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer is not head]
    kept = [(layer, layer.weight) for layer in layers if layer.weight.dtype == torch.float32] if enabled else []
    rounded = {id(weight): weight.detach().to(torch.bfloat16) for _, weight in kept}  # layers may share a weight
    try:
        for layer, weight in kept:
            layer.weight = torch.nn.Parameter(rounded[id(weight)], requires_grad=False)
        yield
    finally:
        for layer, weight in kept:
            layer.weight = weight
