import pytest

from mmsra_pipeline.backbone.model import open_backbone
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization.quality import stability as module
from mmsra_pipeline.summarization.quality.stability import stability

CONFIG = SummarizationConfig(max_new_tokens=48)
ITEMS = [("a", "ceramic gift"), ("b", "wool, soft"), ("d", "leather gift")]


def test_two_samples_have_some_keywords_in_common_and_cold_ones_all(backbone, pictures, tmp_path, monkeypatch):
    warm = stability(backbone, ITEMS * 4, pictures, CONFIG, KeyedCache(tmp_path / "c.sqlite"), seed=0)
    assert len(warm) == 12
    assert all(0 <= share <= 1 for share in warm)
    assert min(warm) < 1
    monkeypatch.setattr(module, "TEMPERATURE", 1e-4)  # the likeliest word each time
    assert stability(backbone, ITEMS, pictures, CONFIG, KeyedCache(tmp_path / "c.sqlite"), seed=0) == [1, 1, 1]


def test_what_was_sampled_once_needs_no_weights(backbone, pictures, tmp_path, artifacts):
    first = stability(backbone, ITEMS, pictures, CONFIG, KeyedCache(tmp_path / "c.sqlite"), seed=0)
    unread = open_backbone(backbone.config, artifacts)
    assert stability(unread, ITEMS, pictures, CONFIG, KeyedCache(tmp_path / "c.sqlite"), seed=0) == pytest.approx(first)
    assert "model" not in vars(unread)
    stability(unread, ITEMS, pictures, CONFIG, KeyedCache(tmp_path / "c.sqlite"), seed=1)
    assert "model" in vars(unread)
