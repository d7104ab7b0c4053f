import numpy as np
import pytest

from mmsra_pipeline.backbone.sentences import SentenceEncoder

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder()


def test_meaning_is_direction(encoder):
    mug, cup, car = encoder.encode(["a red coffee mug", "a cup for coffee, red", "the engine of a sports car"])
    np.testing.assert_allclose(np.linalg.norm([mug, cup, car], axis=1), 1.0, rtol=1e-5)
    assert mug @ cup > 0.7 > 0.3 > mug @ car


def test_order_and_batch_change_nothing(encoder):
    texts = ["mug", "a long description of a very long woollen scarf for winter", "lamp"]
    np.testing.assert_allclose(encoder.encode(texts, batch_size=1), encoder.encode(texts[::-1])[::-1], atol=1e-5)


def test_an_empty_text_has_no_direction(encoder):
    vectors = encoder.encode(["", "mug", " "])
    assert vectors.dtype == np.float32
    assert not vectors[[0, 2]].any()
    assert encoder.encode([]).shape == (0, 384)
