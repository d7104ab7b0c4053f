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


def some_texts(count):
    drawn = np.random.default_rng(0)
    words = ["mug", "a", "lamp", "woollen", "scarf", "of", "Ylgora", "1997", "winter,", "for", "très", "kitchen"]
    return [" ".join(drawn.choice(words, size=drawn.integers(1, 60))) for _ in range(count)]


def test_a_vector_depends_on_its_text_alone_to_the_last_bit(encoder):
    texts = some_texts(60)
    together = encoder.encode(texts)
    drawn = np.random.default_rng(1)
    for count in (1, 2, 17, 60):
        rows = drawn.permutation(60)[:count]
        assert np.array_equal(encoder.encode([texts[row] for row in rows]), together[rows])


def test_vectors_are_those_of_the_library(encoder):
    texts = [*some_texts(20), "word " * 400]  # cut after 256 tokens
    expected = encoder._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-6)


def test_an_empty_text_has_no_direction(encoder):
    vectors = encoder.encode(["", "mug", " "])
    assert vectors.dtype == np.float32
    assert not vectors[[0, 2]].any()
    assert encoder.encode([]).shape == (0, 384)
