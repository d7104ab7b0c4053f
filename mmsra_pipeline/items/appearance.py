"""What a picture looks like, in a few digits that near-duplicates share."""

import imagehash
import numpy as np
from PIL import Image


def perceptual_hash(image: Image.Image) -> str:
    """Return the 64 bits of pHash as 16 hexadecimal digits.

    The bits tell the coarse light and dark of the picture, so scaling and compression change few of them. They do not
    tell colour, and a picture without light and dark has no bits to tell: all single-coloured ones share a hash.
    """
    return str(imagehash.phash(image))


def mean_color(image: Image.Image) -> str:
    """Return the mean of an RGB picture as six hexadecimal digits."""
    red, green, blue = np.asarray(image, dtype=np.float64).reshape(-1, 3).mean(axis=0).round().astype(int)
    return f"{red:02x}{green:02x}{blue:02x}"
