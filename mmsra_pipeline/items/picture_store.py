"""Pictures as they are kept: small JPEGs under the hash of their bytes, and what became of each item's."""

from typing import NamedTuple

from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.items.appearance import mean_color, perceptual_hash
from mmsra_pipeline.items.decoding import UnreadableImageError, decode_image, to_jpeg
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import content_hash, fingerprint

KIND = "images"
SUFFIX = ".jpg"
OK, MISSING, BROKEN, UNREACHABLE = "ok", "missing", "broken", "unreachable"
FORM = 4  # of what is stored; other decoding or other reasons, other number


class Picture(NamedTuple):
    """What became of one picture."""

    image_sha256: str | None
    status: str
    reason: str | None
    width: int | None = None
    height: int | None = None
    perceptual_hash: str | None = None
    mean_color: str | None = None
    source_key: str | None = None


def store_picture(content: bytes, artifacts: Artifacts, config: ItemsConfig) -> Picture:
    """Decode a source picture and store it.

    The reason why it cannot be used does not name it: whatever else has the same bytes shares the outcome.
    """
    key = source_key(content_hash(content), config)
    try:
        image = decode_image(content, max_side=config.image_side, max_pixels=config.max_image_pixels)
    except UnreadableImageError as error:
        return Picture(None, BROKEN, str(error), source_key=key)
    stored = artifacts.put_blob(KIND, to_jpeg(image), SUFFIX)
    return Picture(stored, OK, None, image.width, image.height, perceptual_hash(image), mean_color(image), key)


def source_key(source_hash: str, config: ItemsConfig) -> str:
    """Name what a stored picture was made of, and how."""
    return fingerprint(source_hash, *form(config))


def form(config: ItemsConfig) -> tuple[int, ...]:
    """What else than its source a stored picture depends on."""
    return config.image_side, config.max_image_pixels, FORM


def is_stored(picture: Picture, artifacts: Artifacts) -> bool:
    """Whether the JPEG of a picture is still there."""
    return picture.image_sha256 is not None and artifacts.has_blob(KIND, picture.image_sha256, SUFFIX)
