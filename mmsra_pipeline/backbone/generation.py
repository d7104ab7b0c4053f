"""Answers in words."""

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

TAIL_TOKENS = 8  # a stop text of a few characters lies within that many tokens


class StopAtText:
    """Ends each answer once its newest words hold ``text``."""

    def __init__(self, tokenizer: Any, text: str, prompt_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._text = text
        self._start = prompt_tokens

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:  # noqa: ARG002  (transformers' signature)
        """Which rows are done."""
        start = max(self._start, input_ids.shape[1] - TAIL_TOKENS)
        tails = self._tokenizer.batch_decode(input_ids[:, start:], skip_special_tokens=True)
        return torch.tensor([self._text in tail for tail in tails], device=input_ids.device)


def generation_config(
    model: Any, pad_token_id: int, *, max_new_tokens: int, temperature: float, suppressed: tuple[int, ...]
) -> GenerationConfig:
    """Plain greedy decoding, or plain sampling at a temperature; nothing of a checkpoint's own habits but its ends."""
    settings: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        settings = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        repetition_penalty=1.0,
        eos_token_id=model.generation_config.eos_token_id,
        pad_token_id=pad_token_id,
        suppress_tokens=list(suppressed),
        **settings,
    )


def cut(text: str, stop: str | None) -> str:
    """Give what stands before the stop text."""
    return text.split(stop, 1)[0] if stop else text
