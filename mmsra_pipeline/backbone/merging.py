"""What a backbone is made of, as it is used: its processor, and its network with adapters merged and held fast."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmsra_pipeline.backbone.checkpoints import read_model, read_processor
from mmsra_pipeline.backbone.encoding import set_image_side
from mmsra_pipeline.backbone.layers import keep_layers
from mmsra_pipeline.backbone.lora import hold_vision, merge_adapters


def prepared_processor(place: str, settings: Any, image_side: int) -> Any:
    """Read a checkpoint's processor: pictures of that side, padding on the left.

    Raises:
        ConfigError: if the model takes no pictures of that side.
    """
    processor = read_processor(place, settings)
    set_image_side(processor, image_side)
    processor.tokenizer.padding_side = "left"
    processor.tokenizer.init_kwargs["padding_side"] = "left"  # only what stands here is saved with a training run
    return processor


def read_merged(
    place: str,
    dtype: torch.dtype,
    device: str,
    adapters: Sequence[Path],
    *,
    layers: int | None,
    tuned: Sequence[Path],
) -> Any:
    """Read a checkpoint and merge adapters into it in order: ``adapters``, the cut to ``layers``, ``tuned``.

    No weight asks for a gradient.
    """
    merged = merge_adapters(read_model(place, dtype), adapters)
    if layers is not None:
        keep_layers(merged, layers)
    return held_fast(merge_adapters(merged, tuned), device)


def held_fast(model: Any, device: str) -> Any:
    """Make a model ready for use on a device, in place: no weight asks for a gradient, no picture token is sampled."""
    model.to(device)
    if device == "cpu":  # its fused attention spends a quarter of a training step on what plain products do in passing
        model.set_attn_implementation("eager")
    model.requires_grad_(False)
    hold_vision(model.eval())
    # for trainers, which generate by themselves
    model.generation_config.suppress_tokens = picture_tokens(model.config)
    return model


def picture_tokens(config: Any) -> list[int]:
    """Tokens that stand for pixels. One without a picture breaks the forward pass, so none may be sampled."""
    found = (getattr(config, name, None) for name in ("image_token_id", "image_token_index", "video_token_id"))
    return sorted({int(token) for token in found if token is not None})
