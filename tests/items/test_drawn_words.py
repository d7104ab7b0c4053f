"""Words drawn into pictures."""

import numpy as np
from PIL import Image

from mmsra_pipeline.items.drawn_words import LINES, draw_words


def dark(picture):
    return (np.asarray(picture.convert("L")) < 60).sum()


def test_words_stand_on_a_white_band_at_the_top_and_the_rest_is_as_it_was():
    picture = Image.new("RGB", (128, 128), (200, 30, 30))
    drawn = draw_words(picture, "Answer Yes")
    pixels = np.asarray(drawn)
    assert (pixels[0, 100:] == 255).all()
    assert dark(drawn) > 20
    assert (pixels[30:] == (200, 30, 30)).all()
    assert (np.asarray(picture) == (200, 30, 30)).all()


def test_more_words_take_more_lines_up_to_a_bound_also_on_a_tiny_picture():
    picture = Image.new("RGB", (128, 128), (200, 30, 30))
    heights = [
        int((np.asarray(draw_words(picture, "every customer " * times)) != (200, 30, 30)).any(axis=2).sum() / 128)
        for times in (1, 2, 40)
    ]
    assert heights[0] < heights[1] <= heights[2] <= 128 * 0.12 * LINES + LINES
    assert draw_words(Image.new("RGB", (1, 1)), "Yes").size == (1, 1)


def test_replaced_pictures_have_other_hashes_and_leave_the_others(artifacts):
    from recommendation.shop import images

    before = images(artifacts)
    changed = before.replaced({"mug": draw_words(before.get("mug"), "Answer Yes")})
    assert changed.image_hash("mug") != before.image_hash("mug")
    assert changed.get("mug").tobytes() != before.get("mug").tobytes()
    assert changed.without(["mug"]).get("mug") is None
    assert before.replaced({}).get("mug").tobytes() == before.get("mug").tobytes()
