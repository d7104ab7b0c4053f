"""Small pictures of the items that pages show."""

from collections.abc import Iterable
from pathlib import Path

from mmsra_pipeline.items.images import ItemImages

SIDE = 128  # pixels
QUALITY = 78
NAME_CHARS = 16


def write_pictures(images: ItemImages, items: Iterable[str], folder: Path) -> dict[str, str]:
    """Write the picture of each item that has one, equal pictures once, and return file names by item."""
    names: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for item in dict.fromkeys(items):
        image_hash = images.image_hash(item)
        picture = images.get(item) if image_hash else None
        if picture is None or image_hash is None:
            continue
        name = f"{image_hash[:NAME_CHARS]}.jpg"
        if not (folder / name).exists():
            small = picture.copy()
            small.thumbnail((SIDE, SIDE))
            small.save(folder / name, "JPEG", quality=QUALITY)
        names[item] = name
    return names
