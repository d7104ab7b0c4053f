"""The folder that the study reads: texts, pictures and classes of a sample of a catalogue, laid out as a small root."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from mmsra_pipeline.columns import IMAGE_HASH, ITEM, TEXT, Tables
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.items.picture_store import KIND, SUFFIX
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.paths import Paths
from mmsra_pipeline.storage.tables import Store
from mmsra_pipeline.summarization.tuning.grpo import split_held_out
from mmsra_pipeline.summarization.warm_start.picture_labels import Classes
from mmsra_pipeline.summarization.writing import draft_sample

CLASSES = "picture_classes"  # the class that the vision tower is sure of, of the items of which it is sure
NOTE = "study.json"


@dataclass(frozen=True)
class Catalogue:
    """A sample of a catalogue."""

    texts: pd.DataFrame
    """Rows of ``item_text``."""
    images: ItemImages
    classes: Classes
    """Gives the classes that the vision tower is sure of."""

    def parts(self, held_out: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Divide the items into ``held_out`` ones and those that may be trained on, as the tuning itself does."""
        return split_held_out(self.texts[self.texts[TEXT].fillna("").str.strip().str.len() > 0], held_out)


def write_folder(root: Path, dataset: str, folder: Path, *, items: int, seed: int) -> dict[str, object]:
    """Copy texts and stored pictures of a sample of items into ``folder``, and say what it holds.

    The classes are looked up here, so that whoever reads the folder needs neither their names nor the time.
    """
    from mmsra_pipeline.backbone.embedded.tower_classes import TowerClasses

    source, target = Paths(root.resolve()), Paths(folder.resolve())
    store, kept = Store.of(source), Store.of(target)
    texts = draft_sample(store.read(Tables.ITEM_TEXT, dataset), items, seed).reset_index(drop=True)
    rows = store.read(Tables.ITEM_IMAGES, dataset)
    rows = rows[rows[ITEM].isin(set(texts[ITEM]))].reset_index(drop=True)
    pictures, copied = Artifacts.of(source), Artifacts.of(target)
    for name in rows[IMAGE_HASH].dropna().unique():
        stored = pictures.blob(KIND, name, SUFFIX)
        if stored is None:
            raise MissingInputError(f"picture {name} of {dataset!r} is not below {source.artifacts}")
        copied.put_blob(KIND, stored.read_bytes(), SUFFIX)
    images, classes = ItemImages(copied, rows), TowerClasses()
    sure = [(item, name) for item in rows[ITEM] for name in _classes_of(images.get(item), classes)]
    kept.replace(Tables.ITEM_TEXT, dataset, texts)
    kept.replace(Tables.ITEM_IMAGES, dataset, rows)
    kept.replace(CLASSES, dataset, pd.DataFrame(sure, columns=[ITEM, "name"]).astype("str"))
    note: dict[str, object] = {
        "dataset": dataset,
        "seed": seed,
        "items": len(texts),
        "pictured": int(rows[IMAGE_HASH].notna().sum()),
        "of_known_class": len(sure),
        "megabytes": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 1),
    }
    (folder / NOTE).write_text(json.dumps(note, indent=2))
    return note


def read_folder(folder: Path, items: int | None = None) -> Catalogue:
    """Return what :func:`write_folder` wrote, or a sample of that many of its items."""
    note = json.loads((folder / NOTE).read_text())
    paths, dataset = Paths(folder.resolve()), note["dataset"]
    store = Store.of(paths)
    texts = store.read(Tables.ITEM_TEXT, dataset)
    if items is not None:
        texts = draft_sample(texts, items, note["seed"]).reset_index(drop=True)
    images = ItemImages(Artifacts.of(paths), store.read(Tables.ITEM_IMAGES, dataset))
    known = store.read(CLASSES, dataset)
    return Catalogue(texts, images, KnownClasses(images, known[known[ITEM].isin(set(texts[ITEM]))]))


class KnownClasses:
    """Calls pictures by classes that were found before."""

    def __init__(self, images: ItemImages, known: pd.DataFrame) -> None:
        """Take rows of the table ``CLASSES``."""
        named = ((images.get(item), name) for item, name in zip(known[ITEM], known["name"], strict=True))
        self._names = {image.tobytes(): (name,) for image, name in named if image is not None}

    def __call__(self, picture: Image.Image) -> Sequence[str]:
        """Return the class of a picture: one name, or none."""
        return self._names.get(picture.tobytes(), ())


def _classes_of(picture: Image.Image | None, classes: Classes) -> Sequence[str]:
    return () if picture is None else classes(picture)
