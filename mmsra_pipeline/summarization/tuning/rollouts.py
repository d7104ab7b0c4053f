"""Completions that the summarizer samples for items, each with its tokens and what the form allowed at their places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.summarization.form import KeywordForm
from mmsra_pipeline.summarization.keywords import Summary, parse_summary
from mmsra_pipeline.summarization.summary_prompts import summary_prompt


@dataclass(frozen=True)
class Item:
    """What the summarizer is shown of an item."""

    name: str
    text: str
    title: str
    image: Image.Image | None

    @property
    def prompt(self) -> Prompt:
        """Asks for its keywords."""
        return summary_prompt(self.text, self.image)

    @property
    def lines(self) -> tuple[bool, bool]:
        """Whether there is a picture, and whether there is a text, to give keywords of."""
        return self.image is not None, bool(self.text.strip())


@dataclass(frozen=True)
class Rollout:
    """One completion of an item."""

    item: Item
    text: str
    ids: tuple[int, ...]
    summary: Summary
    ended: bool
    """Its turn ended before the token limit."""


class Writer:
    """Samples completions of the form, several of each item behind one run of its prompt."""

    def __init__(self, backbone: Backbone, config: SummarizationConfig) -> None:
        self._backbone = backbone
        self._config = config
        self._ends = end_tokens(backbone.model)
        self.form = KeywordForm(backbone.tokenizer, self._ends, config)

    def write(
        self, items: Sequence[Item], *, copies: int = 1, temperature: float = 0.0, seed: int = 0
    ) -> list[list[Rollout]]:
        """Return ``copies`` completions of each item; the same list and seed give the same ones."""
        autocast = self._backbone.autocasts(self._backbone.config.autocast)
        found = self._backbone.complete(
            [item.prompt for item in items],
            max_new_tokens=self._config.max_new_tokens,
            temperature=temperature,
            seed=seed,
            form=self.form,
            lines=[item.lines for item in items],
            copies=copies,
            autocast=autocast,
        )
        return [
            [
                Rollout(item, one.text, one.ids, parse_summary(one.text, self._config), one.ids[-1:] in self._endings)
                for one in own
            ]
            for item, own in zip(items, found, strict=True)
        ]

    def masks(self, rollout: Rollout) -> Bool[Tensor, "tokens vocab"]:
        """Return what the form allowed at each place of a completion."""
        image, text = rollout.item.lines
        return torch.as_tensor(self.form.masks(rollout.ids, image, text))

    @property
    def _endings(self) -> set[tuple[int, ...]]:
        return {(token,) for token in self._ends}


def end_tokens(model: Any) -> tuple[int, ...]:
    """Return the tokens that end a turn."""
    ends = model.generation_config.eos_token_id
    return (int(ends),) if isinstance(ends, int) else tuple(int(token) for token in ends)
