"""Pictures of items: checked, brought to one form, stored under the hash of their bytes."""

import functools
import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image

from mmsra_pipeline import columns as c
from mmsra_pipeline.artifacts import Artifacts, fingerprint
from mmsra_pipeline.config import ItemsConfig
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.interactions.pictures import is_url, locate
from mmsra_pipeline.items.decoding import UnreadableImageError, decode_image, to_jpeg
from mmsra_pipeline.progress import Progress

KIND = "images"
SUFFIX = ".jpg"
OK, MISSING, BROKEN = "ok", "missing", "broken"
FORM = 1  # of what is stored; other decoding, other number
SOURCE_KEY = "source_key"
CACHED_IMAGES = 512
TYPES = {
    c.ITEM: "str",
    c.IMAGE_HASH: "str",
    "status": "str",
    "reason": "str",
    "width": "Int64",
    "height": "Int64",
    SOURCE_KEY: "str",
}
logger = logging.getLogger(__name__)


class Picture(NamedTuple):
    """What became of one item's picture."""

    image_sha256: str | None
    status: str
    reason: str | None
    width: int | None = None
    height: int | None = None
    source_key: str | None = None


def build_item_images(
    raw_items: pd.DataFrame,
    item_ids: Sequence[str],
    image_root: Path | None,
    artifacts: Artifacts,
    config: ItemsConfig,
    previous: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Store the picture of each item as JPEG; one that cannot be used costs that item its picture, nothing else.

    Args:
        raw_items: as ``RawData.items``.
        item_ids: the items to do, in the order of the result; one without metadata has no picture.
        image_root: folder of ``raw_items.image``; nothing outside it is read.
        artifacts: gets the JPEGs.
        config: size of the stored pictures, bound of the source's.
        previous: an earlier result; a picture whose source is unchanged under the same settings is not decoded again.

    Returns:
        item_id, image_sha256 (of the stored JPEG; null if none), status ok | missing | broken, reason (null if ok),
        width, height (of the stored JPEG), source_key (hash of source bytes and settings; null if there is no source).
    """
    images = dict(zip(raw_items[c.ITEM], raw_items[c.IMAGE]))
    hashes = dict(zip(raw_items[c.ITEM], raw_items[c.IMAGE_HASH]))
    known = _reusable(previous, artifacts)
    progress = Progress("pictures", len(item_ids), "items")
    rows = []
    for item in item_ids:
        key = _source_key(hashes.get(item), config)
        picture = known.get(key or "") or _picture(images.get(item), image_root, artifacts, config)
        rows.append((item, *picture))
        progress.advance()
    table = pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)
    broken = table[table["status"] == BROKEN]
    for item, reason in zip(broken[c.ITEM].head(5), broken["reason"]):
        logger.warning("picture of item %s: %s", item, reason)
    logger.info("pictures: %s", table["status"].value_counts().to_dict())
    return table


def load_image(artifacts: Artifacts, image_sha256: str) -> Image.Image:
    """Give a stored picture in RGB.

    Raises:
        MissingInputError: if it is not stored.
    """
    path = artifacts.blob_path(KIND, image_sha256, SUFFIX)
    if not path.is_file():
        raise MissingInputError(f"picture {image_sha256} is not in {path.parent}. Materialize item_images again.")
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return image.convert("RGB")


class ItemImages:
    """Pictures by item id, the last ones kept in memory."""

    def __init__(self, artifacts: Artifacts, item_images: pd.DataFrame) -> None:
        stored = item_images[item_images[c.IMAGE_HASH].notna()]
        self._hashes: dict[str, str] = dict(zip(stored[c.ITEM], stored[c.IMAGE_HASH]))
        self._load = functools.lru_cache(maxsize=CACHED_IMAGES)(functools.partial(load_image, artifacts))

    def get(self, item_id: str) -> Image.Image | None:
        """Give an item's picture in RGB; None if it has none. It is shared: copy it before changing it."""
        image_sha256 = self._hashes.get(item_id)
        return None if image_sha256 is None else self._load(image_sha256)

    def image_hash(self, item_id: str) -> str | None:
        """Give the hash of an item's stored picture; None if it has none."""
        return self._hashes.get(item_id)


def _picture(image: object, root: Path | None, artifacts: Artifacts, config: ItemsConfig) -> Picture:
    if not isinstance(image, str):
        return Picture(None, MISSING, "the source names no picture")
    if is_url(image):
        return Picture(None, MISSING, "pictures by URL are not fetched in this version; put the file into the folder")
    if root is None:
        return Picture(None, MISSING, "the data set has no picture folder")
    path = locate(root, image)
    if path is None:
        return Picture(None, BROKEN, f"{image[:100]!r} leads out of the picture folder and was not read")
    if not path.is_file():
        return Picture(None, MISSING, f"{image[:100]!r} is not in the picture folder")
    content = path.read_bytes()
    key = _source_key(hashlib.sha256(content).hexdigest(), config)
    try:
        picture = decode_image(content, max_side=config.image_side, max_pixels=config.max_image_pixels)
    except UnreadableImageError as error:
        return Picture(None, BROKEN, f"{image[:100]!r}: {error}", source_key=key)
    stored = artifacts.put_blob(KIND, to_jpeg(picture), SUFFIX)
    return Picture(stored, OK, None, picture.width, picture.height, key)


def _source_key(source_hash: object, config: ItemsConfig) -> str | None:
    if not isinstance(source_hash, str):
        return None
    return fingerprint(source_hash, config.image_side, config.max_image_pixels, FORM)


def _reusable(previous: pd.DataFrame | None, artifacts: Artifacts) -> dict[str, Picture]:
    """Earlier outcomes by source key, as far as their JPEG is still stored."""
    if previous is None or SOURCE_KEY not in previous:
        return {}
    done = previous[previous[SOURCE_KEY].notna()]
    rows = done[list(TYPES)[1:]].astype("object").where(done[list(TYPES)[1:]].notna(), None)
    pictures = map(Picture._make, rows.itertuples(index=False, name=None))
    return {
        picture.source_key: picture
        for picture in pictures
        if picture.source_key
        and (picture.image_sha256 is None or artifacts.blob_path(KIND, picture.image_sha256, SUFFIX).is_file())
    }
