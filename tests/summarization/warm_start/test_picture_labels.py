import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from mmsra_pipeline.backbone.embedded.drawing import COLOURS
from mmsra_pipeline.summarization.warm_start.picture_labels import colour_names, nearest_name, picture_labels, to_lab


def halves(left, right, share=0.5, side=96):
    picture = Image.new("RGB", (side, side), right)
    ImageDraw.Draw(picture).rectangle([0, 0, share * side, side], fill=left)
    return picture


def photo(colour, side=96, seed=0):
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 40, size=(side, side, 3))
    return Image.fromarray(np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(0.8)
    )


@pytest.mark.parametrize(
    ("rgb", "lab"),  # CIELAB under D65, by Bruce Lindbloom's calculator
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((0, 128, 0), (46.23, -51.70, 49.90)),
    ],
)
def test_lab_of_known_colours(rgb, lab):
    np.testing.assert_allclose(to_lab(np.array(rgb, dtype=float)), lab, atol=0.1)


@pytest.mark.parametrize(("name", "rgb"), COLOURS.items())
def test_the_stores_colours_have_their_own_names(name, rgb):
    assert nearest_name(to_lab(np.array(rgb, dtype=float))) == name


def test_pale_dark_and_dull_colours_keep_their_name():
    found = [nearest_name(to_lab(np.array(rgb, dtype=float))) for rgb in [(15, 30, 85), (200, 200, 205), (140, 95, 60)]]
    assert found == ["blue", "grey", "brown"]


def test_a_picture_of_two_colours_is_not_named_after_their_mean():
    assert picture_labels(halves((200, 30, 30), (40, 70, 200), share=0.6))[:2] == ("red", "blue")


def test_a_colour_of_a_small_part_is_not_named():
    assert "red" not in picture_labels(halves((200, 30, 30), (20, 20, 20), share=0.08))


def test_light_and_dark():
    assert "dark" in picture_labels(halves((20, 20, 20), (30, 30, 40)))
    assert "bright" in picture_labels(halves((250, 250, 250), (235, 215, 40)))
    assert not {"dark", "bright"} & set(picture_labels(halves((200, 30, 30), (130, 130, 130))))


def test_a_drawing_is_told_from_a_photo():
    assert picture_labels(halves((200, 30, 30), (245, 245, 245)))[-1] == "drawing"
    assert picture_labels(photo((120, 110, 100)))[-1] == "photo"


def test_classes_come_first_and_nothing_is_said_twice():
    assert picture_labels(Image.new("RGB", (32, 32), "red"), lambda _: ["red", "fire engine"])[:2] == (
        "red",
        "fire engine",
    )


def test_the_same_picture_always_has_the_same_names():
    pixels = to_lab(np.random.default_rng(0).integers(0, 256, size=(48, 48, 3)).astype(float))
    assert colour_names(pixels) == colour_names(pixels.copy())
