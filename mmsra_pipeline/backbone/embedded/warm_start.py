"""The warm start that the embedded backbone ships: a projector, and an adapter of its language model.

Trained once by ``tools/warm_start.py`` on drawings and texts of no catalogue, so that a first run need not. In
bfloat16: 7 MB. The projector becomes part of the checkpoint. The adapter lies beside it, for whoever writes keywords:
it costs the language model some of its English, and what shows no picture is better off without it.
"""

import json
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmsra_pipeline.backbone.lora import adapter_config, save_adapter
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.storage.hashing import file_hash

FILE: Final = Path(__file__).with_name("warm_start.safetensors")
SHA256: Final = "ab9595fde7307ecce86816ef0246c12c3c4ff29ec5c18734fe9b06f0a92af8ca"
RECIPE: Final = "recipe"
FOLDER: Final = "warm_start"  # of a checkpoint, with the adapter
PREFIX: Final = "base_model.model."  # peft's, of the names of weights


def write_warm_start(model: PeftModel, file: Path, recipe: dict[str, Any]) -> None:
    """Write adapter and projector of a trained model in bfloat16, with the recipe that made them."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    rounded = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in state.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(rounded, str(file), metadata={RECIPE: json.dumps(recipe, sort_keys=True)})


def add_warm_start(model: Any, checkpoint: Path, file: Path = FILE, sha256: str = SHA256) -> dict[str, Any]:
    """Put the projector of the warm start into the model, write its adapter beside the checkpoint, return the recipe.

    Args:
        model: gets the projector in place, and no adapter.
        checkpoint: the folder that the model will be saved in; ``warm_start_adapter`` finds the adapter there.
        file: what ``write_warm_start`` wrote.
        sha256: of the file.

    Raises:
        MissingInputError: if the file is missing.
        DataError: if its sha256 is another, or it was trained on another architecture.
    """
    recipe, state = _read(file, sha256)
    adapter = {name: value for name, value in state.items() if "lora_" in name}
    projector = {name.removeprefix(PREFIX): value for name, value in state.items() if name not in adapter}
    settings = adapter_config(model, recipe["rank"], recipe["alpha"], 0.0, train_projector=False)
    adapted = get_peft_model(model, settings)
    other = set(adapter) ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    other |= set(projector) - set(adapted.get_base_model().state_dict())
    if other:
        raise DataError(f"{file} has weights of another model: {min(other)} and {len(other) - 1} more do not fit.")
    set_peft_model_state_dict(adapted, adapter)
    adapted.base_fingerprint = FOLDER
    save_adapter(adapted, checkpoint / FOLDER)
    adapted.unload().load_state_dict(projector, strict=False)
    return recipe


def warm_start_adapter(checkpoint: str) -> list[Path]:
    """Return the folder of the warm start's adapter beside a checkpoint, as a list: empty where it has none."""
    folder = Path(checkpoint) / FOLDER
    return [folder] if (folder / "adapter_config.json").is_file() else []


def _read(file: Path, sha256: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not file.is_file():
        raise MissingInputError(f"{file} is missing: install the package again (`make setup`), or `make warm-start`.")
    found = file_hash(file)
    if found != sha256:
        raise DataError(f"{file} has sha256 {found}, expected {sha256}: it is damaged. Install the package again.")
    with safe_open(str(file), "pt") as stored:
        recipe: dict[str, Any] = json.loads(stored.metadata()[RECIPE])
        return recipe, {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118  (no dict)
