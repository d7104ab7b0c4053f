"""Items with several URLs: the first that gives a picture."""

import re
from collections.abc import Iterable
from typing import Final

from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.items.picture_store import OK, Picture
from mmsra_pipeline.items.web.addresses import Resolver
from mmsra_pipeline.items.web.fetching import fetch_pictures
from mmsra_pipeline.storage.artifacts import Artifacts

MOST_URLS: Final = 4
"""Tried of an item; more would only burden a shop whose pictures are gone."""
BETWEEN: Final = re.compile(r"\s+(?=https?://)", re.IGNORECASE)


def fetch_first(
    cells: Iterable[str], artifacts: Artifacts, config: ItemsConfig, *, resolve: Resolver | None = None
) -> dict[str, Picture]:
    """Return, by cell, the picture of its first URL that gives one; else what became of its first URL.

    A later URL is asked for only where those before it gave no picture, so that of most items one is fetched.

    Args:
        cells: a URL, or several with blanks between them.
        artifacts: as of ``fetch_pictures``, like the others.
        config: see there.
        resolve: see there.
    """
    urls = {cell: BETWEEN.split(cell)[:MOST_URLS] for cell in cells}
    found: dict[str, Picture] = {}
    for place in range(max(map(len, urls.values()), default=0)):
        asked = {
            cell: each[place]
            for cell, each in urls.items()
            if place < len(each) and (place == 0 or found[cell].status != OK)
        }
        pictures = fetch_pictures(asked.values(), artifacts, config, resolve=resolve)
        for cell, url in asked.items():
            if place == 0 or pictures[url].status == OK:
                found[cell] = pictures[url]
    return found
