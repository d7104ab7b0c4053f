"""Keywords by transformers' ``generate``: what our own loop is compared with."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteriaList

from mmsra_pipeline.backbone.completion import ends_of
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt

STOP, TAIL_TOKENS = "\n\n", 8


def padded_batches(backbone: Backbone, prompts: Sequence[Prompt], tokens: int, size: int) -> list[str]:
    """Answers in padded batches of like length, as in commit 498a0bc; one by one with a ``size`` of 1."""
    order = sorted(range(len(prompts)), key=lambda row: sum(len(p) for p in prompts[row].parts if isinstance(p, str)))
    answers: dict[int, str] = {}
    settings = GenerationConfig(
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=sorted(ends_of(backbone.model)),
        pad_token_id=int(backbone.tokenizer.pad_token_id),
        suppress_tokens=list(backbone.encoder.image_token_ids),
    )
    for rows in (order[start : start + size] for start in range(0, len(order), size)):
        inputs = backbone.encode([prompts[row] for row in rows])
        width = inputs["input_ids"].shape[1]
        ends = StoppingCriteriaList([_StopAtText(backbone.tokenizer, width)])
        found = backbone.model.generate(**inputs, generation_config=settings, stopping_criteria=ends)
        texts = backbone.tokenizer.batch_decode(found[:, width:], skip_special_tokens=True)
        answers |= {row: text.split(STOP, 1)[0] for row, text in zip(rows, texts, strict=True)}
    return [answers[row] for row in range(len(prompts))]


class _StopAtText:
    def __init__(self, tokenizer: Any, prompt_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._start = prompt_tokens

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:  # noqa: ARG002  (transformers' signature)
        start = max(self._start, input_ids.shape[1] - TAIL_TOKENS)
        tails = self._tokenizer.batch_decode(input_ids[:, start:], skip_special_tokens=True)
        return torch.tensor([STOP in tail for tail in tails])
