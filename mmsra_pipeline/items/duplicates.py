"""Items that look or are named alike: the same thing twice in the catalogue, or a placeholder in place of a picture."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import faiss
import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8

from mmsra_pipeline import columns as c

MAX_DISTANCE = 4  # bits of the perceptual hash that may differ
MAX_COLOR_DISTANCE = 12  # of 255, in each channel of the mean colour
BLOCK = 256  # pictures that are searched for at once; bounds what a search can find
NEAR = "near_item_id"
DISTANCE = "distance"
WORD = re.compile(r"[^\W_]+")


def near_duplicate_pictures(item_images: pd.DataFrame) -> pd.DataFrame:
    """Return the items whose picture is nearly that of another item, each with one such item.

    Pictures are near if their perceptual hashes differ in at most ``MAX_DISTANCE`` of 64 bits and their mean colours in
    at most ``MAX_COLOR_DISTANCE`` a channel. The hash does not tell colour: without the second condition the red and
    the blue shirt of one model would be the same, and so would all single-coloured pictures. Those of one colour, such
    as white placeholders, are near, as they should be: they tell their items apart no better than one picture would.

    Returns:
        item_id, near_item_id, distance (differing bits, 0 for one stored picture), in the order of ``item_images``. One
        row an item, however many are near it.
    """
    pictured = item_images[item_images["perceptual_hash"].notna()]
    items: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for item, code, color in zip(pictured[c.ITEM], pictured["perceptual_hash"], pictured["mean_color"]):
        items[code, color].append(item)
    alike = {look: (members[0], 0) for look, members in items.items() if len(members) > 1}
    looks = list(items)
    for look, (near, distance) in _nearest(looks).items():
        alike.setdefault(look, (items[near][0], distance))
    rows = []
    for item, look in zip(pictured[c.ITEM], zip(pictured["perceptual_hash"], pictured["mean_color"])):
        if look in alike:
            near_item, distance = alike[look]
            rows.append((item, near_item if near_item != item else items[look][1], distance))
    return pd.DataFrame(rows, columns=[c.ITEM, NEAR, DISTANCE]).astype({c.ITEM: "str", NEAR: "str", DISTANCE: "int64"})


def near_duplicate_titles(item_text: pd.DataFrame) -> pd.DataFrame:
    """Return the items whose title has the words of another item's, each with the first such item.

    Words are runs of letters and digits; their order, their case and what stands between them do not count. How often a
    word occurs does.

    Returns:
        item_id, near_item_id, title, in the order of ``item_text``.
    """
    items: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    keys = [title_key(title) for title in item_text[c.TITLE]]
    for item, key in zip(item_text[c.ITEM], keys):
        items[key].append(item)
    rows = []
    for item, title, key in zip(item_text[c.ITEM], item_text[c.TITLE], keys):
        first, *others = items[key]
        if key and others:
            rows.append((item, first if first != item else others[0], title))
    return pd.DataFrame(rows, columns=[c.ITEM, NEAR, c.TITLE], dtype="str")


def title_key(title: str) -> tuple[str, ...]:
    """Return the words of a title in small letters, sorted.

    >>> title_key("Scarf, red (wool)") == title_key("RED wool scarf")
    True
    """
    return tuple(sorted(WORD.findall(title.casefold())))


def _nearest(looks: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[tuple[str, str], int]]:
    """Return for each look that has others near it the nearest, and its distance; the first one of equals."""
    if not looks:
        return {}
    codes = _bytes(code for code, _ in looks)
    colors = _bytes(color for _, color in looks).astype(np.int16)
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    found = {}
    for start in range(0, len(looks), BLOCK):
        for row, others, distances in _search(index, codes, start):
            near = (np.abs(colors[others] - colors[row]).max(axis=1) <= MAX_COLOR_DISTANCE) & (others != row)
            if near.any():
                best = np.argmin(distances[near] * len(looks) + others[near])  # the nearest, of equals the first
                found[looks[row]] = (looks[others[near][best]], int(distances[near][best]))
    return found


def _search(
    index: faiss.IndexBinaryFlat, codes: UInt8[np.ndarray, "looks bytes"], start: int
) -> Iterator[tuple[int, Int[np.ndarray, " found"], Int[np.ndarray, " found"]]]:
    """Find what is within ``MAX_DISTANCE`` of each code of a block: its row, the rows found, their distances."""
    limits, distances, others = index.range_search(codes[start : start + BLOCK], MAX_DISTANCE + 1)  # less than that
    for place, (first, last) in enumerate(zip(limits[:-1].tolist(), limits[1:].tolist())):
        yield start + place, others[first:last], distances[first:last].astype(np.int64)


def _bytes(digits: Iterable[str]) -> UInt8[np.ndarray, "looks bytes"]:
    return np.stack([np.frombuffer(bytes.fromhex(entry), dtype=np.uint8) for entry in digits])
