"""Where the picture of an item lies, never outside the picture folder."""

from pathlib import Path

import pandas as pd

from mmsra_pipeline.files import file_hash

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def is_url(image: str) -> bool:
    """Whether a cell names a picture on the web."""
    return image.lower().startswith(("http://", "https://"))


def locate(root: Path, image: str) -> Path | None:
    """Give the file that ``image`` names below ``root``, symbolic links followed; None if it leads out of it.

    The folder's own name may come first: 'images/1.jpg' and '1.jpg' are the same picture of the folder 'images'.
    """
    home = root.resolve()
    if "\0" in image:
        return None
    inner = image.replace("\\", "/").removeprefix("./")
    places = [home / inner]
    if inner.startswith(f"{root.name}/"):
        places.insert(0, home / inner.removeprefix(f"{root.name}/"))
    inside = [place for place in (place.resolve() for place in places) if place.is_relative_to(home)]
    if not inside:
        return None
    return next((place for place in inside if place.is_file()), inside[-1])


def find_images(items: pd.Series, root: Path | None) -> pd.Series:
    """Give for each item id the file of that name in ``root``, as a name below it; null where there is none."""
    if root is None or not root.is_dir():
        return pd.Series(None, index=items.index, dtype="str")
    found = {
        path.stem: path.name
        for ending in reversed(ENDINGS)  # the first ending wins where an item has two files
        for path in sorted(root.iterdir())
        if path.suffix.lower() == ending
    }
    return items.map(found).astype("str")


def hash_images(images: pd.Series, root: Path | None) -> pd.Series:
    """Sha256 of each picture's bytes; null where there is no such file inside ``root``."""
    known: dict[Path, str] = {}

    def hashed(image: object) -> str | None:
        if root is None or not isinstance(image, str) or is_url(image):
            return None
        path = locate(root, image)
        if path is None or not path.is_file():
            return None
        if path not in known:
            known[path] = file_hash(path)
        return known[path]

    return pd.Series([hashed(image) for image in images], index=images.index, dtype="str")
