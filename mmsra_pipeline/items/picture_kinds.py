"""What a file is that no decoder here reads, and pictures that almost are one."""

import functools
import importlib
import re
import struct

import numpy as np
from jaxtyping import UInt8

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
PLUGINS = {"HEIC": ("pillow_heif", "pillow-heif", "HEIF"), "JPEG XL": ("pillow_jxl", "pillow-jxl-plugin", "JXL")}
"""Kinds of pictures that an installed package reads: its module, its name, and what Pillow calls the format."""
KINDS = (
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL"),
    (re.compile(rb"....ftyp(?:hei[cxsm]|hev[cx]|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\0\0[\x01\x02]\0"), "a Windows icon or cursor"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"\x1aE\xdf\xa3|....ftyp", re.DOTALL), "a video"),
    (re.compile(rb"\x1f\x8b|PK\x03\x04|7z\xbc\xaf|Rar!"), "a packed file, which is to be unpacked"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer in place of the picture; run `git lfs pull`"),
)
END_OF_JPEG = b"\xff\xd9"
FILL = 128  # libjpeg's grey where there are no data
MOST_FILL = 0.02  # of the rows
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return what Pillow may decode: formats in wide use, and those of plug-ins that are installed."""
    found = list(FORMATS)
    for module, _, name in PLUGINS.values():
        try:
            plugin = importlib.import_module(module)
        except ImportError:
            continue
        if module == "pillow_heif":
            plugin.register_heif_opener()
        found.append(name)
    return tuple(found)


def kind_of(content: bytes) -> str:
    """Say what a file is that cannot be decoded, and what to do; empty if it is not known.

    >>> kind_of(b"8BPS....")
    'the file is a Photoshop file; give a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture'
    """
    found = next((kind for magic, kind in KINDS if magic.match(content)), "")
    if not found:
        return ""
    other = f", or `pip install {PLUGINS[found][1]}`" if found in PLUGINS else ""
    return f"the file is {found}; give a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF picture{other}"


def missing_rows(rgb: UInt8[np.ndarray, "height width 3"]) -> float:
    """Return the share of rows at the bottom that are nothing but the grey of missing data."""
    filled = np.abs(rgb.astype(np.int16) - FILL).max(axis=(1, 2)) <= 1
    return float(np.argmin(filled[::-1]) if not filled.all() else len(filled)) / len(filled)


def without_texts(content: bytes) -> bytes:
    """Return a PNG without its chunks of text, of which one may be larger than any picture."""
    pieces, at = [PNG_MAGIC], len(PNG_MAGIC)
    while at + 8 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        end = at + 12 + length
        if content[at + 4 : at + 8] not in TEXT_CHUNKS:
            pieces.append(content[at:end])
        at = end
    return b"".join(pieces)
