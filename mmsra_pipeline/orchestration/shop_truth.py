"""What is known of the built-in shop, and of no other data set, as it is made by code."""

from typing import TYPE_CHECKING

from mmsra_pipeline.columns import ITEM
from mmsra_pipeline.orchestration.stage import Stage

if TYPE_CHECKING:
    from mmsra_pipeline.backbone.embedded.drawing import Look


def known_looks(stage: Stage) -> "dict[str, Look]":
    """Return what the pictures of the built-in shop show, by item; of other data sets nobody knows."""
    from mmsra_pipeline.ingest.readers.sample import sample_options
    from mmsra_pipeline.sample_store.shop import make_shop

    if stage.spec.format != "sample":
        return {}
    options = sample_options(stage.spec)
    shop = make_shop(options.size, options.seed)
    return {item: shop.look(item) for item in shop.products[ITEM]}
