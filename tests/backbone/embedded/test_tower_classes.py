import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from mmsra_pipeline.backbone.embedded.packaged_weights import REFERENCE_MODULE, VISION
from mmsra_pipeline.backbone.embedded.tower_classes import TowerClasses


@pytest.fixture(scope="module")
def classes():
    return TowerClasses()


def lamp():
    """A picture that is something, so that its probabilities are not flat."""
    picture = Image.new("RGB", (300, 224), (200, 200, 200))
    ImageDraw.Draw(picture).polygon([(110, 40), (190, 40), (220, 120), (80, 120)], fill=(240, 130, 20))
    ImageDraw.Draw(picture).rectangle([145, 120, 155, 200], fill=(30, 30, 30))
    return picture


def test_probabilities_are_those_of_the_original_network(classes):
    module = pytest.importorskip(REFERENCE_MODULE)
    assert module.__name__ in sys.modules
    original = module.EfficientNet.from_name("efficientnet-lite0").eval()
    original.load_state_dict(torch.load(VISION.path, map_location="cpu", weights_only=True))
    square = np.asarray(lamp().crop((38, 0, 262, 224)), dtype=np.float32)
    with torch.inference_mode():
        expected = original((torch.from_numpy(square).permute(2, 0, 1)[None] - 127.5) / 127.5).softmax(-1)[0].numpy()
    found = classes.probabilities(lamp())
    assert found.sum() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_only_what_the_tower_is_sure_of_is_named(classes, monkeypatch):
    flat = np.full(1000, 1e-4)
    flat[3] = 0.6
    monkeypatch.setattr(classes, "probabilities", lambda _: flat)
    assert classes(lamp()) == ["tiger shark"]
    flat[3] = 0.4
    assert classes(lamp()) == []
