import math

import pytest
import torch
from PIL import Image
from tiny import tiny_backbone

from mmsra_pipeline.backbone.embedded.projector_start import naming_loss, picture_tokens, start_projector
from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import AlignmentConfig, LoraSettings

SETTINGS = AlignmentConfig(projector_steps=30, projector_batch_size=8, projector_learning_rate=3e-3)


def test_one_token_that_tells_the_value_is_enough():
    words = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    tokens = torch.tensor([[[0.1, 0.0], [0.0, 0.0]]])  # the second token says nothing of either word
    # scores: log(e^1 + e^0) and log(e^0 + e^0)
    expected = math.log(1 + 2 / (math.e + 1))
    assert naming_loss(tokens, words, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_a_pictures_tokens_are_what_stands_at_its_places(tmp_path, kind):
    backbone = tiny_backbone(tmp_path, kind)
    batch = backbone.encode([Prompt((Image.new("RGB", (56, 56), colour), "?")) for colour in ("red", "blue")])
    seen = {}

    def keep(_module, _inputs, given):
        seen["embeddings"] = given["inputs_embeds"]

    backbone.model.base_model.language_model.register_forward_pre_hook(
        lambda module, inputs, given: keep(module, inputs, given), with_kwargs=True
    )
    with torch.inference_mode():
        backbone.model(**batch)
        tokens = picture_tokens(backbone, batch)
    places = batch["input_ids"] == backbone.encoder.image_token_ids[0]
    torch.testing.assert_close(seen["embeddings"][places], tokens.flatten(0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_the_projector_learns_and_nothing_else_moves(tmp_path, kind):
    backbone = tiny_backbone(tmp_path, kind)
    model = attach(backbone, LoraSettings(rank=2, alpha=4), train_projector=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    projector = [v for n, v in model.named_parameters() if v.requires_grad and "lora_" not in n]
    losses = start_projector(backbone, projector, SETTINGS, seed=0)
    assert sum(losses[-5:]) < sum(losses[:5])
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(".modules_to_save." in name for name in moved)
