"""Bytes of unknown origin to a small RGB picture, or the reason why not."""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MAX_BYTES = 100_000_000
MARKUP_BYTES = 512  # within which an SVG or HTML file shows what it is
JPEG_QUALITY = 90
WIDE_MODES = {"I", "F", "I;16", "I;16L", "I;16B"}
# What Pillow's decoders raise on broken files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError,
          OverflowError, ZeroDivisionError, MemoryError, Image.DecompressionBombError)  # fmt: skip


class UnreadableImageError(Exception):
    """A picture that cannot be used; its text is the reason."""


def decode_image(content: bytes, *, max_side: int, max_pixels: int) -> Image.Image:
    """Give the first frame in RGB, upright, on white where it is transparent, no side longer than ``max_side``.

    Raises:
        UnreadableImageError: with the reason, also for SVG, HTML and pictures of more than ``max_pixels``.
    """
    if not content:
        raise UnreadableImageError("the file is empty")
    if len(content) > MAX_BYTES:
        raise UnreadableImageError(f"the file has {len(content)} bytes, more than {MAX_BYTES}")
    _refuse_markup(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the bound below is tighter than the one Pillow warns of
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise UnreadableImageError(
                        f"{image.width} x {image.height} pixels are more than items.max_image_pixels ({max_pixels})"
                    )
                if image.format == "JPEG":
                    image.draft(image.mode, (2 * max_side, 2 * max_side))  # decodes at a fraction of the size
                return _upright_rgb(image, max_side)
    except BROKEN as error:
        detail = str(error).splitlines()[0][:120] if str(error) else ""
        raise UnreadableImageError(f"not readable as a picture: {type(error).__name__} {detail}".strip()) from None


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
    upright = ImageOps.exif_transpose(image)
    if upright.mode in WIDE_MODES:
        upright = _eight_bit(upright)
    rgb = _on_white(upright) if upright.has_transparency_data else upright.convert("RGB")
    rgb.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return rgb


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit and float grey, spread over 0..255; Pillow's own conversion would clip it to white."""
    values = np.asarray(image, dtype=np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = 65535.0 if image.mode != "F" and values.max() <= 65535 else max(float(values.max()), 1.0)
    top = 255.0 if values.max() <= 255 else top
    return Image.fromarray((values.clip(0, top) * (255.0 / top)).astype(np.uint8))
