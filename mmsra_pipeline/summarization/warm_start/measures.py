"""What an aligned backbone sees: whether it names colour, pattern and shape of pictures that no training showed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from mmsra_pipeline.backbone.embedded.drawing import COLOURS, HELD_OUT, PATTERNS, SHAPES, Look, draw
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import ITEM, TEXT
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.summarization.keywords import Summary, parse_summary
from mmsra_pipeline.summarization.summary_prompts import summary_prompt
from mmsra_pipeline.summarization.tuning.rollouts import Item, Writer

BLANK = (128, 128, 128)  # the grey that shows nothing
FORMAT_ITEMS = 48  # of the catalogue, on which the form is measured
VALUES = {"colour": tuple(COLOURS), "pattern": PATTERNS, "shape": SHAPES}
COLUMNS = ["pictures", "attribute", "accuracy", "n", "low", "high"]
LABELS = "pseudo_labels"
RESAMPLES = 2000


def measure_drawings(backbone: Backbone, config: SummarizationConfig, *, count: int, seed: int) -> pd.DataFrame:
    """Return the accuracy by attribute on ``count`` drawings of held-out looks and, for these looks, a blank picture.

    No text is shown. Columns ``COLUMNS``; accuracy in [0, 1]; by chance 1/8, 1/4 and 1/8.
    """
    rng = np.random.default_rng([seed, 1])
    looks = [sorted(HELD_OUT)[place % len(HELD_OUT)] for place in range(count)]
    side = backbone.config.image_side
    drawn = [("", draw(look, side, rng)) for look in looks]
    blank = ("", Image.new("RGB", (side, side), BLANK))
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
    """Return the accuracy by attribute on the items whose look is held out, each with its picture and its text.

    Args:
        backbone: the aligned model.
        item_text: the catalogue. Its texts tell no attribute of a look.
        images: their pictures.
        looks: the true looks by item id, of a shop that knows them.
        config: the form of keywords.
    """
    texts = dict(zip(item_text[ITEM], item_text[TEXT].fillna("")))
    chosen = [item for item in sorted(texts) if looks.get(item) in HELD_OUT and images.image_hash(item)]
    said = written(backbone, [(texts[item], images.get(item)) for item in chosen], config)
    return accuracy("held_out_items", said, [looks[item] for item in chosen])


def measure_labels(
    backbone: Backbone,
    item_text: pd.DataFrame,
    images: ItemImages,
    labels: Mapping[str, Sequence[str]],
    config: SummarizationConfig,
    *,
    seed: int,
) -> pd.DataFrame:
    """Return the share of their pictures' labels that are named of items that no training showed.

    Args:
        backbone: the aligned model.
        item_text: the catalogue.
        images: its pictures.
        labels: what is known of the pictures, by item id; items without a label are passed over.
        config: the form of keywords.
        seed: of the resamples.

    Returns:
        Columns ``COLUMNS``, attribute ``LABELS``, with 95 % intervals by resampling items: 'held_out_items' with their
        own picture, 'held_out_items, blank' with a grey one beside the same text, and the paired difference of both.
    """
    texts = dict(zip(item_text[ITEM], item_text[TEXT].fillna("")))
    chosen = [item for item in sorted(texts) if labels.get(item) and images.image_hash(item)]
    if not chosen:
        return pd.DataFrame(columns=COLUMNS)
    blank = Image.new("RGB", (backbone.config.image_side,) * 2, BLANK)
    visible = [(texts[item], images.get(item)) for item in chosen]
    hidden = [(texts[item], blank) for item in chosen]
    said = written(backbone, [*visible, *hidden], config)
    known = [set(labels[item]) for item in chosen] * 2
    named = [len(true & set(summary.image_keywords)) / len(true) for true, summary in zip(known, said, strict=True)]
    own, other = np.split(np.array(named), 2)
    values = np.stack([own, other, own - other], axis=1)
    low, high = np.percentile(resampled_means(values, RESAMPLES, seed), QUANTILES, axis=0)
    rows = ["held_out_items", "held_out_items, blank", "held_out_items, difference"]
    return pd.DataFrame(
        {
            "pictures": rows,
            "attribute": LABELS,
            "accuracy": values.mean(axis=0),
            "n": len(chosen),
            "low": low,
            "high": high,
        },
        columns=COLUMNS,
    )


def format_rate(
    backbone: Backbone, item_text: pd.DataFrame, images: ItemImages, config: SummarizationConfig, *, seed: int
) -> float:
    """Return the share of items, out of a sample of the catalogue, whose keywords have the form without being made to.

    nan without items.
    """
    sample = item_text.sample(min(FORMAT_ITEMS, len(item_text)), random_state=seed)
    prompts = [summary_prompt(text, images.get(item)) for item, text in zip(sample[ITEM], sample[TEXT].fillna(""))]
    said = backbone.generate(prompts, max_new_tokens=config.max_new_tokens, autocast=None)
    return float(np.mean([parse_summary(answer, config).well_formed for answer in said])) if said else float("nan")


def written(
    backbone: Backbone, items: Sequence[tuple[str, Image.Image | None]], config: SummarizationConfig
) -> list[Summary]:
    """Return the summaries that the backbone writes of texts and pictures: of the form, the likeliest words."""
    named = [Item(name=str(row), text=text, title="", image=image) for row, (text, image) in enumerate(items)]
    return [group[0].summary for group in Writer(backbone, config).write(named)]


def accuracy(pictures: str, summaries: Sequence[Summary], looks: Sequence[Look]) -> pd.DataFrame:
    """Return the share of summaries whose picture keywords name an attribute's true value, and no other value of it."""
    rows = []
    for place, (attribute, values) in enumerate(VALUES.items()):
        named = [set(summary.image_keywords) & set(values) for summary in summaries]
        right = [found == {look[place]} for found, look in zip(named, looks, strict=True)]
        low, high = _interval(right)
        rows.append((pictures, attribute, float(np.mean(right)) if right else float("nan"), len(right), low, high))
    return pd.DataFrame(rows, columns=COLUMNS)


def _interval(right: Sequence[bool]) -> tuple[float, float]:
    if not right:
        return float("nan"), float("nan")
    means = resampled_means(np.array(right, dtype=np.float64)[:, None], RESAMPLES, seed=0)
    low, high = np.percentile(means[:, 0], QUANTILES)
    return float(low), float(high)
