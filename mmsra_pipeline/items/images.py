"""Pictures of items: checked, brought to one form, stored under the hash of their bytes."""

import copy
import functools
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.ingest.picture_paths import FolderIndex, is_url, locate
from mmsra_pipeline.items.decoding import MAX_BYTES
from mmsra_pipeline.items.embedded import read_embedded
from mmsra_pipeline.items.picture_store import (
    BROKEN,
    KIND,
    MISSING,
    OK,
    SUFFIX,
    UNREACHABLE,
    Picture,
    is_stored,
    source_key,
    store_picture,
)
from mmsra_pipeline.items.web.addresses import Resolver
from mmsra_pipeline.items.web.alternatives import fetch_first
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import content_hash
from mmsra_pipeline.telemetry.progress import tracked

SOURCE_KEY = "source_key"
CACHED_IMAGES = 512
TYPES = {
    c.ITEM: "str",
    c.IMAGE_HASH: "str",
    "status": "str",
    "reason": "str",
    "width": "Int64",
    "height": "Int64",
    "perceptual_hash": "str",
    "mean_color": "str",
    SOURCE_KEY: "str",
}
logger = logging.getLogger(__name__)


def build_item_images(
    raw_items: pd.DataFrame,
    item_ids: Sequence[str],
    image_root: Path | None,
    artifacts: Artifacts,
    config: ItemsConfig,
    previous: pd.DataFrame | None = None,
    *,
    sources: Path | None = None,
    resolve: Resolver | None = None,
) -> pd.DataFrame:
    """Store the picture of each item as JPEG; one that cannot be used costs that item its picture, nothing else.

    Args:
        raw_items: as a reader gives items.
        item_ids: the items to do, in the order of the result; one without metadata has no picture.
        image_root: folder of ``raw_items.image``; nothing outside it is read.
        artifacts: gets the JPEGs.
        config: size of the stored pictures, bound of the source's, and what is fetched from the web.
        previous: an earlier result; a picture whose source is unchanged under the same settings is not decoded again.
        sources: folder of the source files, some of which may hold pictures themselves.
        resolve: gives the addresses of a host that may be read. Unset: as the settings say.

    Returns:
        item_id, image_sha256 (of the stored JPEG; null if none), status ok | missing | broken | unreachable, reason
        (null if ok), width, height, perceptual_hash (16 hexadecimal digits), mean_color (rrggbb; all of the stored
        picture), source_key (hash of source bytes and settings; null if there is no source).
    """
    images = dict(zip(raw_items[c.ITEM], raw_items[c.IMAGE]))
    hashes = dict(zip(raw_items[c.ITEM], raw_items[c.IMAGE_HASH]))
    lying = FolderIndex(image_root)
    looked = lying.summary(image_root.name) if image_root else ""
    named = [image for image in map(images.get, item_ids) if isinstance(image, str) and is_url(image)]
    fetched = fetch_first(named, artifacts, config, resolve=resolve)
    known = _reusable(previous, artifacts)
    keys = {item: source_key(value, config) for item, value in hashes.items() if isinstance(value, str)}
    new = (images.get(item) for item in item_ids if keys.get(item) not in known)
    found = fetched | read_embedded((image for image in new if isinstance(image, str)), sources, artifacts, config)
    rows = []
    for item in tracked(item_ids, len(item_ids), "pictures"):
        image = images.get(item)
        picture = found.get(image) if isinstance(image, str) else None
        rows.append(
            (
                item,
                *(picture or known.get(keys.get(item, "")) or _picture(image, image_root, artifacts, config, looked)),
            )
        )
    table = pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)
    for status in (BROKEN, UNREACHABLE):
        failed = table[table["status"] == status].head(5)
        for item, reason in zip(failed[c.ITEM], failed["reason"]):
            logger.warning("picture of item %s is %s: %s", item, status, reason)
    logger.info("pictures: %s", table["status"].value_counts().to_dict())
    return table


def image_status(item_images: pd.DataFrame, raw_items: pd.DataFrame) -> pd.DataFrame:
    """Return the items without a usable picture.

    Returns:
        item_id, image (path or URL; null if the source names none), status, reason.
    """
    images = dict(zip(raw_items[c.ITEM], raw_items[c.IMAGE]))
    without = item_images[item_images["status"] != OK].reset_index(drop=True)
    named = without[c.ITEM].map(images).astype("str")
    return without[[c.ITEM]].assign(**{c.IMAGE: named, "status": without["status"], "reason": without["reason"]})


def load_image(artifacts: Artifacts, image_sha256: str) -> Image.Image:
    """Return a stored picture in RGB.

    Raises:
        MissingInputError: if it is not stored.
    """
    path = artifacts.blob(KIND, image_sha256, SUFFIX)
    if path is None:
        place = artifacts.blob_path(KIND, image_sha256, SUFFIX).parent
        raise MissingInputError(f"picture {image_sha256} is not in {place}. Materialize item_images again.")
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return image.convert("RGB")


class ItemImages:
    """Pictures by item id, the last ones kept in memory."""

    def __init__(self, artifacts: Artifacts, item_images: pd.DataFrame) -> None:
        stored = item_images[item_images[c.IMAGE_HASH].notna()]
        self._hashes: dict[str, str] = dict(zip(stored[c.ITEM], stored[c.IMAGE_HASH]))
        self._load = functools.lru_cache(maxsize=CACHED_IMAGES)(functools.partial(load_image, artifacts))
        self._given: dict[str, Image.Image] = {}

    def get(self, item_id: str) -> Image.Image | None:
        """Return an item's picture in RGB; None if it has none. It is shared: copy it before changing it."""
        if item_id in self._given:
            return self._given[item_id]
        image_sha256 = self._hashes.get(item_id)
        return None if image_sha256 is None else self._load(image_sha256)

    def without(self, items: Iterable[str]) -> "ItemImages":
        """Return the pictures as if these items had none."""
        left, gone = copy.copy(self), set(items)
        left._hashes = {item: image for item, image in self._hashes.items() if item not in gone}
        left._given = {item: image for item, image in self._given.items() if item not in gone}
        return left

    def replaced(self, pictures: Mapping[str, Image.Image]) -> "ItemImages":
        """Return the pictures with others, RGB, in the place of those of some items; hashes are those of pixels."""
        other = copy.copy(self)
        other._given = {**self._given, **pictures}
        own = {item: content_hash(repr(image.size).encode() + image.tobytes()) for item, image in pictures.items()}
        other._hashes = {**self._hashes, **own}
        return other

    def image_hash(self, item_id: str) -> str | None:
        """Return the hash of an item's stored picture; None if it has none."""
        return self._hashes.get(item_id)


def _picture(image: object, root: Path | None, artifacts: Artifacts, config: ItemsConfig, looked: str) -> Picture:
    if not isinstance(image, str):
        none = f", and no file is called as the item: {looked}" if looked else ""
        return Picture(None, MISSING, f"the source names no picture{none}")
    if root is None:
        return Picture(None, MISSING, "the data set has no picture folder; name it in the YAML: `images: FOLDER`")
    path = locate(root, image)
    if path is None:
        return Picture(None, BROKEN, f"{image[:100]!r} leads out of the picture folder and was not read")
    if not path.is_file():
        return Picture(None, MISSING, f"{image[:100]!r} is not there: {looked}")
    if (size := path.stat().st_size) > MAX_BYTES:
        return Picture(None, BROKEN, f"{image[:100]!r}: the file has {size} bytes, more than {MAX_BYTES}")
    return store_picture(path.read_bytes(), artifacts, config)


def _reusable(previous: pd.DataFrame | None, artifacts: Artifacts) -> dict[str, Picture]:
    """Earlier outcomes by source key, as far as their JPEG is still stored."""
    if previous is None or not set(TYPES) <= set(previous.columns):
        return {}
    done = previous.loc[previous[SOURCE_KEY].notna(), list(Picture._fields)]
    rows = done.astype("object").where(done.notna(), None)
    pictures = map(Picture._make, rows.itertuples(index=False, name=None))
    return {
        picture.source_key: picture
        for picture in pictures
        if picture.source_key and (picture.image_sha256 is None or is_stored(picture, artifacts))
    }
