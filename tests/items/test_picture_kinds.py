import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmsra_pipeline.items.decoding import UnreadableImageError, decode_image
from mmsra_pipeline.items.picture_kinds import kind_of, missing_rows, without_texts


def encoded(kind: str, **options) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(noise).save(sink, kind, **options)
    return sink.getvalue()


def decode(content: bytes) -> Image.Image:
    return decode_image(content, max_side=320, max_pixels=100_000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", r"is HEIC; give a JPEG.*`pip install pillow-heif`"),
        (b"\xff\x0a" + bytes(20), r"is JPEG XL; .*`pip install pillow-jxl-plugin`"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is JPEG 2000"),
        (b"\0\0\1\0\1\0", "is a Windows icon"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
def test_a_file_of_another_kind_is_named(content, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        decode(content)
    assert kind_of(b"nothing known") == ""


def test_a_jpeg_that_lacks_its_last_bytes_is_shown_and_one_that_lacks_rows_is_not():
    content = encoded("JPEG")
    whole = np.asarray(decode(content)).astype(int)
    assert np.abs(np.asarray(decode(content[:-2])).astype(int) - whole).max() == 0
    with pytest.raises(UnreadableImageError, match=r"cut off: the lower \d+% of the picture are missing"):
        decode(content[: len(content) * 3 // 4])
    assert missing_rows(np.full((10, 4, 3), 128, np.uint8)) == 1
    assert missing_rows(whole.astype(np.uint8)) == 0


def test_a_png_is_shown_whatever_texts_it_carries():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    content = encoded("PNG", pnginfo=info)
    assert np.array_equal(np.asarray(decode(content)), np.asarray(decode(encoded("PNG"))))
    assert without_texts(content) == without_texts(without_texts(content))
    assert len(without_texts(content)) < len(content)
