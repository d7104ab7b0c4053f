import pytest
import torch
from transformers import EfficientNetModel

from mmsra_pipeline.backbone.embedded.colour_path import COLOURS, HEAD, STEPS, with_colour_path
from mmsra_pipeline.backbone.embedded.lite0 import ALWAYS_OPEN, lite0_config


@pytest.fixture(scope="module")
def lite0():
    """Random weights with which something gets through to the last features."""
    torch.manual_seed(0)
    tower = EfficientNetModel(lite0_config()).eval()
    for name, value in tower.named_parameters():
        if "squeeze_excite" in name:
            torch.nn.init.constant_(value, ALWAYS_OPEN if name.endswith("expand.bias") else 0.0)
        elif value.ndim > 1:
            torch.nn.init.kaiming_normal_(value)
        elif name.endswith("weight"):
            torch.nn.init.ones_(value)
    return tower


@pytest.fixture(scope="module")
def wide(lite0):
    return with_colour_path(lite0)


@torch.inference_mode()
@pytest.mark.parametrize("side", [64, 128])
def test_the_original_features_stay_as_they_were(lite0, wide, side):
    pixels = torch.rand(2, 3, side, side) * 2 - 1
    before, after = lite0(pixels).last_hidden_state, wide(pixels).last_hidden_state
    assert float(before.std()) > 0.01
    assert after.shape[1] == HEAD + COLOURS * STEPS == 1440
    torch.testing.assert_close(after[:, :HEAD], before, atol=1e-4, rtol=0)  # sums of another length round otherwise


@torch.inference_mode()
def colours(wide, *rgb):
    """Features of red, green, blue, yellow, purple, cyan, light, dark by threshold, of a picture of one colour."""
    pixels = (torch.tensor(rgb) * 2 - 1)[None, :, None, None].expand(1, 3, 96, 96)
    features = wide(pixels).last_hidden_state[0, HEAD:].view(COLOURS, STEPS, -1)
    torch.testing.assert_close(features.amax(-1), features.amin(-1))  # no border is seen
    return features[..., 0]


def test_each_colour_is_known_by_the_features_of_its_own(wide):
    # 8 x 6 times red - (green + blue) / 2 = 0.09, (red + green) / 2 - blue = 0.03, (red + blue) / 2 - green = 0.06,
    # light 0.04, dark 0.96: more than ReLU6 lets through
    found = colours(wide, 0.1, 0.0, 0.02)[:, 0]
    torch.testing.assert_close(
        found, 8 * torch.tensor([0.54, 0.0, 0.0, 0.18, 0.36, 0.0, 0.24, 0.75]), atol=1e-5, rtol=0
    )


def test_the_features_of_a_colour_have_rising_thresholds(wide):
    # red 0.25 of full is 1.5; thresholds are 6 (i / 20)^2: of i = 8, 9, 10 they are 0.96, 1.215, 1.5
    red = colours(wide, 0.5, 0.25, 0.25)[0]
    torch.testing.assert_close(red[8:12], 8 * torch.tensor([0.54, 0.285, 0.0, 0.0]), atol=1e-5, rtol=0)
    assert (red[:7] == 6.0).all()


@torch.inference_mode()
def test_a_colour_is_known_where_it_stands(wide):
    pixels = torch.full((1, 3, 64, 64), -1.0)
    pixels[:, 2, :32, 32:] = 1.0  # the upper right field is blue
    blue = wide(pixels).last_hidden_state[0, HEAD + 2 * STEPS]
    torch.testing.assert_close(blue, torch.tensor([[0.0, 6.0], [0.0, 0.0]]))
