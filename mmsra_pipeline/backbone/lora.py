"""Adapters: attached, saved, merged; and a vision tower that training leaves alone."""

import logging
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from mmsra_pipeline.backbone.parts import Parts
from mmsra_pipeline.config.tree import LoraSettings
from mmsra_pipeline.errors import ConfigError, MissingInputError

log = logging.getLogger(__name__)

TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
PROJECTORS = ("multi_modal_projector", "merger")  # of FastVLM and LLaVA; of Qwen-VL
TOWERS = ("vision_tower", "visual", "vision_model")


def attach(backbone: Parts, lora: LoraSettings, *, train_projector: bool = False, seed: int = 0) -> PeftModel:
    """Put a fresh adapter into the backbone's model and give the model to train.

    The layers are put in place, so the backbone's own operations see the adapter as it is trained, and the base under
    ``with model.disable_adapter()``.

    Args:
        backbone: whose language model gets the adapter. Its vision tower stays as it is.
        lora: rank, scale, dropout.
        train_projector: also train what joins pictures to the language model. It is saved with the adapter.
        seed: of the adapter's random half.

    Raises:
        ConfigError: if the model has no projector of a known name.
    """
    model = backbone.model
    config = adapter_config(model, lora.rank, lora.alpha, lora.dropout, train_projector=train_projector)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, config)
    adapted.base_fingerprint = backbone.fingerprint
    hold_vision(adapted)
    return adapted


def adapter_config(model: Any, rank: int, alpha: int, dropout: float, *, train_projector: bool) -> LoraConfig:
    """Return peft's settings of an adapter on the language model of ``model``.

    Raises:
        ConfigError: if the projector shall be trained and has no known name.
    """
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=TARGETS,
        modules_to_save=[_projector(model)] if train_projector else None,
        task_type="CAUSAL_LM",
    )


def hold_vision(model: Any) -> None:
    """Keep the vision tower in eval mode for good, also when a trainer calls ``model.train()``.

    In training mode one batch nearly replaces the running statistics of its batch normalization, and no adapter saves
    them.
    """
    for tower in vision_towers(model):
        tower.train = types.MethodType(_stay_in_eval, tower)  # type: ignore[method-assign]  # that is the purpose
        tower.eval()


def vision_towers(model: Any) -> list[torch.nn.Module]:
    """The parts of a model that read pixels."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    inner = getattr(base, "model", base)
    return [getattr(inner, name) for name in TOWERS if isinstance(getattr(inner, name, None), torch.nn.Module)]


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter, and the projector if it was trained, into ``folder``."""
    # The path of the base would make the same adapter differ between machines. Its fingerprint is put in only here: in
    # a training's checkpoints peft would take it for the name of a model on the hub, and ask there.
    settings = model.peft_config["default"]
    path, settings.base_model_name_or_path = settings.base_model_name_or_path, model.base_fingerprint
    try:
        model.save_pretrained(str(folder), save_embedding_layers=False)
    finally:
        settings.base_model_name_or_path = path
    (folder / "README.md").unlink(missing_ok=True)  # an unfilled form


def check_adapters(adapters: Sequence[Path]) -> None:
    """See that each folder holds an adapter.

    Raises:
        MissingInputError: if one does not.
    """
    for folder in adapters:
        if not (folder / "adapter_config.json").is_file():
            raise MissingInputError(
                f"{folder} holds no adapter (adapter_config.json is missing). Materialize the asset that writes it, "
                "or name a folder that `save_adapter` wrote."
            )


def merge_adapters(model: Any, adapters: Sequence[Path]) -> Any:
    """Return the model with each adapter added into its weights, in order; see ``check_adapters``."""
    check_adapters(adapters)
    for folder in adapters:
        model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return model


def _projector(model: Any) -> str:
    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
    for name in PROJECTORS:
        if name in names:
            return name
    raise ConfigError(
        f"a {type(model).__name__} has no projector under a known name ({', '.join(PROJECTORS)}), so it cannot be "
        "aligned. Set alignment.steps to 0."
    )


def _stay_in_eval(tower: torch.nn.Module, mode: bool = True) -> torch.nn.Module:  # noqa: ARG001  (torch's signature)
    return torch.nn.Module.train(tower, False)
