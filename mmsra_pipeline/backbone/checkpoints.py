"""Finds a checkpoint, reads its parts with transformers' own classes, and names its content."""

import contextlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    Qwen2_5_VLProcessor,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from mmsra_pipeline.backbone.embedded.build import embedded_folder
from mmsra_pipeline.errors import ConfigError, MissingInputError
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import fingerprint, joined_hash

log = logging.getLogger(__name__)

EMBEDDED = "embedded"
SMALL_FILE = 4_000_000
SAMPLES, SAMPLE_BYTES = 16, 65_536


def find_checkpoint(model: str, image_side: int, artifacts: Artifacts) -> str:
    """Return the folder, or else the hub name, that ``model`` means.

    Raises:
        ConfigError: if a folder holds no checkpoint, or a path leads nowhere.
        MissingInputError: if the embedded backbone must be built and a package is missing.
    """
    if model == EMBEDDED:
        return str(embedded_folder(artifacts, image_side))
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"backbone.model={model}: the folder has no config.json, so it is no checkpoint of transformers. "
                "Name the folder that `save_pretrained` wrote, a hub name, or 'embedded'."
            )
        return str(folder)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ConfigError(
            f"backbone.model={model}: no such folder. Correct the path, or name a hub model ('owner/name') "
            "or 'embedded'."
        )
    return model


def read_config(place: str) -> Any:
    """Return the configuration of a checkpoint.

    Raises:
        MissingInputError: if it is neither in the cache nor to be had from the hub.
        ConfigError: if it is no image-text-to-text model.
    """
    with _readable(place):
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    if config.model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ConfigError(
            f"backbone.model={place} is a {config.model_type!r} model, which does not take pictures and text and "
            "answer in text. Name a model that transformers' AutoModelForImageTextToText loads."
        )
    return config


def read_processor(place: str, config: Any) -> Any:
    """Return the processor of a checkpoint.

    Raises:
        MissingInputError: if it is neither in the cache nor to be had from the hub.
    """
    with _readable(place):
        if importlib.util.find_spec("torchvision") or config.model_type not in ("qwen2_vl", "qwen2_5_vl"):
            return AutoProcessor.from_pretrained(place, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        pictures = AutoImageProcessor.from_pretrained(place, trust_remote_code=False, backend="pil")
        return PictureProcessor(
            image_processor=pictures, tokenizer=tokenizer, video_processor=None, chat_template=tokenizer.chat_template
        )


def read_model(place: str, dtype: torch.dtype) -> Any:
    """Return the model of a checkpoint, in eval mode. No code that comes with it is run.

    Raises:
        MissingInputError: if it is neither in the cache nor to be had from the hub.
    """
    with _readable(place):
        model = AutoModelForImageTextToText.from_pretrained(
            place, dtype=dtype, trust_remote_code=False, use_safetensors=True
        )
    return model.eval()


def checkpoint_fingerprint(place: str, config: Any) -> str:
    """Return a short hash that changes with the checkpoint's content. The weights are not loaded.

    Of a folder: names, sizes and contents, large files by samples. Of a hub name: the commit, else the configuration.
    """
    folder = Path(place)
    if not folder.is_dir():
        commit = getattr(config, "_commit_hash", None)
        return fingerprint(place, commit or config.to_json_string())
    files = sorted(item for item in folder.rglob("*") if item.is_file())
    return joined_hash(
        f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode() + _sampled(path) for path in files
    )[:16]


@contextlib.contextmanager
def _readable(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MissingInputError(
            f"backbone.model={place} could not be read: it is neither in the cache of Hugging Face nor to be had from "
            f"the hub ({str(error).splitlines()[0]}). Connect to the hub once, put the checkpoint into a folder and "
            "name that, or set backbone.model to 'embedded'."
        ) from error


def _sampled(path: Path) -> bytes:
    size = path.stat().st_size
    if size <= SMALL_FILE:
        return path.read_bytes()
    with path.open("rb") as handle:
        pieces = []
        for index in range(SAMPLES):
            handle.seek((size - SAMPLE_BYTES) * index // (SAMPLES - 1))
            pieces.append(handle.read(SAMPLE_BYTES))
    return b"".join(pieces)


class PictureProcessor(Qwen2_5_VLProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Qwen2.5-VL's processor without videos, whose part of it exists only where torchvision is installed."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """Ask for no video processor."""
        if argument_name == "video_processor":
            return None
        return super().check_argument_for_proper_class(argument_name, argument)

    def save_pretrained(self, save_directory: str | Path, **_settings: Any) -> list[str]:
        """Write the parts that there are."""
        self.tokenizer._set_processor_class(Qwen2_5_VLProcessor.__name__)  # for whoever reads it with AutoProcessor
        return [
            str(file)
            for part in (self.tokenizer, self.image_processor)
            for file in part.save_pretrained(save_directory) or []
        ]
