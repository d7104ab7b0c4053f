"""Answers by transformers' ``generate`` in padded batches, for models whose prefixes cannot be shared."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteriaList

from mmsra_pipeline.backbone.completion import Answer, Asked, Completion, choose, completion, restrict
from mmsra_pipeline.backbone.parts import Parts
from mmsra_pipeline.backbone.prompt import Prompt


def padded_completions(
    backbone: Parts, prompts: Sequence[Prompt], asked: Asked, ends: frozenset[int]
) -> list[list[Completion]]:
    """Return ``asked.copies`` answers to each prompt; see ``Backbone.complete``."""
    settings = GenerationConfig(
        max_new_tokens=asked.max_new_tokens,
        do_sample=False,  # the processor leaves one token of each row
        repetition_penalty=1.0,
        eos_token_id=sorted(ends | ({asked.form.end} if asked.form else set())) or None,
        pad_token_id=int(backbone.tokenizer.pad_token_id),
    )
    answers = [Answer(backbone, asked, row, copy, ends) for row in range(len(prompts)) for copy in range(asked.copies)]
    size = backbone.config.batch_size
    for batch in (answers[start : start + size] for start in range(0, len(answers), size)):
        inputs = backbone.encode([prompts[answer.prompt] for answer in batch])
        steps = _Steps(backbone, asked, batch)
        backbone.model.generate(
            **inputs,
            generation_config=settings,
            logits_processor=LogitsProcessorList([steps]),
            stopping_criteria=StoppingCriteriaList([steps.stopped]),
        )
    found = [completion(backbone.tokenizer, answer.ids, asked.stop) for answer in answers]
    return [found[start : start + asked.copies] for start in range(0, len(found), asked.copies)]


class _Steps(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed here
    """Chooses each next token by the answers' own rules, and leaves transformers no other."""

    def __init__(self, backbone: Parts, asked: Asked, answers: Sequence[Answer]) -> None:
        self._suppressed = backbone.encoder.image_token_ids
        self._asked = asked
        self._answers = answers
        self._pad = int(backbone.tokenizer.pad_token_id)
        self._forced: list[list[int]] = [[] for _ in answers]
        for answer, forced in zip(answers, self._forced):
            forced += answer.take_forced()

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002  (transformers' signature)
        """Return logits that leave one token."""
        tokens = [forced.pop(0) if forced else self._pad for forced in self._forced]
        asking = [row for row, answer in enumerate(self._answers) if not answer.done and tokens[row] == self._pad]
        if asking:
            live = [self._answers[row] for row in asking]
            allowed = [answer.state.allowed() for answer in live if answer.state is not None]
            logits = scores[asking].float()
            restrict(logits, self._suppressed, torch.stack(allowed) if allowed else None)
            draws = [answer.draw for answer in live] if self._asked.temperature > 0 else []
            for row, token in zip(asking, choose(logits, self._asked.temperature, draws)):
                tokens[row], *self._forced[row] = self._answers[row].take(token)
        found = torch.full_like(scores, -torch.inf)
        found[torch.arange(len(tokens)), tokens] = 0.0
        return found

    def stopped(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:  # noqa: ARG002  (transformers' signature)
        """Which rows are done."""
        done = [answer.done and not forced for answer, forced in zip(self._answers, self._forced, strict=True)]
        return torch.tensor(done, device=input_ids.device)
