"""From prompts to tensors: chat template, token ids, padding, labels."""

import logging
import re
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.errors import ConfigError

log = logging.getLogger(__name__)

IGNORED = -100  # the label that a loss skips
ROWWISE = {"attention_mask": 1, "mm_token_type_ids": 0, "token_type_ids": 0}  # and its value at an answer's tokens
Side = Literal["left", "right"]


class Encoder:
    """Turns prompts into the tensors that a model takes."""

    def __init__(self, processor: Any, image_token_ids: Sequence[int]) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.image_token_ids = tuple(image_token_ids)
        control = sorted(self.tokenizer.get_added_vocab(), key=len, reverse=True)
        self._as_is: dict[bool, bool] = {}
        self._control = re.compile("|".join(re.escape(token) for token in control) or r"(?!)")

    def render(self, prompt: Prompt) -> str:
        """Return the text that is tokenized, up to and with the words that the answer begins with.

        Control tokens that stand in the prompt's own words become blanks: an item's description that spells one must
        not end the turn or claim to be a picture.
        """
        parts = tuple(self.plain(part) if isinstance(part, str) else part for part in prompt.parts)
        chat = Prompt(parts).messages()
        text: str = self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return text + prompt.prefill

    def plain(self, text: str) -> str:
        """Return ``text`` with blanks in place of control tokens."""
        return self._control.sub(" ", text)

    def answer_ids(self, answer: str, *, end: bool = False) -> list[int]:
        """Token ids of an answer by itself, with the end-of-turn token if asked for."""
        ids: list[int] = self.tokenizer.encode(self.plain(answer), add_special_tokens=False)
        return [*ids, self.tokenizer.eos_token_id] if end else ids

    def first_token(self, word: str) -> int:
        """Return the token that an answer with this word begins with."""
        return self.answer_ids(word)[0]

    def writes_as_is(self, prompt: Prompt, ids: Sequence[int]) -> bool:
        """Whether the processor gives just these tokens for a prompt. Asked once with pictures and once without."""
        with_pictures = bool(prompt.images)
        if with_pictures not in self._as_is:
            self._as_is[with_pictures] = self.encode([prompt])["input_ids"][0].tolist() == list(ids)
            if not self._as_is[with_pictures]:
                log.warning("the processor adds to what is rendered: prompts that begin alike are computed each alone")
        return self._as_is[with_pictures]

    def encode(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[str] | None = None,
        *,
        side: Side = "left",
        end: bool = True,
    ) -> dict[str, Tensor]:
        """Return the batch as model inputs, on the CPU.

        Args:
            prompts: at least one.
            answers: what follows each prompt. With them the batch has ``labels``: the answer's token ids at the
                answer's places, -100 elsewhere, so that a loss sees nothing but the answer.
            side: where padding goes. Generation wants it on the left.
            end: whether each answer is followed by the end-of-turn token, which the labels include.

        Returns:
            ``input_ids``, ``attention_mask`` of shape (prompts, tokens), what the model needs beside them (pixels,
            picture grids, token types), and ``labels`` where there are answers.
        """
        images = [image for prompt in prompts for image in prompt.images]
        batch = dict(
            self.processor(
                text=[self.render(prompt) for prompt in prompts],
                images=images or None,
                padding=True,
                return_tensors="pt",
                add_special_tokens=False,
            )
        )
        seen = batch["attention_mask"].bool()
        nothing: list[list[int]] = [[] for _ in prompts]
        tails = nothing if answers is None else [self.answer_ids(answer, end=end) for answer in answers]

        def extended(key: str, filler: int, endings: Sequence[Sequence[int]]) -> Tensor:
            rows = [
                torch.cat([row[mask], torch.tensor(ending, dtype=row.dtype)])
                for row, mask, ending in zip(batch[key], seen, endings, strict=True)
            ]
            return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=filler, padding_side=side)

        result = {key: value for key, value in batch.items() if key not in ROWWISE and key != "input_ids"}
        result["input_ids"] = extended("input_ids", int(self.tokenizer.pad_token_id), tails)
        for key, ending in ROWWISE.items():
            if key in batch:
                result[key] = extended(key, 0, [[ending] * len(tail) for tail in tails])
        if answers is not None:
            batch["labels"] = torch.full_like(batch["input_ids"], IGNORED)
            result["labels"] = extended("labels", IGNORED, tails)
        return result


def set_image_side(processor: Any, side: int) -> None:
    """Make ``processor`` show pictures at ``side`` pixels, where its model takes pictures of any size.

    Raises:
        ConfigError: if the side is no multiple of the pixels that one feature covers.
    """
    pictures = processor.image_processor
    patch = int(getattr(processor, "patch_size", None) or 1)
    size = dict(pictures.size or {})
    if getattr(pictures, "crop_size", None) and "shortest_edge" in size:
        if side % patch:
            raise ConfigError(
                f"backbone.image_side={side} is no multiple of {patch}, the pixels that one feature of this model "
                f"covers. Use {max(side // patch, 1) * patch} or {(side // patch + 1) * patch}."
            )
        pictures.size = {"shortest_edge": side}
        pictures.crop_size = {"height": side, "width": side}
    elif {"shortest_edge", "longest_edge"} <= set(size) and hasattr(pictures, "merge_size"):  # counts of pixels
        most = side * side
        pictures.size = {"shortest_edge": min(int(size["shortest_edge"]), most), "longest_edge": most}
