import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone, tiny_config

from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.summarization.summary_prompts import summary_prompt

ANSWERS = (
    "Image: red, mug\nText: ceramic",
    "Image: blue\nText: wool, soft",
    "Image: none\nText: gift",
    "Image: plain\nText: toy, kitchen, gift",
)


class LetterSentences:
    """Embeds a text by its letters: real vectors, without the packaged model."""

    dim = 26

    def encode(self, texts):
        counts = np.array([[text.lower().count(chr(97 + place)) for place in range(26)] for text in texts], np.float32)
        norms = np.linalg.norm(counts.reshape(len(texts), 26), axis=1, keepdims=True)
        return counts / np.where(norms > 0, norms, 1)


class Pictures:
    """Item pictures held in memory; item 'd' has none."""

    def __init__(self):
        self._pictures = {name: Image.new("RGB", (32, 32), name) for name in ("red", "blue", "green")}
        self._of = {"a": "red", "b": "blue", "c": "green"}

    def get(self, item):
        return self._pictures.get(self._of.get(item))

    def without(self, items):
        left = Pictures()
        left._of = {item: name for item, name in self._of.items() if item not in set(items)}
        return left

    def image_hash(self, item):
        return self._of.get(item)


@pytest.fixture
def items():
    texts = ["ceramic gift", "wool, soft", "toy kitchen", "leather gift"]
    return pd.DataFrame({"item_id": ["a", "b", "c", "d"], "text": texts})


@pytest.fixture
def pictures():
    return Pictures()


@pytest.fixture
def sentences():
    return LetterSentences()


@pytest.fixture(scope="session")
def speaking(tmp_path_factory):
    """A tiny checkpoint that was taught a few summaries, so that sampled completions differ and have their form."""
    folder = tmp_path_factory.mktemp("speaking")
    backbone = tiny_backbone(folder)
    images = Pictures()
    prompts = [summary_prompt("ceramic gift", images.get(item)) for item in "abcd" for _ in ANSWERS]
    batch = backbone.encode(prompts, ANSWERS * 4, side="right")
    backbone.model.requires_grad_(True)
    optimizer = torch.optim.AdamW(backbone.model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = backbone.model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    backbone.model.save_pretrained(folder / "fastvlm")
    return folder


@pytest.fixture
def backbone(speaking, tmp_path):
    return load_backbone(tiny_config(speaking / "fastvlm", batch_size=3), Artifacts(tmp_path))
