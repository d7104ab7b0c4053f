"""Where the picture of an item lies, never outside the picture folder."""

import errno
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from mmsra_pipeline.storage.hashing import file_hash

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def is_url(image: str) -> bool:
    """Whether a cell names a picture on the web."""
    return image.lower().startswith(("http://", "https://"))


def locate(root: Path, image: str) -> Path | None:
    """Return the file that ``image`` names below ``root``, symbolic links followed; None if no file there can be it.

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
    try:
        return next((place for place in inside if place.is_file()), inside[-1])
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise


def pictures_in(root: Path | None) -> list[Path]:
    """All files of a picture folder, in order."""
    return sorted(path for path in root.rglob("*") if path.is_file()) if root is not None else []


def find_images(root: Path | None) -> dict[str, str]:
    """Return the pictures in ``root`` by their name without ending, as names below it."""
    if root is None or not root.is_dir():
        return {}
    return {
        path.stem: path.name
        for ending in reversed(ENDINGS)  # the first ending wins where an item has two files
        for path in sorted(root.iterdir())
        if path.suffix.lower() == ending
    }


class ItemPictures:
    """The pictures of a folder by the items that they are called as."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._names = find_images(root)
        self._reviewed: set[str] = set()

    def note_reviewed(self, items: pa.ChunkedArray) -> None:
        """Take note of items that reviews name."""
        if self._names:
            self._reviewed |= self._names.keys() & items.unique().to_pylist()

    def note_found(self, items: Iterable[str]) -> None:
        """Take note of items that the source describes."""
        self._reviewed.difference_update(items)

    def alone(self) -> list[str]:
        """Return the items that reviews name and a picture shows, but nothing describes, in order."""
        return sorted(self._reviewed)

    def of(self, item: str, named: str | None) -> str | None:
        """Return an item's picture: the file that the source names, else the one called as the item, else the URL."""
        return named if named and not is_url(named) else self._names.get(item, named)


def hash_image(image: str | None, root: Path | None) -> str | None:
    """Sha256 of a picture's bytes; None if there is no such file inside ``root``."""
    if root is None or image is None or is_url(image):
        return None
    path = locate(root, image)
    return file_hash(path) if path is not None and path.is_file() else None
