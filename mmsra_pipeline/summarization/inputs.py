"""What of an item the summarizer is shown: picture, text, or both."""

from collections.abc import Iterable, Sequence

from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.items.images import ItemImages


def read_texts(texts: Sequence[str], config: SummarizationConfig) -> list[str]:
    """Return the texts, each empty where the summarizer reads none."""
    return list(texts) if "text" in config.reads else [""] * len(texts)


def read_images(images: ItemImages, items: Iterable[str], config: SummarizationConfig) -> ItemImages:
    """Return the pictures, none of these items where the summarizer looks at none."""
    return images if "picture" in config.reads else images.without(items)
