"""Where the picture of an item lies, never outside the picture folder."""

import errno
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from mmsra_pipeline.ingest.embedded_pictures import embedded
from mmsra_pipeline.storage.hashing import file_hash

ENDINGS = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
    ".jfif", ".jpe", ".jif", ".mpo", ".dib", ".apng", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".ico",
)  # fmt: skip
"""Of files that are looked at as pictures; which of them can be decoded ``items.decoding`` says."""
NUMBERED = re.compile(r"(.+?)[-_. ](?:\(?\d{1,3}\)?|main|front|cover)")
WITHIN = re.compile(r"(?:main|front|cover|image|img|photo|picture|large|full)?[-_ ]?\d{0,3}", re.IGNORECASE)
"""What pictures in a folder of one item are called."""
SEVERAL = re.compile(r"\s*[|;,]\s*")  # between names of files in a cell
DRIVE = re.compile(r"^[A-Za-z]:[\\/]")


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


def like_name(name: str) -> str:
    """Return what names of one picture have in common: a Mac writes 'é' as two signs, and Windows knows no case."""
    return unicodedata.normalize("NFC", name).strip().casefold()


class FolderIndex:
    """The pictures of a folder and of those below it, by what they are called."""

    def __init__(self, root: Path | None) -> None:
        self.by_stem: dict[str, str] = {}
        """Names below the folder, '/' between the parts, by the name without folder and ending, and with the folder."""
        self._numbered: dict[str, list[tuple[str, str]]] = {}
        self._files: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        """Pictures by their folder below the root."""
        found = [] if root is None or not root.is_dir() else [path for path in root.rglob("*") if _is_picture(path)]
        # The nearest to the root wins, then the first ending, then the first name, '2' before '10'.
        found.sort(key=lambda path: (len(path.parts), ENDINGS.index(path.suffix.lower()), len(path.name), path))
        for path in found:
            assert root is not None
            inner = path.relative_to(root)
            name = inner.as_posix()
            stem = unicodedata.normalize("NFC", path.stem)
            for key in (stem, unicodedata.normalize("NFC", inner.with_suffix("").as_posix())):
                self.by_stem.setdefault(key, name)
            counted = NUMBERED.fullmatch(stem)
            if counted:
                self._numbered.setdefault(counted[1], []).append((stem, name))
            if len(inner.parts) > 1 and WITHIN.fullmatch(stem):
                self._numbered.setdefault(unicodedata.normalize("NFC", inner.parts[-2]), []).append((stem, name))
            self._files.setdefault(like_name(path.name), name)
            self._files.setdefault(f"{path.stem.strip()}{path.suffix}".casefold(), name)
            self.counts[inner.parent.as_posix()] += 1

    def called(self, item: str, others: Collection[str] = ()) -> str | None:
        """Return the picture that is called as an item.

        Else as it in capitals or small letters, else a numbered one ('p1_2.jpg', 'p1/2.jpg'), the first of them that is
        not called as one of ``others``.
        """
        found = self.by_stem.get(item) or self.by_stem.get(unicodedata.normalize("NFC", item))
        if found is None:
            found = self.by_stem.get(item.upper()) or self.by_stem.get(item.lower())
        if found is None:
            numbered = self._numbered.get(unicodedata.normalize("NFC", item), [])
            found = next((name for stem, name in numbered if stem not in others), None)
        return found

    def file(self, named: str) -> str | None:
        """Return the picture of that file name, wherever it lies below the folder and however its letters are cased."""
        last = re.split(r"[\\/]", named)[-1]
        bare = last.partition("?")[0]
        names = (last, bare, unquote(bare))
        return next((found for name in names if (found := self._files.get(like_name(name)))), None) or self.by_stem.get(
            last
        )

    def summary(self, name: str) -> str:
        """Say what lies in the folder."""
        total = sum(self.counts.values())
        if not total:
            return f"the folder {name} holds no file with the ending of a picture"
        below = sum(count for folder, count in self.counts.items() if folder != ".")
        where = f", {below} of them in folders below" if below else ""
        return f"the folder {name} holds {total} picture(s){where}, such as {next(iter(self.by_stem.values()))!r}"


class ItemPictures:
    """The pictures of a folder by the items that they are called as."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._index = FolderIndex(root)
        self._reviewed: set[str] = set()
        self._items: set[str] = set()

    @property
    def has_any(self) -> bool:
        """Whether the folder holds a picture."""
        return bool(self._index.by_stem)

    def note_reviewed(self, items: pa.ChunkedArray) -> None:
        """Take note of items that reviews name."""
        if self.has_any:
            found = items.unique()
            own = self._index.by_stem.keys() & found.to_pylist()
            self._reviewed |= own
            self._items |= own
            foreign = found.filter(pc.invert(pc.string_is_ascii(found))).to_pylist()
            self._reviewed.update(item for item in foreign if self._index.called(item))

    def note_found(self, items: Iterable[str]) -> None:
        """Take note of items that the source describes."""
        self._reviewed.difference_update(items)

    def alone(self) -> list[str]:
        """Return the items that reviews name and a picture shows, but nothing describes, in order."""
        return sorted(self._reviewed)

    def of(self, item: str, named: str | None) -> str | None:
        """Return an item's picture: the file that the source names, else the one called as the item, else the URL.

        What lies in the source itself goes before all of them. A file that is not where the source says is looked for
        by its name alone below the folder.
        """
        if named and embedded(named):
            return named
        if not named or is_url(named):
            return self._index.called(item, self._items) or named
        if self.root is not None and not self._is_there(named):
            several = (part for part in SEVERAL.split(named) if part and part != named)
            found = self._index.file(named) or self._index.called(item, self._items)
            return found or next((part for part in several if self._is_there(part)), named)
        return named

    def has_file(self, item: str, named: str | None) -> bool:
        """Whether an item's picture is a file of the folder, or lies in the source itself."""
        found = self.of(item, named)
        if found and embedded(found):
            return True
        return bool(self.root and found and not is_url(found) and self._is_there(found))

    def _is_there(self, named: str) -> bool:
        assert self.root is not None
        if DRIVE.match(named):
            return False
        path = locate(self.root, named)
        return path is not None and path.is_file()


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and path.is_file()


def hash_image(image: str | None, root: Path | None) -> str | None:
    """Sha256 of a picture's bytes; None if there is no such file inside ``root``."""
    if image is not None and (within := embedded(image)):
        return within.sha256
    if root is None or image is None or is_url(image):
        return None
    path = locate(root, image)
    return file_hash(path) if path is not None and path.is_file() else None
