"""Devices that models work on."""

import os

import torch

from mmsra_pipeline.errors import ConfigError


def find_device(wanted: str) -> str:
    """Return the device of torch for a value of ``backbone.device``: 'cpu' or 'cuda'.

    Raises:
        ConfigError: if it is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("backbone.device=cuda, but torch finds no CUDA device. Set it to 'auto' or 'cpu'.")
    return wanted


def device_name(wanted: str) -> str:
    """Name the device among all of the machine: 'cpu' or such as 'cuda-0'.

    A process works on the first device that ``CUDA_VISIBLE_DEVICES`` shows it, so two with different ones share none.
    """
    if find_device(wanted) == "cpu":
        return "cpu"
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return f"cuda-{first or 0}"


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16; without them it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
