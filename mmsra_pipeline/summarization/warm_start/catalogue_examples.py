"""What the warm start of a catalogue is trained on: prompts as they are asked later, each with its answer."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmsra_pipeline.backbone.embedded.drawing import drawn_look
from mmsra_pipeline.columns import CATEGORY, ITEM, TAGS, TEXT
from mmsra_pipeline.config.tree import AlignmentConfig, SummarizationConfig
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.summarization.pseudo import pseudo_keywords
from mmsra_pipeline.summarization.warm_start.examples import Example, parts, summary_example, verification_example
from mmsra_pipeline.summarization.warm_start.picture_labels import Classes, picture_labels

PART = 8  # examples computed at once: bounds memory
UNPICTURED_SHARE = 0.15  # of the catalogue's items in a batch, shown without their picture


class AlignmentExamples:
    """Makes the batch of any step, the same each time, so that a training that goes on meets the same examples.

    What a picture shows is said by pseudo-labels, read off it, or by its item's tags (``alignment.pictures_by``). A
    picture of which nothing is known is not shown.
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
        classes: Classes | None = None,
    ) -> None:
        """``classes``: gives the classes that the vision tower is sure of, for pseudo-labels."""
        self._images = images
        self._settings = settings
        self._side = side
        self._seed = seed
        self._classes = classes
        self._texts = [str(text) for text in item_text[TEXT].fillna("")]
        count = min(settings.text_keywords, config.max_keywords)
        self._keywords = pseudo_keywords(self._texts, count=count)
        self._items = [str(item) for item in item_text[ITEM]]
        self._labels = _labels(item_text, settings.picture_labels, config)
        pictured = [row for row, item in enumerate(self._items) if images.image_hash(item)]
        self._read: dict[int, tuple[str, ...]] = {}
        order = sorted(pictured, key=lambda row: fingerprint(seed, self._items[row]))
        bound = min(settings.held_out, len(order) // 5) if settings.pictures_by == "pixels" else 0
        self._held_out, self._pictured = order[:bound], set(order[bound:])

    def batch(self, step: int) -> list[list[Example]]:
        """Return the examples of a step in parts that begin alike and are of like length."""
        rng = np.random.default_rng([self._seed, step])
        return parts([self._example(rng) for _ in range(self._settings.batch_size)], PART)

    def held_out(self) -> dict[str, tuple[str, ...]]:
        """Return the labels, by id, of items whose pictures no batch shows: what is learned is measured there."""
        return {self._items[row]: self.labels_of(row) for row in self._held_out}

    def labels_of(self, row: int) -> tuple[str, ...]:
        """Return what is known of the picture of an item, which must have one."""
        if self._settings.pictures_by == "tags":
            return self._labels[row]
        if row not in self._read:
            picture = self._images.get(self._items[row])
            found = () if picture is None else picture_labels(picture, self._classes)
            self._read[row] = found[: self._settings.picture_labels]
        return self._read[row]

    def _example(self, rng: np.random.Generator) -> Example:
        row = int(rng.integers(len(self._texts))) if self._texts else 0
        verified = self._verified(row, rng) if self._texts and rng.uniform() < self._settings.verify_share else None
        if verified is not None:
            return verified
        if rng.uniform() < self._settings.drawn_share or not self._texts:
            look, picture = drawn_look(self._side, rng)
            if rng.uniform() >= self._settings.drawn_text_share or not self._texts:
                return summary_example("", picture, look, ())
            return summary_example(self._texts[row], picture, look, self._keywords[row])
        if row not in self._pictured or rng.uniform() < UNPICTURED_SHARE:
            return summary_example(self._texts[row], None, (), self._keywords[row])
        own = self._images.get(self._items[row])
        labels = self.labels_of(row) if own is not None else ()
        return summary_example(self._texts[row], own, labels, self._keywords[row])

    def _verified(self, row: int, rng: np.random.Generator) -> Example | None:
        other = int(rng.integers(len(self._texts)))
        if row in self._pictured and other in self._pictured and rng.integers(2):
            picture = self._images.get(self._items[row])
            if picture is not None and self.labels_of(row):
                return verification_example(picture, self.labels_of(row), self.labels_of(other), rng)
        text = self._texts[row]
        others = [word for word in self._keywords[other] if word not in text.casefold()]
        return verification_example(text, self._keywords[row], others, rng)


def _labels(item_text: pd.DataFrame, count: int, config: SummarizationConfig) -> list[tuple[str, ...]]:
    labels = [_split(value, config) for value in item_text[TAGS]]
    if not any(labels):
        labels = [_split(value, config) for value in item_text[CATEGORY]]
    return [found[:count] for found in labels]


def _split(value: object, config: SummarizationConfig) -> tuple[str, ...]:
    if not isinstance(value, str):
        return ()
    words: Sequence[str] = [" ".join(part.split()).casefold() for part in re.split(r"[,|;>/]", value)]
    return tuple(dict.fromkeys(word for word in words if 1 <= len(word.split()) <= config.max_keyword_words))
