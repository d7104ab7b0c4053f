"""A step of a training that several processes compute together: each some parts of a batch, then sums over all of them.

torch.distributed must have begun; in a process by itself every function here answers as one of one. The parts of a
batch are what a process by itself computes one after the other, so that the sum is the same but for its order.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed


def ranks() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own_parts() -> slice:
    """Return which parts of a batch are this process's."""
    return slice(rank(), None, ranks())


def add_up(values: Iterable[Tensor]) -> None:
    """Replace tensors, the same ones in every process, by their sums over the processes; in place."""
    several = list(values)
    if ranks() == 1 or not several:
        return
    flat = torch.cat([value.detach().reshape(-1) for value in several])
    distributed.all_reduce(flat)
    with torch.no_grad():
        for value, summed in zip(several, torch.split(flat, [value.numel() for value in several]), strict=True):
            value.copy_(summed.view_as(value))


def add_up_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace gradients by their sums over the processes; one that had no part has zeros."""
    if ranks() == 1:
        return
    trained = [value for value in parameters if value.requires_grad]
    for value in trained:
        if value.grad is None:
            value.grad = torch.zeros_like(value)
    add_up([value.grad for value in trained if value.grad is not None])
