import contextlib
import io
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmsra_pipeline.items import decoding
from mmsra_pipeline.items.decoding import UnreadableImageError, decode_image, to_jpeg

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def decode(content: bytes, *, max_side: int = 64, max_pixels: int = 10_000) -> Image.Image:
    return decode_image(content, max_side=max_side, max_pixels=max_pixels)


def near(pixel: object, colour: tuple[int, int, int], slack: int = 6) -> bool:
    return bool(np.abs(np.subtract(pixel, colour)).max() <= slack)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_common_formats_become_rgb(kind):
    picture = decode(encoded(Image.new("RGB", (8, 4), RED), kind))
    assert (picture.mode, picture.size) == ("RGB", (8, 4))
    assert near(picture.getpixel((1, 1)), RED)


def test_a_large_picture_shrinks_within_the_side_and_keeps_its_shape():
    assert decode(encoded(Image.new("RGB", (100, 50), RED), "PNG"), max_side=20).size == (20, 10)
    assert decode(encoded(Image.new("RGB", (50, 100), RED), "JPEG"), max_side=20).size == (10, 20)


def test_a_small_picture_is_not_blown_up():
    assert decode(encoded(Image.new("RGB", (3, 2), RED), "PNG")).size == (3, 2)


def test_exif_orientation_turns_the_picture_upright():
    image = Image.new("RGB", (16, 8), RED)
    image.paste(BLUE, (0, 0, 8, 8))  # blue left, red right
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise
    picture = decode(encoded(image, "JPEG", exif=exif, quality=95, subsampling=0))
    assert picture.size == (8, 16)
    assert near(picture.getpixel((4, 2)), BLUE, 30)
    assert near(picture.getpixel((4, 13)), RED, 30)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("max_side", [64, 2])
def test_every_orientation_is_turned_as_pillow_turns_it(orientation, max_side):
    image = Image.new("RGB", (24, 16), RED)
    image.paste(BLUE, (0, 0, 12, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as stored:
        upright = ImageOps.exif_transpose(stored).convert("RGB")
    upright.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    assert np.abs(np.subtract(decode(content, max_side=max_side), upright, dtype=float)).max() <= 12


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "P", "1", "CMYK", "I;16", "F"])
@pytest.mark.parametrize("size", [(640, 400), (637, 401), (3, 900), (900, 3)])
def test_a_large_picture_is_shrunk_in_bands_as_it_would_be_whole(mode, size, monkeypatch):
    values = np.add.outer(np.linspace(0, 120, size[1]), np.linspace(0, 120, size[0]))
    grey = Image.fromarray(values.astype(np.uint8))
    image = {
        "I;16": lambda: Image.fromarray((values * 256).astype(np.uint16)),
        "F": lambda: Image.fromarray((values / values.max() * 1000).astype(np.float32)),
    }.get(mode, lambda: grey.convert(mode))()
    content = encoded(image, "TIFF")
    whole = decode(content, max_side=16, max_pixels=1_000_000)
    monkeypatch.setattr(decoding, "BAND_PIXELS", 3000)
    banded = decode(content, max_side=16, max_pixels=1_000_000)
    assert banded.size == whole.size
    assert max(banded.size) == 16
    assert np.abs(np.subtract(banded, whole, dtype=float)).max() == 0
    if mode not in {"1", "P", "F"}:
        expected = grey.convert("RGB").resize(whole.size, Image.Resampling.BOX)
        assert np.abs(np.subtract(whole, expected, dtype=float)).mean() <= 4


def test_a_large_transparent_picture_is_laid_on_white_before_it_is_shrunk():
    image = Image.new("RGBA", (400, 400), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 200, 400))
    picture = decode(encoded(image, "PNG"), max_side=8, max_pixels=200_000)
    assert near(picture.getpixel((1, 4)), RED)
    assert near(picture.getpixel((6, 4)), WHITE)


def test_of_a_picture_with_many_pixels_no_second_copy_is_made(tmp_path):
    """Also not for what takes most: wide grey, which is scaled in float64."""
    file = tmp_path / "wide.png"
    Image.fromarray(np.full((4000, 5000), 32768, dtype=np.uint16)).save(file, compress_level=1)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mmsra_pipeline.items.decoding import decode_image\n"
        "def kilobytes(): return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "content, before = Path(sys.argv[1]).read_bytes(), kilobytes()\n"
        "decode_image(content, max_side=256, max_pixels=40_000_000)\n"
        "print(kilobytes() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # 40 MB are the pixels themselves


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_laid_on_white(kind):
    assert near(decode(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), kind)).getpixel((4, 4)), WHITE)


def test_a_transparent_palette_colour_is_white_and_the_others_stay():
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putpixel((1, 0), 1)
    picture = decode(encoded(image, "PNG", transparency=0))
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [WHITE, BLUE]


def test_cmyk_jpeg_shows_its_colour():
    assert near(
        decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)).getpixel((4, 4)), RED, 12
    )


def test_sixteen_bit_grey_is_scaled_and_not_clipped_to_white():
    image = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    assert near(decode(encoded(image, "PNG")).getpixel((1, 1)), (128, 128, 128), 1)


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("AVIF", {})])
def test_of_an_animation_the_first_frame_counts(kind, options):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (BLUE, RED)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(content)) as image:
        assert image.n_frames == 2
    assert near(decode(content).getpixel((4, 4)), BLUE)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (body, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no picture", "not readable as a picture"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "the file is SVG"),
        (b"\xef\xbb\xbf \n<svg/>", "the file is SVG"),
        (b"<!DOCTYPE html><html>404</html>", "the file is HTML"),
        (encoded(Image.new("RGB", (64, 64), RED), "PNG")[:60], "not readable as a picture"),
        (encoded(Image.new("RGB", (200, 200), RED), "JPEG")[:400], "not readable as a picture"),
        (encoded(Image.new("RGB", (101, 100), RED), "PNG"), r"101 x 100 pixels are more than items\.max_image_pixels"),
        (png_header(60_000, 60_000), r"3600000000 pixels are more than items\.max_image_pixels"),
        (png_header(12_000, 12_000), r"12000 x 12000 pixels are more than items\.max_image_pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not readable as a picture"),
    ],
)
def test_what_is_no_usable_picture_is_refused_with_the_reason(content, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        decode(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_damaged_files_raise_nothing_but_the_one_error(kind):
    chance = random.Random(0)
    whole = encoded(Image.effect_noise((24, 24), 60).convert("RGB"), kind)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        with contextlib.suppress(UnreadableImageError):
            assert decode(bytes(content)).mode == "RGB"


def test_the_same_picture_gives_the_same_bytes_without_metadata():
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    content = encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=exif)
    assert to_jpeg(decode(content)) == to_jpeg(decode(content))
    assert b"secret" not in to_jpeg(decode(content))


def test_a_reason_is_the_same_in_every_run():
    with pytest.raises(UnreadableImageError) as error:
        decode_image(b"no picture", max_side=64, max_pixels=10_000)
    assert str(error.value) == "not readable as a picture: UnidentifiedImageError cannot identify image file"
