import itertools
import random

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from mmsra_pipeline.items.appearance import mean_color, perceptual_hash
from mmsra_pipeline.items.duplicates import near_duplicate_pictures, near_duplicate_titles, title_key

ZERO = "0" * 15


def pictured(**looks: tuple[str, str] | None) -> pd.DataFrame:
    """Items with a perceptual hash and a mean colour."""
    rows = [(item, *(look or (None, None))) for item, look in looks.items()]
    return pd.DataFrame(rows, columns=["item_id", "perceptual_hash", "mean_color"], dtype="str")


def rows(table: pd.DataFrame) -> list[tuple]:
    return list(table.itertuples(index=False, name=None))


def test_pictures_within_four_bits_and_of_like_colour_are_near():
    table = pictured(
        first=("0000000000000000", "808080"),
        four=("000000000000000f", "808080"),
        five=("00000000000001f0", "808080"),
        coloured=("0000000000000001", "8d8080"),
        tinted=("f000000000000000", "8c7580"),
        none=None,
    )
    assert rows(near_duplicate_pictures(table)) == [("first", "four", 4), ("four", "first", 4), ("tinted", "first", 4)]


def test_one_picture_of_several_items_counts_and_the_nearest_is_named():
    white = "ffffff"
    table = pictured(a=(ZERO + "0", white), b=(ZERO + "3", white), c=(ZERO + "1", white), d=(ZERO + "0", white))
    assert rows(near_duplicate_pictures(table)) == [("a", "d", 0), ("b", "c", 1), ("c", "a", 1), ("d", "a", 0)]


def test_the_search_finds_exactly_what_comparing_all_pairs_finds():
    chance = random.Random(0)
    codes = [chance.getrandbits(64) for _ in range(40)]
    for code in codes[:20]:
        codes += [code ^ sum(1 << bit for bit in chance.sample(range(64), count)) for count in range(1, 8)] * 2
    colors = [chance.choice(["808080", "858585", "ffffff"]) for _ in codes]
    table = pictured(**{f"i{n}": (f"{code:016x}", color) for n, (code, color) in enumerate(zip(codes, colors))})
    near: dict[str, int] = {}
    for (m, one), (n, other) in itertools.permutations(enumerate(codes), 2):
        bits = (one ^ other).bit_count()
        if bits <= 4 and (colors[m] == "ffffff") == (colors[n] == "ffffff"):
            near[f"i{m}"] = min(near.get(f"i{m}", 64), bits)
    found = near_duplicate_pictures(table)
    assert len(codes) > 256  # more than one block
    assert dict(zip(found["item_id"], found["distance"])) == near


def test_no_pictures_have_no_duplicates():
    assert rows(near_duplicate_pictures(pictured(a=None))) == []
    assert rows(near_duplicate_pictures(pictured())) == []


def look(image: Image.Image) -> tuple[str, str]:
    return perceptual_hash(image), mean_color(image)


def mug(colour: str, side: int = 256) -> Image.Image:
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((side * 0.25, side * 0.2, side * 0.6, side * 0.9), fill=colour)
    draw.arc((side * 0.5, side * 0.3, side * 0.8, side * 0.7), 270, 90, fill=colour, width=side // 20)
    return image


def test_a_picture_in_another_size_is_near_and_a_thing_in_another_colour_is_not():
    table = pictured(red=look(mug("red")), small=look(mug("red", 100)), green=look(mug("green")))
    hashes = [int(code, 16) for code in table["perceptual_hash"]]
    assert (hashes[0] ^ hashes[2]).bit_count() <= 4  # what the hash alone would take for one picture
    assert near_duplicate_pictures(table)["item_id"].tolist() == ["red", "small"]


def test_blank_pictures_are_near_if_they_have_one_colour():
    blanks = {colour: look(Image.new("RGB", (64, 64), colour)) for colour in ("white", "red", "blue")}
    table = pictured(**blanks, other=look(Image.new("RGB", (9, 9), "white")))
    assert table["perceptual_hash"].nunique() == 1
    assert near_duplicate_pictures(table)["item_id"].tolist() == ["white", "other"]


def test_the_hash_is_sixteen_digits_and_the_colour_six():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    assert [len(part) for part in look(noise)] == [16, 6]
    assert mean_color(Image.new("RGB", (3, 3), (1, 2, 255))) == "0102ff"


def titled(**titles: str) -> pd.DataFrame:
    return pd.DataFrame({"item_id": list(titles), "title": list(titles.values())}, dtype="str")


def test_titles_of_the_same_words_are_near_whatever_their_order_case_and_signs():
    table = titled(
        a="Red wool scarf", b="SCARF, red (wool)", c="Red wool-scarf!", d="Red red wool scarf", e="Blue scarf"
    )
    assert rows(near_duplicate_titles(table)) == [
        ("a", "b", "Red wool scarf"), ("b", "a", "SCARF, red (wool)"), ("c", "a", "Red wool-scarf!"),
    ]  # fmt: skip


def test_items_without_words_in_their_title_are_near_nothing():
    assert rows(near_duplicate_titles(titled(a="", b="", c="!?", d="..."))) == []
    assert rows(near_duplicate_titles(titled())) == []


def test_letters_of_all_scripts_make_words():
    assert title_key("Stra\u00dfe 5") == ("5", "strasse")
    assert title_key("\u7ea2\u8272 \u56f4\u5dfe") == ("\u56f4\u5dfe", "\u7ea2\u8272")
