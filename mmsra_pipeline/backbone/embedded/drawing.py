"""Pictures of things that are made up: a look is a colour, a pattern and a shape, and only the picture tells it.

Background, place, size and the pattern's phase vary, so that none of them gives the look away.
"""

from collections import Counter
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

COLOURS: Final[dict[str, Colour]] = {
    "red": (200, 30, 30),
    "orange": (240, 130, 20),
    "yellow": (235, 215, 40),
    "green": (30, 150, 60),
    "blue": (30, 60, 200),
    "purple": (130, 40, 160),
    "white": (245, 245, 245),
    "black": (25, 25, 25),
}
PATTERNS: Final = ("plain", "striped", "dotted", "checked")
SHAPES: Final = ("mug", "ball", "bag", "lamp", "shirt", "chair", "clock", "vase")
GRID = 128  # shapes are given on a grid of this side


class Look(NamedTuple):
    """What a picture shows."""

    colour: str
    pattern: str
    shape: str


ALL_LOOKS: Final = tuple(Look(colour, pattern, shape) for colour in COLOURS for pattern in PATTERNS for shape in SHAPES)


def _held_out(count: int, rng: np.random.Generator) -> frozenset[Look]:
    """Looks at random, passing over any whose colour and pattern, colour and shape, or pattern and shape is left alone.

    At random, as new products come: a regular choice (a Latin square, say) would let pattern and shape tell which
    colours were never seen beside them, and so teach a model to avoid just those that it is asked for.
    """
    seen = Counter(pair for look in ALL_LOOKS for pair in _pairs(look))
    chosen: list[Look] = []
    for place in rng.permutation(len(ALL_LOOKS)):
        pairs = _pairs(ALL_LOOKS[place])
        if len(chosen) < count and all(seen[pair] > 1 for pair in pairs):
            chosen.append(ALL_LOOKS[place])
            seen.subtract(pairs)
    return frozenset(chosen)


def _pairs(look: Look) -> list[tuple[str, str]]:
    return list(combinations(look, 2))  # no word is a value of two attributes


HELD_OUT: Final = _held_out(53, np.random.default_rng(7))
TRAINED_LOOKS: Final = tuple(look for look in ALL_LOOKS if look not in HELD_OUT)
"""Looks that no training ever sees, though each pair of their attributes in others."""


def draw(look: Look, side: int, rng: np.random.Generator) -> Image.Image:
    """Draw a look on a light background as an RGB picture of ``side`` x ``side`` pixels."""
    scale = side / GRID * rng.uniform(0.85, 1.05)
    room = 0.06 * side
    left, top = ((side - GRID * scale) / 2 + rng.uniform(-room, room) for _ in range(2))
    background = tuple(int(value) for value in rng.integers(150, 221, size=3))
    picture = Image.new("RGB", (side, side), background)
    picture.paste(_texture(look, side, scale, rng), (0, 0), _outline(look.shape, side, scale, (left, top)))
    return picture


def _outline(shape: str, side: int, scale: float, origin: tuple[float, float]) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(mask)

    def at(*grid: int) -> list[float]:
        return [origin[index % 2] + value * scale for index, value in enumerate(grid)]

    def line(width: int) -> int:
        return max(1, round(width * scale))

    if shape == "mug":
        pen.rectangle(at(30, 40, 85, 105), fill=255)
        pen.ellipse(at(75, 50, 112, 92), outline=255, width=line(9))
    elif shape == "ball":
        pen.ellipse(at(24, 24, 104, 104), fill=255)
    elif shape == "bag":
        pen.rectangle(at(28, 52, 100, 112), fill=255)
        pen.arc(at(44, 20, 84, 84), 180, 360, fill=255, width=line(8))
    elif shape == "lamp":
        pen.polygon(at(44, 20, 84, 20, 106, 64, 22, 64), fill=255)
        pen.rectangle(at(60, 64, 68, 104), fill=255)
        pen.rectangle(at(42, 104, 86, 114), fill=255)
    elif shape == "shirt":
        pen.polygon(at(40, 24, 88, 24, 118, 50, 102, 66, 92, 56, 92, 112, 36, 112, 36, 56, 26, 66, 10, 50), fill=255)
    elif shape == "chair":
        pen.rectangle(at(36, 16, 48, 112), fill=255)
        pen.rectangle(at(36, 62, 96, 74), fill=255)
        pen.rectangle(at(86, 74, 96, 112), fill=255)
    elif shape == "clock":  # an alarm clock with a hole for its face: a disc alone would be a ball
        pen.ellipse(at(22, 30, 106, 114), outline=255, width=line(17))
        pen.rectangle(at(59, 46, 69, 78), fill=255)
        pen.rectangle(at(59, 68, 88, 78), fill=255)
        pen.ellipse(at(18, 12, 48, 42), fill=255)
        pen.ellipse(at(80, 12, 110, 42), fill=255)
    elif shape == "vase":
        pen.polygon(
            at(40, 14, 88, 14, 74, 34, 74, 48, 100, 70, 94, 88, 76, 116, 52, 116, 34, 88, 28, 70, 54, 48, 54, 34),
            fill=255,
        )
    else:
        raise ValueError(f"shape {shape!r} is not one of {SHAPES}")
    return mask


def _texture(look: Look, side: int, scale: float, rng: np.random.Generator) -> Image.Image:
    colour = COLOURS[look.colour]
    texture = Image.new("RGB", (side, side), colour)
    pen = ImageDraw.Draw(texture)
    marks = (255, 255, 255) if sum(colour) < 380 else (60, 60, 60)  # light on dark and dark on light
    step = 20 * scale
    starts = np.arange(-step * rng.uniform(), side, step)
    if look.pattern == "striped":
        for x in starts:
            pen.rectangle([x, 0, x + 0.25 * step, side], fill=marks)
    elif look.pattern == "dotted":
        for x in starts:
            for y in starts:
                pen.ellipse([x, y, x + 0.4 * step, y + 0.4 * step], fill=marks)
    elif look.pattern == "checked":
        for x in starts:
            for y in starts:
                pen.rectangle([x, y, x + 0.5 * step, y + 0.5 * step], fill=marks)
    elif look.pattern != "plain":
        raise ValueError(f"pattern {look.pattern!r} is not one of {PATTERNS}")
    return texture


def drawn_look(side: int, rng: np.random.Generator) -> tuple[Look, Image.Image]:
    """Draw a look that training may see."""
    look = TRAINED_LOOKS[int(rng.integers(len(TRAINED_LOOKS)))]
    return look, draw(look, side, rng)
