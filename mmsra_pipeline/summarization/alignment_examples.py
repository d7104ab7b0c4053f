"""What the alignment is trained on: prompts as they are asked later, each with the answer that it should get."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.columns import CATEGORY, ITEM, TAGS, TEXT
from mmsra_pipeline.config import AlignmentConfig, SummarizationConfig
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.sample_store.drawing import ALL_LOOKS, HELD_OUT, draw
from mmsra_pipeline.summarization.keywords import format_summary
from mmsra_pipeline.summarization.prompts import summary_prompt
from mmsra_pipeline.summarization.pseudo import pseudo_keywords

TRAINED_LOOKS = tuple(look for look in ALL_LOOKS if look not in HELD_OUT)
UNPICTURED_SHARE = 0.06  # one of a batch of 16


@dataclass(frozen=True)
class Example:
    """A prompt and its answer. What stands in the prompt's ``prefill`` is not trained."""

    prompt: Prompt
    answer: str


class AlignmentExamples:
    """Makes the batch of any step, the same each time, so that a training that goes on meets the same examples.

    A picture's keywords are known where it is drawn, or where its item has labels: tags, or categories if no item of
    the catalogue has tags. A picture without labels is shown only if none has any, and then only the text line is
    trained.
    """

    def __init__(
        self,
        item_text: pd.DataFrame,
        images: ItemImages,
        settings: AlignmentConfig,
        config: SummarizationConfig,
        *,
        side: int,
        seed: int,
    ) -> None:
        self._images = images
        self._settings = settings
        self._side = side
        self._seed = seed
        self._texts = [str(text) for text in item_text[TEXT].fillna("")]
        count = min(settings.text_keywords, config.max_keywords)
        self._keywords = pseudo_keywords(self._texts, count=count)
        self._items = [str(item) for item in item_text[ITEM]]
        self._labels = _labels(item_text, settings.picture_labels, config)
        pictured = [row for row, item in enumerate(self._items) if images.image_hash(item)]
        self._shown = [row for row in pictured if self._labels[row]] or pictured

    def batch(self, step: int) -> list[list[Example]]:
        """Give the examples of a step in parts of like length, which are cheap to pad."""
        rng = np.random.default_rng([self._seed, step])
        size = self._settings.batch_size
        short: list[Example] = []
        long: list[Example] = []
        for kind in rng.uniform(size=size):
            if kind < self._settings.drawn_share or not self._texts:
                alone = rng.uniform() >= self._settings.drawn_text_share
                (short if alone else long).append(self._drawn(rng, alone=alone))
            elif kind < self._settings.drawn_share + UNPICTURED_SHARE or not self._shown:
                row = int(rng.integers(len(self._texts)))
                long.append(self._example(row, None, ()))
            else:
                row = self._shown[int(rng.integers(len(self._shown)))]
                long.append(self._example(row, self._images.get(self._items[row]), self._labels[row]))
        return [part for part in (short, long) if part]

    def _drawn(self, rng: np.random.Generator, *, alone: bool) -> Example:
        look = TRAINED_LOOKS[int(rng.integers(len(TRAINED_LOOKS)))]
        picture = draw(look, self._side, rng)
        if alone or not self._texts:
            return Example(summary_prompt("", picture), format_summary(look, ()))
        return self._example(int(rng.integers(len(self._texts))), picture, look)

    def _example(self, row: int, picture: Image.Image | None, labels: tuple[str, ...]) -> Example:
        prompt = summary_prompt(self._texts[row], picture)
        answer = format_summary(labels, self._keywords[row])
        if labels or picture is None:
            return Example(prompt, answer)
        unknown, text_line = answer.split("\n", 1)
        return Example(Prompt(prompt.parts, prefill=f"{unknown}\n"), text_line)


def _labels(item_text: pd.DataFrame, count: int, config: SummarizationConfig) -> list[tuple[str, ...]]:
    labels = [_split(value, config) for value in item_text[TAGS]]
    if not any(labels):
        labels = [_split(value, config) for value in item_text[CATEGORY]]
    return [found[:count] for found in labels]


def _split(value: object, config: SummarizationConfig) -> tuple[str, ...]:
    if not isinstance(value, str):
        return ()
    words = (" ".join(part.split()).casefold() for part in re.split(r"[,|;>/]", value))
    return tuple(dict.fromkeys(word for word in words if 1 <= len(word.split()) <= config.max_keyword_words))
