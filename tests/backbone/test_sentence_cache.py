import numpy as np
import pytest

from mmsra_pipeline.backbone.sentence_cache import SentenceCache
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.storage.keyed_cache import KeyedCache


class Counting:
    """Gives the length of a text as its vector, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts):
        self.asked += texts
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def never():
    raise AssertionError("the model was loaded")


def test_a_text_is_embedded_once_also_after_a_restart(tmp_path):
    model = Counting()
    cache = SentenceCache(tmp_path / "sentences.sqlite", lambda: model)
    assert cache.encode(["mug", "teapot", "mug"]).tolist() == [[3, 1], [6, 1], [3, 1]]
    assert cache.encode(["ball", "mug"]).tolist() == [[4, 1], [3, 1]]
    assert model.asked == ["mug", "teapot", "ball"]
    assert SentenceCache(tmp_path / "sentences.sqlite", never).encode(["ball", "teapot"]).tolist() == [[4, 1], [6, 1]]


def test_vectors_come_back_to_the_bit_also_from_a_cache_that_keeps_nothing(tmp_path, monkeypatch):
    class Thirds:
        def encode(self, texts):
            return np.array([[1 / 3, len(text) / 7, -0.0] for text in texts], dtype=np.float32)

    path, wanted = tmp_path / "sentences.sqlite", Thirds().encode(["mug", "teapot"])
    assert SentenceCache(path, Thirds).encode(["mug", "teapot"]).tobytes() == wanted.tobytes()
    kept = SentenceCache(path, never).encode(["mug", "teapot"])
    assert kept.tobytes() == wanted.tobytes()
    assert kept.dtype == np.float32
    monkeypatch.setattr(KeyedCache, "put", lambda cache, entries: None)  # as on a full disk
    assert SentenceCache(tmp_path / "b.sqlite", Thirds).encode(["mug", "teapot"]).tobytes() == wanted.tobytes()


@pytest.mark.weights
def test_the_cache_gives_what_the_model_gives(tmp_path):
    texts = ["red, mug", "", "tea, pot"]
    expected = SentenceEncoder().encode(texts)
    for _ in range(2):
        np.testing.assert_allclose(SentenceCache(tmp_path / "sentences.sqlite").encode(texts), expected, atol=1e-6)
