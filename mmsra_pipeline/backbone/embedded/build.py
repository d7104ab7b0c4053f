"""The embedded backbone: FastVLM out of SmolLM2-135M and EfficientNet-Lite0, from weights that packages ship.

What is written is an ordinary checkpoint folder that transformers' Auto classes load, with the projector of the warm
start that the package ships (``warm_start.py``). Its adapter lies beside it: it names colours, patterns and shapes of
drawings, and writes keywords. The vision tower has a path for colour (``colour_path.py``).
"""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    EfficientNetModel,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    GenerationConfig,
    LlamaConfig,
    LlavaProcessor,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from mmsra_pipeline.backbone.embedded.colour_path import colour_path_config, with_colour_path
from mmsra_pipeline.backbone.embedded.lite0 import STRIDE, feature_difference, lite0_config, load_lite0
from mmsra_pipeline.backbone.embedded.packaged_weights import (
    LANGUAGE,
    REFERENCE_MODULE,
    REFERENCE_PACKAGE,
    VISION,
    package_folder,
)
from mmsra_pipeline.backbone.embedded.warm_start import add_warm_start
from mmsra_pipeline.storage.artifacts import Artifacts

log = logging.getLogger(__name__)

KIND, NAME = "backbone", "embedded"
REPORT = "backbone.json"
RECIPE = 4  # raised when the same sources give another checkpoint, so that older ones are built anew
IMAGE_TOKEN = "<image>"
CHECKED_SIDES = (128, 224)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def embedded_folder(artifacts: Artifacts, image_side: int) -> Path:
    """Return the folder of the embedded backbone, building it first where it is missing or of an older recipe.

    Raises:
        MissingInputError: if a package that ships weights is not installed.
        DataError: if weights are not the pinned ones.
    """
    if not _is_built(artifacts):
        log.info("building the embedded backbone")
        with artifacts.publish(KIND, NAME) as folder:
            build_embedded(folder, image_side)
    return artifacts.current(KIND, NAME)


def build_embedded(folder: Path, image_side: int, *, warm: bool = True) -> dict[str, Any]:
    """Write the checkpoint into ``folder`` and give a report of what it is made of.

    Args:
        folder: an existing folder.
        image_side: the side in pixels that the saved processor resizes pictures to; loading may choose another.
        warm: whether it gets the warm start. Without it a picture means nothing to the language model.

    Raises:
        MissingInputError: if a package that ships weights, or the original network's code, is not installed.
        DataError: if weights are not the pinned ones, or the vision tower differs from the original network.
    """
    package_folder(REFERENCE_MODULE, REFERENCE_PACKAGE)  # all packages are asked for before the long part
    language, vision = LANGUAGE.checked_path(), VISION.checked_path()
    tokenizer = _tokenizer(language)
    original = torch.load(vision, map_location="cpu", weights_only=True)
    model = _assemble(language, original, tokenizer)
    difference = feature_difference(model.model.vision_tower, original, CHECKED_SIDES)
    recipe = add_warm_start(model, folder) if warm else None
    model.save_pretrained(folder)
    _processor(tokenizer, image_side).save_pretrained(folder)
    report = {
        "recipe": RECIPE,
        "parameters": sum(value.numel() for value in model.parameters()),
        "feature_difference": difference,
        "warm_start": recipe,
        "sources": [
            {"package": s.package, "file": s.file, "sha256": s.sha256, "licence": s.licence} for s in (LANGUAGE, VISION)
        ],
    }
    (folder / REPORT).write_text(json.dumps(report, indent=2))
    return report


def backbone_info(artifacts: Artifacts) -> dict[str, Any]:
    """Return the report of the built embedded backbone, with its version and folder.

    Raises:
        MissingInputError: if it was not built yet.
    """
    folder = artifacts.current(KIND, NAME)
    return {"version": folder.name, "folder": str(folder), **json.loads((folder / REPORT).read_text())}


def _is_built(artifacts: Artifacts) -> bool:
    return artifacts.has(KIND, NAME) and backbone_info(artifacts)["recipe"] == RECIPE


def _tokenizer(language: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(language.parent, gguf_file=language.name)
    tokenizer.add_tokens([IMAGE_TOKEN], special_tokens=True)
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.padding_side = "left"
    tokenizer.init_kwargs["padding_side"] = "left"  # only what stands here is saved
    return tokenizer


def _assemble(language: Path, original: dict[str, Tensor], tokenizer: Any) -> Any:
    # A model that was read from GGUF cannot be saved, so its weights go into a fresh one.
    source = AutoModelForCausalLM.from_pretrained(language.parent, gguf_file=language.name, dtype=torch.float32)
    left_out = ("quantization_config", "_name_or_path", "dtype", "architectures")
    settings = {key: value for key, value in source.config.to_dict().items() if key not in left_out}
    image_token = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    config = FastVlmConfig(
        vision_config=colour_path_config(),
        text_config=LlamaConfig(**{**settings, "pad_token_id": tokenizer.pad_token_id}),
        image_token_index=image_token,
        image_seq_length=(224 // STRIDE) ** 2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the projector's weights are the only ones that stay random
        model = FastVlmForConditionalGeneration(config)
    model.model.language_model.load_state_dict(source.model.state_dict())
    lite0 = EfficientNetModel(lite0_config()).eval()
    load_lite0(lite0, original)
    model.model.vision_tower.load_state_dict(with_colour_path(lite0).state_dict(), strict=True)
    known = model.get_input_embeddings().num_embeddings
    model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64, mean_resizing=False)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[known:] = table[:known].mean(dim=0)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=[image_token],  # an image token without a picture breaks the forward pass
    )
    return model.eval()


def _processor(tokenizer: Any, image_side: int) -> Any:
    pictures = LlavaImageProcessorPil(
        do_pad=True,
        do_resize=True,
        size={"shortest_edge": image_side},
        do_center_crop=True,
        crop_size={"height": image_side, "width": image_side},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        resample=3,
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=STRIDE,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN,
    )
