"""A language model with fewer layers."""

from typing import Any

from mmsra_pipeline.errors import ConfigError


def keep_layers(model: Any, count: int) -> None:
    """Leave the first ``count`` - 1 layers of the language model and its last, in place.

    Middle layers are said to do least (SLMRec, arXiv 2405.17890). What is left must be tuned before it is of use.

    Raises:
        ConfigError: if the model has fewer layers.
    """
    language = model.base_model.language_model
    config = language.config
    if count > len(language.layers):
        raise ConfigError(
            f"recommendation.layers={count}, but this backbone's language model has {len(language.layers)} layers. "
            "Set it to that or less, or leave it unset to keep all."
        )
    kept = [*range(count - 1), len(language.layers) - 1]
    language.layers = type(language.layers)(language.layers[number] for number in kept)
    for place, layer in enumerate(language.layers):  # the cache of keys and values is by place
        layer.self_attn.layer_idx = place
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[number] for number in kept]
    config.num_hidden_layers = count
