"""Bytes of unknown origin to a small RGB picture, or the reason why not."""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError

from mmsra_pipeline.items.picture_kinds import (
    END_OF_JPEG,
    MOST_FILL,
    PNG_MAGIC,
    kind_of,
    missing_rows,
    readable_formats,
    without_texts,
)

MAX_BYTES = 100_000_000
MARKUP_BYTES = 512  # within which an SVG or HTML file shows what it is
JPEG_QUALITY = 90
BAND_PIXELS = 1_000_000  # of a large picture that are worked on at once
ORIENTATION = 0x0112  # of EXIF; the values say how to turn the picture upright
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
JPEG_MAGIC = b"\xff\xd8"
PIXELS = re.compile(r"\((\d+) pixels\)")
WIDE_MODES = {"I", "F", "I;16", "I;16L", "I;16B"}
OBJECT = re.compile(r" ?<[^<>]* at 0x[0-9a-f]+>")  # its address differs from run to run
# What Pillow's decoders raise on broken files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError,
          OverflowError, ZeroDivisionError, MemoryError, Image.DecompressionBombError)  # fmt: skip


class UnreadableImageError(Exception):
    """A picture that cannot be used; its text is the reason."""


def decode_image(content: bytes, *, max_side: int, max_pixels: int) -> Image.Image:
    """Return the first frame in RGB, upright, on white where it is transparent, no side longer than ``max_side``.

    Raises:
        UnreadableImageError: with the reason, also for SVG, HTML and pictures of more than ``max_pixels``.
    """
    if not content:
        raise UnreadableImageError("the file is empty")
    if len(content) > MAX_BYTES:
        raise UnreadableImageError(f"the file has {len(content)} bytes, more than {MAX_BYTES}")
    _refuse_markup(content)
    try:
        return _decoded(content, max_side, max_pixels)
    except Image.DecompressionBombError as error:
        pixels = PIXELS.search(str(error))
        count = f"{pixels[1]} pixels" if pixels else "its pixels"
        raise UnreadableImageError(f"{count} are more than items.max_image_pixels ({max_pixels})") from None
    except BROKEN as error:
        if content.startswith(PNG_MAGIC) and "MAX_TEXT" in str(error):
            return decode_image(without_texts(content), max_side=max_side, max_pixels=max_pixels)
        if content.startswith(JPEG_MAGIC) and "truncated" in str(error):
            return _completed(content, max_side, max_pixels)
        detail = OBJECT.sub("", str(error)).splitlines()[0][:120] if str(error) else ""
        unread = f"not readable as a picture: {type(error).__name__} {detail}".strip()
        raise UnreadableImageError(
            (kind_of(content) if isinstance(error, UnidentifiedImageError) else "") or unread
        ) from None


def _completed(content: bytes, max_side: int, max_pixels: int) -> Image.Image:
    """Return a JPEG that lacks its last bytes, if hardly a row of it is missing."""
    try:
        picture = _decoded(content + END_OF_JPEG, max_side, max_pixels)
    except BROKEN as error:
        raise UnreadableImageError(f"the file is cut off: {str(error)[:120]}") from None
    missing = missing_rows(np.asarray(picture))
    if missing > MOST_FILL:
        raise UnreadableImageError(f"the file is cut off: the lower {missing:.0%} of the picture are missing")
    return picture


def _decoded(content: bytes, max_side: int, max_pixels: int) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the bound below is tighter than the one Pillow warns of
        with Image.open(io.BytesIO(content), formats=readable_formats()) as image:
            if image.width * image.height > max_pixels:
                raise UnreadableImageError(
                    f"{image.width} x {image.height} pixels are more than items.max_image_pixels ({max_pixels})"
                )
            if image.format == "JPEG":
                image.draft(image.mode, (2 * max_side, 2 * max_side))  # decodes at a fraction of the size
            return _upright_rgb(image, max_side)


def to_jpeg(image: Image.Image) -> bytes:
    """JPEG bytes without metadata; the same picture gives the same bytes."""
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return sink.getvalue()


def _refuse_markup(content: bytes) -> None:
    start = content[:MARKUP_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"<"):
        kind = "SVG, which is drawn by a program and not decoded" if b"<svg" in start else "HTML or XML"
        raise UnreadableImageError(f"the file is {kind}; give a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture")


def _upright_rgb(image: Image.Image, max_side: int) -> Image.Image:
    image.seek(0)
    image.load()
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    factor = max(1, max(image.size) // (2 * max_side))
    rgb = _shrunk(image, factor)
    size = _fitted(image.width, image.height, max_side)
    if size != rgb.size:
        # The last column and row may stand for less than a whole ``factor``.
        rgb = rgb.resize(size, Image.Resampling.LANCZOS, box=(0, 0, image.width / factor, image.height / factor))
    return rgb if turn is None else rgb.transpose(turn)


def _fitted(width: int, height: int, max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _shrunk(image: Image.Image, factor: int) -> Image.Image:
    """Return RGB pictures ``factor`` times smaller, band by band: of a large picture no second copy is made."""
    top = _brightest(image) if image.mode in WIDE_MODES else 0.0
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for band in _bands(image, factor):
        part = image.crop((0, band.start, image.width, band.stop))
        if part.mode in WIDE_MODES:
            part = _eight_bit(part, top)
        rgb = _on_white(part) if part.has_transparency_data else part.convert("RGB")
        small.paste(rgb.reduce(factor) if factor > 1 else rgb, (0, band.start // factor))
    return small


def _bands(image: Image.Image, factor: int) -> Iterator[range]:
    """Cut the rows into bands of about ``BAND_PIXELS``, each but the last a multiple of ``factor`` high."""
    rows = factor * max(1, BAND_PIXELS // (image.width * factor))
    for start in range(0, image.height, rows):
        yield range(start, min(start + rows, image.height))


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")


def _brightest(image: Image.Image) -> float:
    """The value that is shown as white: of 16-bit pictures 65535, of 8-bit ones 255, else the largest there is."""
    crops = (image.crop((0, band.start, image.width, band.stop)) for band in _bands(image, 1))
    top = max(float(_finite(crop).max()) for crop in crops)
    if top <= 255:
        return 255.0
    return 65535.0 if image.mode != "F" and top <= 65535 else max(top, 1.0)


def _eight_bit(image: Image.Image, top: float) -> Image.Image:
    """Wide grey, spread over 0..255; Pillow's own conversion would clip it to white."""
    return Image.fromarray((_finite(image).clip(0, top) * (255.0 / top)).astype(np.uint8))


def _finite(image: Image.Image) -> Float[np.ndarray, "height width"]:
    return np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
