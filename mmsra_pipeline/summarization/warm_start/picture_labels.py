"""What a picture shows, as far as pixels and the vision tower's own classes tell: pseudo-labels without a label.

They give the warm start something to say of a catalogue's own pictures, where nobody tagged them: colours by name,
light or dark, photo or drawing, and the class of ImageNet where the tower is sure.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float
from PIL import Image
from sklearn.cluster import KMeans

SIDE = 48  # pixels to which a picture is reduced before its colours are counted
CLUSTERS = 5
LEAST_SHARE = 0.15  # of the picture that a colour must cover to be named
MOST_COLOURS = 2
BRIGHT, DARK = 75.0, 35.0  # mean lightness L*, from 0 to 100
FLAT = 6  # largest difference of neighbours, in levels of 256, that counts as one colour
DRAWN_SHARE = 0.72  # of neighbours that are one colour, above which a picture is a drawing
PHOTO_SHARE = 0.45  # below which it is a photo; between them it is called neither

PALETTE: Final[dict[str, tuple[int, int, int]]] = {
    "red": (200, 30, 30),
    "orange": (240, 130, 20),
    "yellow": (235, 215, 40),
    "green": (40, 140, 60),
    "teal": (30, 150, 150),
    "blue": (40, 70, 200),
    "purple": (130, 40, 160),
    "pink": (235, 140, 180),
    "brown": (110, 70, 35),
    "beige": (220, 200, 165),
    "white": (245, 245, 245),
    "grey": (130, 130, 130),
    "black": (20, 20, 20),
}
# Variants that are the same colour by name: one point each would give pale blue to grey and navy to black.
SHADES: Final[dict[str, tuple[tuple[int, int, int], ...]]] = {
    "red": ((140, 20, 25), (230, 70, 60)),
    "green": ((25, 75, 35), (140, 190, 90)),
    "blue": ((20, 35, 90), (120, 165, 220)),
    "brown": ((150, 105, 65), (65, 40, 25)),
    "purple": ((80, 40, 110),),
    "grey": ((90, 90, 90), (180, 180, 180)),
    "teal": ((15, 85, 90),),
    "orange": ((200, 100, 40),),
}

Classes = Callable[[Image.Image], Sequence[str]]
"""Gives the classes that a vision tower is sure of."""


def picture_labels(picture: Image.Image, classes: Classes | None = None) -> tuple[str, ...]:
    """Return what may be said of a picture, the most telling first: classes, colours, light or dark, photo or drawing.

    >>> picture_labels(Image.new("RGB", (64, 64), (200, 30, 30)))
    ('red', 'drawing')
    """
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = to_lab(np.asarray(small, dtype=np.float64))
    labels = [*(classes(picture) if classes else ()), *colour_names(pixels), *_light(pixels), *_kind(picture)]
    return tuple(dict.fromkeys(labels))


def colour_names(pixels: Float[np.ndarray, "rows columns 3"]) -> list[str]:
    """Name the colours of a picture in CIELAB, the most frequent first; at most ``MOST_COLOURS``, none below its share.

    k-means finds them, so a picture of many hues is not named after the mean of all, which is in none of it.
    """
    flat = pixels.reshape(-1, 3)
    count = min(CLUSTERS, len(np.unique(flat.round(), axis=0)))
    found = KMeans(count, n_init=1, random_state=0).fit(flat)
    shares: dict[str, float] = {}
    for centre, size in zip(found.cluster_centers_, np.bincount(found.labels_, minlength=count), strict=True):
        name = nearest_name(centre)
        shares[name] = shares.get(name, 0.0) + size / len(flat)
    common = sorted(shares, key=lambda name: (-shares[name], name))
    return [name for name in common if shares[name] >= LEAST_SHARE][:MOST_COLOURS]


def nearest_name(colour: Float[np.ndarray, " 3"]) -> str:
    """Return the name of the nearest colour of the palette, by distance in CIELAB (CIE 1976)."""
    names, places = _named_places()
    return names[int(np.argmin(np.square(places - colour).sum(axis=1)))]


def to_lab(rgb: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
    """Turn sRGB from 0 to 255 into CIELAB under D65: L* from 0 to 100, a* and b* about -100 to 100 (IEC 61966-2-1).

    >>> to_lab(np.array([255.0, 0.0, 0.0])).round().tolist()
    [53.0, 80.0, 67.0]
    """
    share = rgb / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    weights = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = linear @ np.array(weights).T / np.array([0.95047, 1.0, 1.08883])
    bent = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(bent, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _light(pixels: Float[np.ndarray, "rows columns 3"]) -> list[str]:
    mean = float(pixels[..., 0].mean())
    return ["bright"] if mean > BRIGHT else ["dark"] if mean < DARK else []


def _kind(picture: Image.Image) -> list[str]:
    """Tell a drawing, whose colours are flat, from a photo; noise of JPEG stays below ``FLAT``."""
    levels = np.asarray(picture.convert("RGB").resize((2 * SIDE, 2 * SIDE), Image.Resampling.BOX), dtype=np.int16)
    steps = [np.abs(np.diff(levels, axis=axis)).max(axis=-1) <= FLAT for axis in (0, 1)]
    flat = float(np.mean([step.mean() for step in steps]))
    return ["drawing"] if flat > DRAWN_SHARE else ["photo"] if flat < PHOTO_SHARE else []


@functools.cache
def _named_places() -> tuple[list[str], Float[np.ndarray, "names 3"]]:
    pairs = [(name, rgb) for name, first in PALETTE.items() for rgb in (first, *SHADES.get(name, ()))]
    return [name for name, _ in pairs], to_lab(np.array([rgb for _, rgb in pairs], dtype=np.float64))
