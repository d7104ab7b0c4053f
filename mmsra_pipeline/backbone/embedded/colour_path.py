"""EfficientNet-Lite0 made wider by a path that carries colour to its last features.

Training on ImageNet made the network careless of colour: from its last features a linear reader tells the colour of a
drawn object in 47 of 100 cases, from its first ones in 100. The network gets eight more channels in every layer, which
take local means of opponent colours from the pixels to the last features and touch no other channel. So the features
of the original network stay what they were, and the wider network is an ordinary EfficientNet of transformers.
"""

import math
from typing import Any

import torch
from torch import Tensor
from transformers import EfficientNetConfig, EfficientNetModel

from mmsra_pipeline.backbone.embedded.lite0 import ALWAYS_OPEN, lite0_config

WIDTH = 1.125  # makes the fixed 32 channels of the stem 40, and the 1280 of the head 1440
STEM, HEAD = 32, 1280  # channels of the original
OPPONENTS = torch.tensor(
    [  # weights of red, green, blue; the hues of the colour circle, light, dark
        [1.0, -0.5, -0.5],
        [-0.5, 1.0, -0.5],
        [-0.5, -0.5, 1.0],
        [0.5, 0.5, -1.0],
        [0.5, -1.0, 0.5],
        [-1.0, 0.5, 0.5],
        [1 / 3, 1 / 3, 1 / 3],
        [-1 / 3, -1 / 3, -1 / 3],
    ]
)
OFFSETS = torch.tensor([0.0] * 6 + [0.0, 1.0])  # dark is one minus light
COLOURS = len(OPPONENTS)
FULL = 6.0  # where ReLU6 ends: a value of 1 of a colour
STEPS = (round(HEAD * WIDTH) - HEAD) // COLOURS  # features of one colour, with rising thresholds
# Most means are small, hence thresholds that are dense near zero. The gain gives the colours' features a variance that
# an untrained projector notices beside the others': with a gain of 2 it learned everything but colour.
THRESHOLDS = FULL * (torch.arange(STEPS) / STEPS) ** 2
GAIN = 8.0


def colour_path_config() -> EfficientNetConfig:
    """Configuration of the wider network."""
    settings = lite0_config().to_dict()
    widths = {
        name: [_before_rounding(width + COLOURS) for width in settings[name]]
        for name in ("in_channels", "out_channels")
    }
    last = {"hidden_dim": round(HEAD * WIDTH), "hidden_size": round(HEAD * WIDTH)}
    return EfficientNetConfig(**{**settings, "width_coefficient": WIDTH, **widths, **last})


@torch.no_grad()
def with_colour_path(lite0: Any) -> EfficientNetModel:
    """Return the wider network, in eval mode.

    Args:
        lite0: an ``EfficientNetModel`` of ``lite0_config``. Its input is RGB with mean and deviation 0.5: from -1 to 1.

    Returns:
        A network whose first 1280 features are those of ``lite0``. The others tell, for each of the colours in turn,
        how much its mean over the feature's field of 32 x 32 pixels exceeds thresholds that rise from 0 to 1.
    """
    wide = EfficientNetModel(colour_path_config()).eval()
    inner = lite0.state_dict()
    state = {name: _widened(name, inner[name], value) for name, value in wide.state_dict().items()}
    wide.load_state_dict(state, strict=True)
    stem = wide.embeddings
    # Pixels lie in [-1, 1], colours in [0, 1]. Means over fields that do not overlap: no border leaks into them.
    stem.convolution.weight[STEM:, :, :2, :2] = (OPPONENTS * FULL / 2 / 4)[:, :, None, None]
    stem.batchnorm.bias[STEM:] = FULL * (OFFSETS + OPPONENTS.sum(dim=1) / 2)
    for ours, theirs in zip(wide.encoder.blocks, lite0.encoder.blocks, strict=True):
        _carry(ours, theirs)
    head = wide.encoder.top_conv.weight[HEAD:].view(COLOURS, STEPS, -1)
    for colour in range(COLOURS):
        head[colour, :, colour - COLOURS] = GAIN
    wide.encoder.top_bn.bias[HEAD:] = (-GAIN * THRESHOLDS).repeat(COLOURS)
    return wide


def _carry(ours: Any, theirs: Any) -> None:
    """Take the colours through a block: averaged where it halves the picture, else as they are."""
    depthwise, depth = ours.depthwise_conv.depthwise_conv, theirs.depthwise_conv.depthwise_conv.out_channels
    each = torch.arange(COLOURS)
    if ours.expand:
        entered = theirs.expansion.expand_conv.in_channels
        ours.expansion.expand_conv.weight[depth + each, entered + each] = 1.0
    if ours.depthwise_conv.stride == 2:
        left = ours.depthwise_conv.depthwise_conv_pad.padding[0]
        depthwise.weight[depth : depth + COLOURS, :, left : left + 2, left : left + 2] = 1 / 4
    else:
        middle = depthwise.kernel_size[0] // 2
        depthwise.weight[depth : depth + COLOURS, :, middle, middle] = 1.0
    if not ours.projection.apply_dropout:  # elsewhere the shortcut around the block carries them
        left_with = theirs.projection.project_conv.out_channels
        ours.projection.project_conv.weight[left_with + each, depth + each] = 1.0


def _widened(name: str, inner: Tensor, wide: Tensor) -> Tensor:
    """The original's values in the first channels; in the others nothing, and normalization that changes nothing."""
    if wide.ndim == 0:
        return inner
    if ".squeeze_excite." in name:  # the original has none: its gates are open
        return torch.full_like(wide, ALWAYS_OPEN if name.endswith("expand.bias") else 0.0)
    filler = 0.0
    if name.endswith("running_var"):
        filler = 1.0
    elif wide.ndim == 1 and name.endswith("weight"):
        filler = math.sqrt(1.0 + float(lite0_config().batch_norm_eps))
    result = torch.full_like(wide, filler)
    result[tuple(slice(size) for size in inner.shape)] = inner
    return result


def _before_rounding(channels: int) -> int:
    """The number that transformers' EfficientNet multiplies by ``WIDTH`` and rounds to ``channels``."""
    return round(channels / WIDTH)
