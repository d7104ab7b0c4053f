import numpy as np
import pytest
from PIL import Image
from tiny import tiny_backbone


@pytest.fixture(scope="module", params=["fastvlm", "qwen2_5_vl"])
def backbone(request, tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("tiny"), request.param, batch_size=3)


@pytest.fixture(scope="session")
def pictures():
    """Three pictures of different content and shape."""
    striped = np.zeros((90, 50, 3), np.uint8)
    striped[:, ::10] = striped[:, 1::10] = striped[:, 2::10] = (240, 240, 0)
    return [Image.new("RGB", (40, 40), "red"), Image.new("RGB", (90, 60), "blue"), Image.fromarray(striped)]


@pytest.fixture(params=["fastvlm", "qwen2_5_vl"])
def kind(request):
    """The architecture of a backbone that the test makes for itself."""
    return request.param
