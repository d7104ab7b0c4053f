"""The built-in data set: a made-up shop of known structure, so that it is known what a stage should have found.

Colour, pattern and shape are seen in pictures alone; material, use, brand and style stand in text alone; each user
goes by two of them, style aside; companions are bought together for no reason that picture or text gives; few products
are taken by many. Some products lack a picture, some a text, some are new and nobody has them.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from mmsra_pipeline.backbone.embedded.drawing import ALL_LOOKS, HELD_OUT, Look, draw
from mmsra_pipeline.sample_store import behaviour, wording

Size = Literal["tiny", "small", "large"]
PICTURE_SIDE = 128
HELD_OUT_SHARE = 0.4
TAGGED_SHARE = 0.4  # of the products with a picture whose look is not held out
DRAWING: Final = "backbone/embedded/drawing.py"
GENERATOR_FILES: Final = ("sample_store/behaviour.py", DRAWING, "sample_store/shop.py", "sample_store/wording.py")
WRITTEN: Final = ".complete"  # names the generator that wrote the folder


class Scale(NamedTuple):
    """How large a shop is, and how its users come and choose."""

    products: int
    users: int
    events: tuple[int, int]  # of a user: least, most
    pairs: int
    without_picture: int
    without_text: int
    new: int
    one_sided: int = 0
    """Users who care for pictures alone, and as many for text alone."""
    popularity: float = 0.8
    """How steeply utility falls from the most to the least popular product."""
    join_days: int = 240
    """Within which users first come. Few: what others took is mostly known when a user's last purchase is asked for."""


SCALES: Final[dict[str, Scale]] = {
    "tiny": Scale(24, 30, (6, 10), 4, 1, 1, 2),
    # Of the last purchases in ``small``, each among 20 products that its user never took, the shop's own probabilities
    # put 94 % among the first five, without companions 80 %; co-occurrence 53 %, popularity 40 %. Co-occurrence and
    # what the history's true attributes show of the taste, merely added, put 75 % there: there is much to find for who
    # reads pictures, texts and what others took. tests/sample_store/test_ceiling.py holds it to that.
    "small": Scale(100, 400, (5, 8), 18, 4, 4, 5, one_sided=120, popularity=1.0, join_days=30),
    "large": Scale(1000, 3000, (5, 8), 160, 40, 40, 50, one_sided=900, popularity=0.6, join_days=30),
}


@dataclass(frozen=True)
class Shop:
    """The shop and the truth about it."""

    products: pd.DataFrame
    """item_id, colour, pattern, shape, held_out, material, use, brand, style, popularity, title, description, tagged,
    has_picture, has_text, is_new."""
    users: pd.DataFrame
    """user_id, cares_for, main, minor, colour, pattern, shape, material, use, brand: see ``behaviour.make_users``."""
    companions: pd.DataFrame
    """item_id, companion_id; each pair in both orders."""
    events: pd.DataFrame
    """user_id, item_id, timestamp (seconds), rating, by_companion; sorted by time."""
    seed: int

    def look(self, item_id: str) -> Look:
        """Return the true look of a product."""
        row = self.products[self.products["item_id"] == item_id]
        return Look(*(str(row[name].iloc[0]) for name in Look._fields))


def make_shop(size: Size, seed: int) -> Shop:
    """Make up a shop; the same size and seed give the same shop."""
    scale = SCALES[size]
    rng = np.random.default_rng([seed, 0])
    products = _products(scale, rng)
    shoppable = products[~products["is_new"]].reset_index(drop=True)
    companions = behaviour.make_companions(shoppable, scale.pairs, rng)
    users = behaviour.make_users(products, scale.users, scale.one_sided, rng)
    events = behaviour.make_events(users, products, companions, scale.events, scale.join_days, rng)
    return Shop(products, users, companions, events, seed)


def write_shop(shop: Shop, folder: Path) -> None:
    """Write a shop as a data set of ``format: tables``: interactions.csv, items.csv, images/."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([shop.seed, 1])
    reviews = shop.events.assign(
        timestamp=pd.to_datetime(shop.events["timestamp"], unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        review=[wording.review(int(rating), rng) for rating in shop.events["rating"]],
    )
    reviews[["user_id", "item_id", "timestamp", "rating", "review"]].to_csv(folder / "interactions.csv", index=False)
    products = shop.products
    has_text = products["has_text"]
    items = pd.DataFrame(
        {
            "item_id": products["item_id"],
            "title": products["title"].where(has_text, ""),
            "description": products["description"].where(has_text, ""),
            "category": products["use"].where(has_text, ""),
            "tags": _joined_look(products).where(products["tagged"], ""),
            "image": (products["item_id"] + ".png").where(products["has_picture"], ""),
        }
    )
    items.to_csv(folder / "items.csv", index=False)
    for number, item in enumerate(products["item_id"]):
        if products["has_picture"].iloc[number]:
            picture = draw(shop.look(item), PICTURE_SIDE, np.random.default_rng([shop.seed, 2, number]))
            picture.save(folder / "images" / f"{item}.png")


def write_sample(size: Size, seed: int, workdir: Path) -> Path:
    """Return the folder below ``workdir`` that holds the shop, made now unless this generator made it before."""
    folder = workdir / f"sample-{size}-{seed}"
    mark = folder / WRITTEN
    if not (mark.is_file() and mark.read_text() == generator_version()):
        building = workdir / f".sample-{size}-{seed}-{os.getpid()}"
        shutil.rmtree(building, ignore_errors=True)
        write_shop(make_shop(size, seed), building)
        (building / WRITTEN).write_text(generator_version())
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    return folder


@cache
def generator_version() -> str:
    """Hash of the code that makes the shop: other code, other shop."""
    home = resources.files("mmsra_pipeline")
    return hashlib.sha256(b"\0".join((home / name).read_bytes() for name in GENERATOR_FILES)).hexdigest()[:16]


def _products(scale: Scale, rng: np.random.Generator) -> pd.DataFrame:
    looks = _looks(scale.products, rng)
    facts = [_facts(rng) for _ in looks]
    names = wording.model_names(scale.products, rng)
    lacks = rng.permutation(scale.products)
    bounds = np.cumsum([scale.without_picture, scale.without_text, scale.new])
    without_picture, without_text, new = (set(part.tolist()) for part in np.split(lacks, bounds)[:3])
    numbers = range(scale.products)
    width = behaviour.id_width(scale.products)
    products = pd.DataFrame(
        {
            "item_id": [f"p{number + 1:0{width}d}" for number in numbers],
            **{name: [getattr(look, name) for look in looks] for name in Look._fields},
            "held_out": [look in HELD_OUT for look in looks],
            **{name: [getattr(fact, name) for fact in facts] for name in wording.Facts._fields},
            "popularity": behaviour.popularity_utility(scale.products, scale.popularity, rng),
            "title": [wording.title(fact, name) for fact, name in zip(facts, names)],
            "description": [wording.description(fact, rng) for fact in facts],
            "has_picture": [number not in without_picture for number in numbers],
            "has_text": [number not in without_text for number in numbers],
            "is_new": [number in new for number in numbers],
        }
    )
    taggable = np.flatnonzero(products["has_picture"] & ~products["held_out"])
    tagged = rng.choice(taggable, size=round(TAGGED_SHARE * len(taggable)), replace=False)
    return products.assign(tagged=np.isin(np.arange(scale.products), tagged))


def _looks(count: int, rng: np.random.Generator) -> list[Look]:
    """Looks, ``HELD_OUT_SHARE`` of them held out, in random order; none repeats before all of its kind were had."""
    held_out = round(HELD_OUT_SHARE * count)
    chosen = _spread([look for look in ALL_LOOKS if look in HELD_OUT], held_out, rng)
    chosen += _spread([look for look in ALL_LOOKS if look not in HELD_OUT], count - held_out, rng)
    return [chosen[index] for index in rng.permutation(count)]


def _spread(looks: list[Look], count: int, rng: np.random.Generator) -> list[Look]:
    rounds, rest = divmod(count, len(looks))
    return looks * rounds + [looks[index] for index in rng.choice(len(looks), rest, replace=False)]


def _facts(rng: np.random.Generator) -> wording.Facts:
    choices = (wording.MATERIALS, tuple(wording.USES), wording.BRANDS, wording.STYLES)
    return wording.Facts(*(values[rng.integers(len(values))] for values in choices))


def _joined_look(products: pd.DataFrame) -> pd.Series:
    return products["colour"] + "|" + products["pattern"] + "|" + products["shape"]
