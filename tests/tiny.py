"""Tiny random checkpoints of two architectures, built from configurations: FastVLM and Qwen2.5-VL."""

import json
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    EfficientNetConfig,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    LlamaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmsra_pipeline.backbone.embedded.build import CHAT_TEMPLATE
from mmsra_pipeline.backbone.model import Backbone, load_backbone
from mmsra_pipeline.config.tree import BackboneConfig
from mmsra_pipeline.storage.artifacts import Artifacts

Kind = Literal["fastvlm", "qwen2_5_vl"]
SIDE = {"fastvlm": 32, "qwen2_5_vl": 56}  # pixels; 16 and 4 image tokens
WORDS = (
    "Image: red, blue, green, yellow, black, white, striped, dotted, plain, checked, mug, ball, bag, lamp, shirt, "
    "chair, none\nText: ceramic, gift, kitchen, toy, wool, soft, leather. Will the user buy it? Answer Yes or No. "
    "The user's history, newest last. Similar users then took. Candidate. Keywords of this product. Description."
)
QWEN_CHAT = CHAT_TEMPLATE.replace("'<image>'", "'<|vision_start|><|image_pad|><|vision_end|>'")


def tiny_tokenizer(*pictures: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer in which 'Yes' and 'No' are one token each, and so is each of ``pictures``."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", *pictures],
        show_progress=False,
    )
    backend.train_from_iterator([WORDS, "Yes", "No"] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<|endoftext|>",
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        padding_side="left",
    )


def tiny_fastvlm(folder: Path, seed: int = 0) -> Path:
    """Write a FastVLM of some 60 thousand parameters, of the embedded backbone's architecture."""
    tokenizer = tiny_tokenizer("<image>")
    side = SIDE["fastvlm"]
    config = FastVlmConfig(
        vision_config=EfficientNetConfig(
            image_size=side,
            width_coefficient=0.25,
            depth_coefficient=0.1,
            kernel_sizes=[3, 3],
            in_channels=[32, 16],
            out_channels=[16, 24],
            strides=[2, 2],
            num_block_repeats=[1, 1],
            expand_ratios=[1, 2],
            hidden_act="relu6",
            hidden_dim=320,
            hidden_size=320,
            drop_connect_rate=0.0,
            batch_norm_eps=1e-3,
        ),
        text_config=LlamaConfig(**_text_settings(tokenizer), head_dim=8),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        tie_word_embeddings=True,
    )
    processor = LlavaProcessor(
        image_processor=LlavaImageProcessorPil(
            do_pad=True,
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
            resample=3,
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
    )
    processor.save_pretrained(folder)
    return _saved(FastVlmForConditionalGeneration, config, folder, seed)


def tiny_qwen2_5_vl(folder: Path, seed: int = 0) -> Path:
    """Write a Qwen2.5-VL of some 100 thousand parameters, in the files of its published checkpoints."""
    tokenizer = tiny_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer.chat_template = QWEN_CHAT
    token = tokenizer.convert_tokens_to_ids
    text = _text_settings(tokenizer)
    rope = {"rope_type": "default", "rope_theta": 1e5, "mrope_section": [1, 1, 2]}
    config = Qwen2_5_VLConfig(
        text_config={**text, "rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "out_hidden_size": text["hidden_size"],
            "num_heads": 2,
            "intermediate_size": 64,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    pictures = Qwen2VLImageProcessorPil(patch_size=14, merge_size=2, temporal_patch_size=2)
    tokenizer.save_pretrained(folder)
    pictures.save_pretrained(folder)
    described = json.loads((folder / "preprocessor_config.json").read_text())
    # as in the published checkpoints
    described |= {"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12845056}
    described.pop("size")
    (folder / "preprocessor_config.json").write_text(json.dumps(described))
    return _saved(Qwen2_5_VLForConditionalGeneration, config, folder, seed)


def tiny_checkpoint(folder: Path, kind: Kind = "fastvlm", seed: int = 0) -> Path:
    """Write a tiny checkpoint of that architecture."""
    return (tiny_fastvlm if kind == "fastvlm" else tiny_qwen2_5_vl)(folder, seed)


def tiny_config(folder: Path, kind: Kind = "fastvlm", **settings: Any) -> BackboneConfig:
    """The settings that load a tiny checkpoint."""
    return BackboneConfig(**{"model": str(folder), "image_side": SIDE[kind], "device": "cpu", **settings})


def tiny_backbone(folder: Path, kind: Kind = "fastvlm", seed: int = 0, **settings: Any) -> Backbone:
    """Build, save and load a tiny backbone below ``folder``."""
    checkpoint = tiny_checkpoint(folder / kind, kind, seed)
    return load_backbone(tiny_config(checkpoint, kind, **settings), Artifacts(folder / "artifacts"))


def _text_settings(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": True,
    }


def _saved(model_class: Any, config: Any, folder: Path, seed: int) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config).eval()
        for name, value in model.named_parameters():
            if value.ndim == 2:  # transformers' usual 0.02 makes a model this small all but uniform
                torch.nn.init.normal_(value, std=0.3 if "embed_tokens" in name else 0.2)
            elif value.ndim > 2:  # convolutions
                torch.nn.init.kaiming_normal_(value)
            elif name.endswith("weight"):  # norms: at their usual 0.02 no picture gets through EfficientNet's ten
                torch.nn.init.ones_(value)
    model.generation_config.eos_token_id = config.get_text_config().eos_token_id
    model.save_pretrained(folder)
    return folder
