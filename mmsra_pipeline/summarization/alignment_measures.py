"""What an aligned backbone sees: whether it names colour, pattern and shape of pictures that no training showed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.columns import ITEM, TEXT
from mmsra_pipeline.config import SummarizationConfig
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.sample_store.drawing import COLOURS, HELD_OUT, PATTERNS, SHAPES, Look, draw
from mmsra_pipeline.summarization.keywords import Summary, parse_summary
from mmsra_pipeline.summarization.prompts import summary_prompt

BLANK = (128, 128, 128)  # the grey that shows nothing
FORMAT_ITEMS = 48  # of the catalogue, on which the form is measured
VALUES = {"colour": tuple(COLOURS), "pattern": PATTERNS, "shape": SHAPES}
COLUMNS = ["pictures", "attribute", "accuracy", "n"]


def measure_drawings(backbone: Backbone, config: SummarizationConfig, *, count: int, seed: int) -> pd.DataFrame:
    """Give the accuracy by attribute on ``count`` drawings of held-out looks and, for the same looks, a blank picture.

    No text is shown. Columns ``COLUMNS``; accuracy in [0, 1]; by chance 1/8, 1/4 and 1/8.
    """
    rng = np.random.default_rng([seed, 1])
    looks = [sorted(HELD_OUT)[place % len(HELD_OUT)] for place in range(count)]
    side = backbone.config.image_side
    drawn = [summary_prompt("", draw(look, side, rng)) for look in looks]
    blank = summary_prompt("", Image.new("RGB", (side, side), BLANK))
    said = written(backbone, [*drawn, blank], config)
    tables = [accuracy("held_out_drawings", said[:-1], looks), accuracy("blank", said[-1:] * count, looks)]
    return pd.concat(tables, ignore_index=True)


def measure_items(
    backbone: Backbone,
    item_text: pd.DataFrame,
    images: ItemImages,
    looks: Mapping[str, Look],
    config: SummarizationConfig,
) -> pd.DataFrame:
    """Give the accuracy by attribute on the items whose look is held out, each with its picture and its text.

    Args:
        backbone: the aligned model.
        item_text: the catalogue. Its texts tell no attribute of a look.
        images: their pictures.
        looks: the true looks by item id, of a shop that knows them.
        config: the form of keywords.
    """
    texts = dict(zip(item_text[ITEM], item_text[TEXT].fillna("")))
    chosen = [item for item in sorted(texts) if looks.get(item) in HELD_OUT and images.image_hash(item)]
    said = written(backbone, [summary_prompt(texts[item], images.get(item)) for item in chosen], config)
    return accuracy("held_out_items", said, [looks[item] for item in chosen])


def format_rate(
    backbone: Backbone, item_text: pd.DataFrame, images: ItemImages, config: SummarizationConfig, *, seed: int
) -> float:
    """Give the share of items, out of a sample of the catalogue, whose keywords have the form; nan without items."""
    sample = item_text.sample(min(FORMAT_ITEMS, len(item_text)), random_state=seed)
    shown = [summary_prompt(text, images.get(item)) for item, text in zip(sample[ITEM], sample[TEXT].fillna(""))]
    said = written(backbone, shown, config)
    return float(np.mean([summary.well_formed for summary in said])) if said else float("nan")


def written(backbone: Backbone, prompts: Sequence[Prompt], config: SummarizationConfig) -> list[Summary]:
    """Give the summaries that the backbone writes, its likeliest words each time."""
    # Prompts of like length in a batch waste little padding.
    order = sorted(range(len(prompts)), key=lambda row: sum(len(p) for p in prompts[row].parts if isinstance(p, str)))
    answers = backbone.generate([prompts[row] for row in order], max_new_tokens=config.max_new_tokens)
    summaries = {row: parse_summary(answer, config) for row, answer in zip(order, answers, strict=True)}
    return [summaries[row] for row in range(len(prompts))]


def accuracy(pictures: str, summaries: Sequence[Summary], looks: Sequence[Look]) -> pd.DataFrame:
    """Give the share of summaries whose picture keywords name an attribute's true value, and no other value of it."""
    rows = []
    for place, (attribute, values) in enumerate(VALUES.items()):
        named = [set(summary.image_keywords) & set(values) for summary in summaries]
        right = [found == {look[place]} for found, look in zip(named, looks, strict=True)]
        rows.append((pictures, attribute, float(np.mean(right)) if right else float("nan"), len(right)))
    return pd.DataFrame(rows, columns=COLUMNS)
