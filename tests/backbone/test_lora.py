import numpy as np
import pytest
import torch
from tiny import tiny_backbone, tiny_checkpoint, tiny_config

from mmsra_pipeline.backbone.lora import attach, save_adapter, vision_towers
from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import LoraSettings
from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.storage.hashing import folder_hash

LORA = LoraSettings(rank=4, alpha=8)


def train(backbone, model, pictures, steps=3):
    """A few large steps in training mode, as a trainer does them."""
    prompts = [Prompt((picture, "Keywords of this product.")) for picture in pictures]
    batch = backbone.encode(prompts, ["red, mug", "blue, ball", "wool"], side="right")
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=1e-2)
    model.train()
    for _ in range(steps):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test_training_does_not_move_batch_normalization(tmp_path, pictures):
    backbone = tiny_backbone(tmp_path)
    model = attach(backbone, LORA, train_projector=True)
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    assert before
    train(backbone, model, pictures)
    after = dict(model.named_buffers())
    assert max(float((after[name] - value).abs().max()) for name, value in before.items()) == 0.0
    assert not any(module.training for tower in vision_towers(model) for module in tower.modules())
    assert model.training


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_training_moves_adapter_and_projector_and_nothing_else(tmp_path, pictures, kind):
    backbone = tiny_backbone(tmp_path, kind)
    model = attach(backbone, LORA, train_projector=True)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    train(backbone, model, pictures)
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    trained = {name for name in before if "lora_" in name or "modules_to_save" in name}
    assert moved == trained
    assert any("modules_to_save" in name for name in moved)


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_a_saved_adapter_gives_the_trained_model_again(tmp_path, artifacts, pictures, kind):
    backbone = tiny_backbone(tmp_path, kind)
    model = attach(backbone, LORA, train_projector=True)
    train(backbone, model, pictures)
    save_adapter(model, tmp_path / "adapter")
    prompts = [Prompt((picture, "Answer Yes or No.")) for picture in pictures]
    again = load_backbone(tiny_config(tmp_path / kind, kind), artifacts, [tmp_path / "adapter"])
    np.testing.assert_allclose(
        again.score_group(prompts).margin.sigmoid().numpy(),
        backbone.score_group(prompts).margin.sigmoid().numpy(),
        atol=1e-4,
    )
    assert not any("lora" in name for name, _ in again.model.named_parameters())
    base = load_backbone(tiny_config(tmp_path / kind, kind), artifacts)
    assert (
        np.abs(
            base.score_group(prompts).margin.sigmoid().numpy() - again.score_group(prompts).margin.sigmoid().numpy()
        ).max()
        > 0.01
    )


def test_adapters_are_merged_one_upon_the_other(tmp_path, artifacts, pictures):
    config = tiny_config(tiny_checkpoint(tmp_path / "tiny"))
    folders = []
    prompts = [Prompt((picture, "Answer Yes or No.")) for picture in pictures]
    for name in ("first", "second"):
        backbone = load_backbone(config, artifacts, folders)
        model = attach(backbone, LORA, train_projector=name == "first")
        train(backbone, model, pictures)
        save_adapter(model, tmp_path / name)
        folders = [*folders, tmp_path / name]
    both = load_backbone(config, artifacts, folders)
    np.testing.assert_allclose(
        both.score_group(prompts).margin.sigmoid().numpy(),
        backbone.score_group(prompts).margin.sigmoid().numpy(),
        atol=1e-4,
    )
    assert len({load_backbone(config, artifacts, folders[:count]).fingerprint for count in (0, 1, 2)}) == 3


def test_the_same_seed_writes_the_same_adapter_wherever_the_base_lies(tmp_path):
    hashes = []
    for seed, place in ((0, "a"), (0, "b"), (1, "c")):
        model = attach(tiny_backbone(tmp_path / place), LORA, seed=seed)
        save_adapter(model, tmp_path / place / "adapter")
        hashes.append(folder_hash(tmp_path / place / "adapter"))
    assert hashes[0] == hashes[1] != hashes[2]


def test_attaching_leaves_the_global_random_state_alone(tmp_path):
    backbone = tiny_backbone(tmp_path)
    state = torch.get_rng_state()
    attach(backbone, LORA)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_folder_without_an_adapter_is_named(tmp_path, artifacts):
    config = tiny_config(tiny_checkpoint(tmp_path / "tiny"))
    with pytest.raises(MissingInputError, match=r"nowhere holds no adapter \(adapter_config.json is missing\)"):
        load_backbone(config, artifacts, [tmp_path / "nowhere"])
