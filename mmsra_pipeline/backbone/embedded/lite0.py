"""EfficientNet-Lite0 as transformers' own EfficientNet: configuration, weights, comparison with the original."""

import importlib
from typing import Any

import torch
from torch import Tensor
from transformers import EfficientNetConfig

from mmsra_pipeline.backbone.embedded.packaged_weights import REFERENCE_MODULE, REFERENCE_PACKAGE, package_folder
from mmsra_pipeline.errors import DataError

BLOCKS = 16
STRIDE = 32  # pixels of a side per feature
TOLERANCE = 1e-4  # features lie in [0, 6]; sums over more channels and other thread counts round differently
ALWAYS_OPEN = 30.0  # sigmoid(30) is 1.0 in float32 and bfloat16


def lite0_config() -> EfficientNetConfig:
    """Configuration of the lite network: ReLU6, fixed stem and head, no dropped paths."""
    return EfficientNetConfig(
        image_size=224,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_size=1280,
        hidden_act="relu6",
        batch_norm_eps=1e-3,
        drop_connect_rate=0.0,
        dropout_rate=0.0,
        num_labels=1000,
    )


def load_lite0(tower: torch.nn.Module, original: dict[str, Tensor]) -> None:
    """Copy the original network's weights into ``tower``, an ``EfficientNetModel`` of ``lite0_config``.

    The lite networks have no squeeze-and-excite; transformers' network has, so its gates are set to 1.

    Raises:
        DataError: if the original has other weights than an EfficientNet-Lite0.
    """
    names = dict(_names())
    unknown = (set(names) ^ set(original)) - {"_fc.weight", "_fc.bias"}
    if unknown:
        raise DataError(
            f"the weights are not those of an EfficientNet-Lite0: {sorted(unknown)[:3]} and "
            f"{max(len(unknown) - 3, 0)} more missing or too many. Install the pinned package: `make setup`."
        )
    state = {new: original[old] for old, new in names.items()}
    for name, value in tower.state_dict().items():
        if ".squeeze_excite." in name:
            gate = ALWAYS_OPEN if name.endswith("expand.bias") else 0.0
            state[name] = torch.full_like(value, gate)
    tower.load_state_dict(state, strict=True)


@torch.inference_mode()
def feature_difference(tower: torch.nn.Module, original: dict[str, Tensor], sides: tuple[int, ...]) -> float:
    """Return the largest absolute difference between features of ``tower`` and of the original network's own code.

    Args:
        tower: the converted network, in eval mode. Features that it has beyond the original's are not compared.
        original: the original weights.
        sides: picture sides, in pixels, at which both are run on noise.

    Raises:
        MissingInputError: if the package of the original code is not installed.
        DataError: if the difference exceeds ``TOLERANCE``.
    """
    package_folder(REFERENCE_MODULE, REFERENCE_PACKAGE)
    module: Any = importlib.import_module(REFERENCE_MODULE)
    reference = module.EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(original)
    noise = torch.Generator().manual_seed(0)
    worst = 0.0
    for side in sides:
        pixels = torch.rand(2, 3, side, side, generator=noise) * 2 - 1
        ours, theirs = tower(pixels).last_hidden_state, reference.extract_features(pixels)
        worst = max(worst, float((ours[:, : theirs.shape[1]] - theirs).abs().max()))
    if worst > TOLERANCE:
        raise DataError(
            f"the converted vision tower differs from the original network by {worst:.1e} (allowed: {TOLERANCE:.0e}). "
            "Install the versions that constraints.txt names: `make setup`."
        )
    return worst


def _names() -> list[tuple[str, str]]:
    """Pairs (name in the original, name in transformers)."""
    pairs = [("_conv_stem.weight", "embeddings.convolution.weight"), *_norm("_bn0", "embeddings.batchnorm")]
    pairs += [("_conv_head.weight", "encoder.top_conv.weight"), *_norm("_bn1", "encoder.top_bn")]
    for index in range(BLOCKS):
        old, new = f"_blocks.{index}", f"encoder.blocks.{index}"
        if index:  # the first block does not expand
            pairs.append((f"{old}._expand_conv.weight", f"{new}.expansion.expand_conv.weight"))
            pairs += _norm(f"{old}._bn0", f"{new}.expansion.expand_bn")
        pairs.append((f"{old}._depthwise_conv.weight", f"{new}.depthwise_conv.depthwise_conv.weight"))
        pairs += _norm(f"{old}._bn1", f"{new}.depthwise_conv.depthwise_norm")
        pairs.append((f"{old}._project_conv.weight", f"{new}.projection.project_conv.weight"))
        pairs += _norm(f"{old}._bn2", f"{new}.projection.project_bn")
    return pairs


def _norm(old: str, new: str) -> list[tuple[str, str]]:
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [(f"{old}.{part}", f"{new}.{part}") for part in parts]
