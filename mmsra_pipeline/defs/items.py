"""Stage 2, items: what the catalogue says and shows."""

from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import ITEM, TEXT, TITLE, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks.results import Results, check, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import MEMORY
from mmsra_pipeline.orchestration.reporting import report, sample_table
from mmsra_pipeline.orchestration.settings_read import code_version

if TYPE_CHECKING:
    import pandas as pd

MOST = 0.5
FEW = 0.1


@dg.asset(
    deps=[Tables.RAW_REVIEWS, Tables.INTERACTIONS],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["items"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("item_text", 2, __name__),
    check_specs=specs(Tables.ITEM_TEXT, warning=("most_items_have_text", "near_duplicate_titles")),
)
@reusable
def item_text(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per item of the catalogue, with its cleaned text; an item that nothing is said of has an empty one."""
    import pandas as pd

    from mmsra_pipeline.interactions.query_table import distinct_items
    from mmsra_pipeline.items.duplicates import near_duplicate_titles
    from mmsra_pipeline.items.text import SOURCE_KEY, build_item_text

    stage = mmsra.stage(context)
    items = stage.read(Tables.RAW_ITEMS)
    interacted = pd.DataFrame({ITEM: distinct_items(stage.path(Tables.INTERACTIONS))})

    texts = build_item_text(items, interacted, stage.config.items, previous=stage.previous(Tables.ITEM_TEXT_SOURCES))

    stage.write(Tables.ITEM_TEXT, texts.drop(columns=SOURCE_KEY))
    # Kept apart: a source that only spells the same text otherwise must not make what reads the text stale.
    stage.write(Tables.ITEM_TEXT_SOURCES, texts, read_on=False)
    share = float((texts[TEXT] != "").mean()) if len(texts) else 0.0
    found = f"{share:.1%} of {len(texts)} items have text"
    most = check("most_items_have_text", share >= MOST, found, warn=True, share=share)
    alike = _few_alike("near_duplicate_titles", near_duplicate_titles(texts), int((texts[TITLE] != "").sum()), "title")
    yield from report(stage, checks=[most, alike])


@dg.asset(
    deps=[Tables.RAW_REVIEWS, Tables.ITEM_TEXT],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["items"],
    owners=OWNERS,
    kinds={"parquet", "jpeg"},
    code_version=code_version("item_images", 3, __name__),
    check_specs=specs(Tables.ITEM_IMAGES, warning=("most_items_have_a_picture", "near_duplicate_pictures")),
)
@reusable
def item_images(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per item of the catalogue, with the hash of its stored picture, or why it has none.

    An unreadable picture is noted and the rest goes on. The table image_status has the items without a picture.
    """
    from mmsra_pipeline.ingest.reading import image_root
    from mmsra_pipeline.items.duplicates import near_duplicate_pictures
    from mmsra_pipeline.items.images import build_item_images, image_status

    stage = mmsra.stage(context)
    items, texts = stage.read(Tables.RAW_ITEMS), stage.read(Tables.ITEM_TEXT)

    images = build_item_images(
        items,
        list(texts[ITEM]),
        image_root(stage.spec, stage.source_folder),
        stage.artifacts,
        stage.config.items,
        previous=stage.previous(),
        sources=stage.spec.path,
    )

    stage.write(Tables.ITEM_IMAGES, images)
    stage.write(Tables.IMAGE_STATUS, image_status(images, items), read_on=False)
    counts = {str(name): int(count) for name, count in images["status"].value_counts().items()}
    share = counts.get("ok", 0) / max(len(images), 1)
    found = f"{share:.1%} of {len(images)} items have a picture ({counts}); image_status says why others have none"
    most = check("most_items_have_a_picture", share >= MOST, found, warn=True, share=share)
    alike = _few_alike("near_duplicate_pictures", near_duplicate_pictures(images), counts.get("ok", 0), "picture")
    yield from report(stage, {"pictures": counts}, checks=[most, alike])


def _few_alike(name: str, alike: "pd.DataFrame", count: int, what: str) -> dg.AssetCheckResult:
    """Warn where many items cannot be told apart by their ``what``; ``count`` items have one."""
    share = len(alike) / max(count, 1)
    found = f"{len(alike)} of {count} items with a {what} ({share:.1%}) have nearly that of another item"
    if share > FEW:
        found += "; look in the source for placeholders, and for one thing under several ids"
    return check(name, share <= FEW, found, warn=True, count=len(alike), share=share, examples=sample_table(alike))
