"""Stage 2, items: what the catalogue says and shows."""

import dagster as dg

from mmsra_pipeline.columns import ITEM, TEXT, Tables
from mmsra_pipeline.defs.partitions import datasets
from mmsra_pipeline.defs.reporting import check, report
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.defs.settings import code_version

MOST = 0.5


@dg.asset(
    deps=[Tables.RAW_REVIEWS, Tables.INTERACTIONS],
    partitions_def=datasets,
    group_name="items",
    kinds={"parquet"},
    code_version=code_version("item_text", 1),
    check_specs=[dg.AssetCheckSpec("most_items_have_text", asset=Tables.ITEM_TEXT)],
)
def item_text(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per item of the catalogue, with its cleaned text; an item that nothing is said of has an empty one."""
    from mmsra_pipeline.items.text import build_item_text

    stage = mmsra.stage(context)
    items, taken = stage.read(Tables.RAW_ITEMS), stage.read(Tables.INTERACTIONS)

    texts = build_item_text(items, taken, stage.config.items)

    stage.write(Tables.ITEM_TEXT, texts)
    share = float((texts[TEXT] != "").mean()) if len(texts) else 0.0
    found = f"{share:.1%} of {len(texts)} items have text"
    return report(stage, checks=[check("most_items_have_text", share >= MOST, found, warn=True, share=share)])


@dg.asset(
    deps=[Tables.RAW_REVIEWS, Tables.ITEM_TEXT],
    partitions_def=datasets,
    group_name="items",
    kinds={"parquet", "jpeg"},
    code_version=code_version("item_images", 1),
    check_specs=[dg.AssetCheckSpec("most_items_have_a_picture", asset=Tables.ITEM_IMAGES)],
)
def item_images(context: dg.AssetExecutionContext, mmsra: Installation) -> dg.MaterializeResult:
    """One row per item of the catalogue, with the hash of its stored picture, or why it has none.

    An unreadable picture is noted and the rest goes on.
    """
    from mmsra_pipeline.items.images import build_item_images

    stage = mmsra.stage(context)
    items, texts = stage.read(Tables.RAW_ITEMS), stage.read(Tables.ITEM_TEXT)

    images = build_item_images(
        items,
        list(texts[ITEM]),
        stage.image_root(),
        stage.artifacts,
        stage.config.items,
        previous=stage.previous(),
    )

    stage.write(Tables.ITEM_IMAGES, images)
    counts = {str(name): int(count) for name, count in images["status"].value_counts().items()}
    share = counts.get("ok", 0) / max(len(images), 1)
    found = f"{share:.1%} of {len(images)} items have a picture ({counts}); column reason says why others have none"
    pictures = check("most_items_have_a_picture", share >= MOST, found, warn=True, share=share)
    return report(stage, {"pictures": counts}, checks=[pictures])
