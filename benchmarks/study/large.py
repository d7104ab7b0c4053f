"""A backbone of the paper's architecture and size with random weights: what a step and a list cost."""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from candidates import WORDS, make_prompts, token_counts
from peers.repeated_prefix import one_by_one
from transformers import AutoTokenizer, GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.checkpoints import PictureProcessor
from mmsra_pipeline.backbone.devices import find_device
from mmsra_pipeline.backbone.embedded.build import CHAT_TEMPLATE, embedded_folder
from mmsra_pipeline.backbone.encoding import set_image_side
from mmsra_pipeline.backbone.groups import group_answers
from mmsra_pipeline.backbone.merging import held_fast, picture_tokens
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.config.tree import BackboneConfig, LoraSettings
from mmsra_pipeline.recommendation.batching import group_loss
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import find_paths

START, END, IMAGE, VIDEO = PICTURE = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEXT = {  # of Qwen2.5-VL-7B-Instruct
    "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 128000, "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}  # fmt: skip
VISION = {
    "depth": 32, "hidden_size": 1280, "out_hidden_size": 3584, "num_heads": 16, "intermediate_size": 3420,
    "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip
SMALL_TEXT = {
    "vocab_size": 50176, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
}  # fmt: skip
SMALL_VISION = {
    "depth": 2, "hidden_size": 32, "out_hidden_size": 64, "num_heads": 2, "intermediate_size": 64,
    "fullatt_block_indexes": [1],
}  # fmt: skip
Row = dict[str, float | str]


def random_backbone(*, small: bool, image_side: int, device: str) -> Backbone:
    """Return the backbone, its weights made where they shall lie.

    Its tokenizer is that of the embedded one with the tokens of Qwen's pictures, so that prompts are of real length.
    """
    tokenizer = AutoTokenizer.from_pretrained(embedded_folder(Artifacts(find_paths().artifacts), image_side))
    tokenizer.add_tokens(list(PICTURE), special_tokens=True)
    tokenizer.padding_side = "left"
    pictures = Qwen2VLImageProcessorPil(patch_size=14, merge_size=2, temporal_patch_size=2)
    template = CHAT_TEMPLATE.replace("'<image>'", f"'{START}{IMAGE}{END}'")
    processor = PictureProcessor(
        image_processor=pictures, tokenizer=tokenizer, video_processor=None, chat_template=template
    )
    set_image_side(processor, image_side)
    of = tokenizer.convert_tokens_to_ids
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, **(SMALL_TEXT if small else {}), **ends, "pad_token_id": tokenizer.pad_token_id},
        vision_config={**VISION, **(SMALL_VISION if small else {})},
        image_token_id=of(IMAGE),
        video_token_id=of(VIDEO),
        vision_start_token_id=of(START),
        tie_word_embeddings=False,
    )

    def build() -> Any:
        torch.manual_seed(0)
        with torch.device(device):
            model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
        model.generation_config = GenerationConfig(**ends, pad_token_id=tokenizer.pad_token_id)
        return held_fast(model, device)

    settings = BackboneConfig(model="embedded", image_side=image_side, dtype="bfloat16", autocast="auto", device=device)
    return Backbone(
        processor, settings, name="random", fingerprint="random", picture_tokens=picture_tokens(config), model=build
    )


def measure(out: Path, *, small: bool, history: int, candidates: int, trained: int, repeats: int) -> None:
    """Measure and print: a training step of one query, and scores of one list, with and without pictures."""
    backbone = random_backbone(small=small, image_side=224, device=find_device("auto"))
    start = time.monotonic()
    parameters = sum(value.numel() for value in backbone.model.parameters())
    print(f"{parameters / 1e9:.2f} billion weights made in {time.monotonic() - start:.0f} s", flush=True)
    rows: list[Row] = []
    found = {
        "device": torch.cuda.get_device_name() if backbone.device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "parameters": parameters,
        "weights_gb": round(_allocated(backbone), 2),
        "history": history,
        "rows": rows,
    }

    def keep(row: Row) -> None:
        rows.append(row)
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        out.mkdir(parents=True, exist_ok=True)
        (out / "large.json").write_text(json.dumps(found, indent=1))

    for pictures in (False, True):
        prompts = make_prompts(candidates, pictures=pictures, history=history)
        setting: Row = {"pictures": "yes" if pictures else "no", "candidates": candidates}
        counts = token_counts(backbone, prompts)
        ways: dict[str, Callable[[], torch.Tensor]] = {
            "one by one": lambda prompts=prompts: one_by_one(backbone, prompts, WORDS),
            "groups": lambda prompts=prompts: _unseen(backbone, prompts),
        }
        with torch.inference_mode():
            margins = {name: way() for name, way in ways.items()}  # warms up too
            apart = float((margins["groups"] - margins["one by one"]).abs().max())
            for name, way in ways.items():
                keep({"what": f"scoring, {name}", **setting, "tokens": counts[name], **_timed(backbone, way, repeats)})
        print(f"largest difference of a margin, in bfloat16: {apart:.3f}", flush=True)
    model = lora.attach(backbone, LoraSettings(), seed=0)
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-4)
    model.train()
    answers = [WORDS[0], *[WORDS[1]] * (trained - 1)]
    for pictures in (False, True):
        prompts = make_prompts(trained, pictures=pictures, history=history)

        def step(prompts: Any = prompts) -> torch.Tensor:
            with backbone.autocast():
                loss = group_loss(backbone, [prompts], [answers], listwise=1.0, yes_no=1.0)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        step()
        setting = {"pictures": "yes" if pictures else "no", "candidates": trained}
        tokens = token_counts(backbone, prompts)["groups"]
        keep({"what": "training step, groups", **setting, "tokens": tokens, **_timed(backbone, step, repeats)})


def _unseen(backbone: Backbone, prompts: Any) -> torch.Tensor:
    """Score as a group, with the pictures looked at anew, as one by one does."""
    vars(backbone).pop("pictures", None)
    return group_answers(backbone, prompts, WORDS).margin


def _timed(backbone: Backbone, way: Callable[[], torch.Tensor], repeats: int) -> Row:
    """Return the median seconds, and on a GPU the peak of its memory."""
    on_gpu, took = backbone.device.type == "cuda", []
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    for _ in range(repeats):
        start = time.monotonic()
        way().cpu()  # waits for the device
        if on_gpu:
            torch.cuda.synchronize()
        took.append(time.monotonic() - start)
    memory: Row = {"peak_gb": round(torch.cuda.max_memory_allocated() / 2**30, 2)} if on_gpu else {}
    return {"seconds": round(statistics.median(took), 4), **memory}


def _allocated(backbone: Backbone) -> float:
    weights = sum(value.numel() * value.element_size() for value in backbone.model.parameters())
    return weights / 2**30
