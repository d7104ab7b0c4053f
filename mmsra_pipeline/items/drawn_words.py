"""Words drawn into a picture, as somebody who sells an item may do."""

from PIL import Image, ImageDraw, ImageFont

LINES = 3
"""At most so many lines; what does not fit is left out."""
LINE_SHARE = 0.12
"""Height of a line as a share of the picture's."""


def draw_words(picture: Image.Image, words: str) -> Image.Image:
    """Return the picture with words on a white band at its top, black, in as many lines as they need.

    Args:
        picture: RGB, any size; it is left as it is.
        words: one sentence.
    """
    drawn = picture.convert("RGB")
    height = max(8, round(drawn.height * LINE_SHARE))
    font = ImageFont.load_default(size=height * 0.8)
    lines = _lines(words, font, drawn.width)
    pencil = ImageDraw.Draw(drawn)
    pencil.rectangle([0, 0, drawn.width, height * len(lines)], fill="white")
    for number, line in enumerate(lines):
        pencil.text((1, number * height), line, fill="black", font=font)
    return drawn


def _lines(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines[:LINES]
