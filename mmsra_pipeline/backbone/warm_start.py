"""The warm start that the embedded backbone ships: a projector and an adapter, merged in when it is built.

Trained once by ``tools/warm_start.py`` on drawings and texts of no catalogue, so that a first run need not. In
bfloat16: 7 MB.
"""

import json
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import save_file

from mmsra_pipeline.backbone.lora import adapter_config
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.files import file_hash

FILE: Final = Path(__file__).with_name("warm_start.safetensors")
SHA256: Final = "ab9595fde7307ecce86816ef0246c12c3c4ff29ec5c18734fe9b06f0a92af8ca"
RECIPE: Final = "recipe"


def write_warm_start(model: PeftModel, file: Path, recipe: dict[str, Any]) -> None:
    """Write adapter and projector of a trained model in bfloat16, with the recipe that made them."""
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    rounded = {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in state.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(rounded, str(file), metadata={RECIPE: json.dumps(recipe, sort_keys=True)})


def merge_warm_start(model: Any, file: Path = FILE, sha256: str = SHA256) -> tuple[Any, dict[str, Any]]:
    """Give the model with the warm start merged into its weights, and the recipe.

    Raises:
        MissingInputError: if the file is missing.
        DataError: if its sha256 is another.
    """
    if not file.is_file():
        raise MissingInputError(f"{file} is missing: install the package again (`make setup`), or `make warm-start`.")
    found = file_hash(file)
    if found != sha256:
        raise DataError(f"{file} has sha256 {found}, expected {sha256}: it is damaged. Install the package again.")
    with safe_open(str(file), "pt") as stored:
        recipe: dict[str, Any] = json.loads(stored.metadata()[RECIPE])
        state = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118  (it is no dict)
    settings: LoraConfig = adapter_config(model, recipe["rank"], recipe["alpha"], 0.0, train_projector=True)
    adapted = get_peft_model(model, settings)
    other = sorted(set(state) ^ set(get_peft_model_state_dict(adapted, save_embedding_layers=False)))
    if other:
        raise DataError(f"{file} has weights of another model: {other[0]} and {len(other) - 1} more do not fit.")
    set_peft_model_state_dict(adapted, state)
    return adapted.merge_and_unload(), recipe
