import json
import math

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_backbone, tiny_checkpoint, tiny_config

from mmsra_pipeline.backbone.embedded import warm_start
from mmsra_pipeline.backbone.lora import attach
from mmsra_pipeline.backbone.model import load_backbone, open_backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import LoraSettings
from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.storage.hashing import file_hash

MOST_BYTES = 8_000_000
LORA = LoraSettings(rank=2, alpha=4)


def trained(folder, seed=0):
    """A tiny backbone with an adapter and a projector that have moved."""
    backbone = tiny_backbone(folder, "fastvlm")
    model = attach(backbone, LORA, train_projector=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                moved = value + 0.3 * torch.randn(value.shape, generator=generator)
                value.copy_(moved.to(torch.bfloat16))  # what the file can hold
    return backbone, model.eval()


def logits(backbone, model, picture):
    with torch.inference_mode():
        return model(**backbone.encode([Prompt(("Image: ", picture, "\nText: a mug"))])).logits[0, -1]


def test_the_projector_comes_into_the_model_and_the_adapter_lies_beside_it(tmp_path, pictures):
    backbone, model = trained(tmp_path / "trained")
    expected = logits(backbone, model, pictures[0])
    file = tmp_path / "w.safetensors"
    warm_start.write_warm_start(model, file, {"rank": 2, "alpha": 4, "seed": 0})
    checkpoint = tmp_path / "bare" / "fastvlm"
    bare = tiny_backbone(tmp_path / "bare", "fastvlm")
    before, words = logits(bare, bare.model, pictures[0]), {k: v.clone() for k, v in bare.model.state_dict().items()}
    recipe = warm_start.add_warm_start(bare.model, checkpoint, file, file_hash(file))
    assert recipe == {"rank": 2, "alpha": 4, "seed": 0}
    moved = {name for name, value in bare.model.state_dict().items() if not torch.equal(value, words[name])}
    assert moved
    assert all("multi_modal_projector" in name for name in moved)
    assert (logits(bare, bare.model, pictures[0]) - expected).abs().max() > 0.01  # the adapter is not in it
    bare.model.save_pretrained(checkpoint)

    artifacts = Artifacts(tmp_path / "artifacts")
    config = tiny_config(checkpoint)
    warm, cold = load_backbone(config, artifacts), load_backbone(config, artifacts, warm_start=False)
    found = logits(warm, warm.model, pictures[0])
    assert (before - expected).abs().max() > 1.0
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(logits(cold, cold.model, pictures[0]), logits(bare, bare.model, pictures[0]))
    assert warm.fingerprint != cold.fingerprint
    assert not [name for name, _ in warm.model.named_modules() if "lora" in name or "modules_to_save" in name]


def test_a_checkpoint_without_a_warm_start_is_the_same_with_and_without_it(tmp_path):
    config = tiny_config(tiny_checkpoint(tmp_path / "tiny"))
    artifacts = Artifacts(tmp_path / "artifacts")
    assert (
        open_backbone(config, artifacts).fingerprint == open_backbone(config, artifacts, warm_start=False).fingerprint
    )


def test_a_damaged_or_missing_file_is_refused(tmp_path):
    _, model = trained(tmp_path / "trained")
    file = tmp_path / "w.safetensors"
    warm_start.write_warm_start(model, file, {"rank": 2, "alpha": 4})
    bare = tiny_backbone(tmp_path / "bare", "fastvlm").model
    with pytest.raises(DataError, match="expected abc"):
        warm_start.add_warm_start(bare, tmp_path, file, "abc")
    with pytest.raises(MissingInputError, match="make warm-start"):
        warm_start.add_warm_start(bare, tmp_path, tmp_path / "none", "abc")


def test_weights_of_another_model_are_refused(tmp_path):
    _, model = trained(tmp_path / "trained")
    file = tmp_path / "w.safetensors"
    warm_start.write_warm_start(model, file, {"rank": 2, "alpha": 4})
    other = tiny_backbone(tmp_path / "other", "qwen2_5_vl").model
    with pytest.raises(DataError, match="another model"):
        warm_start.add_warm_start(other, tmp_path, file, file_hash(file))
    assert not (tmp_path / warm_start.FOLDER).exists()


def test_the_file_that_is_shipped_is_the_pinned_one_small_and_says_how_it_was_made():
    assert file_hash(warm_start.FILE) == warm_start.SHA256
    assert warm_start.FILE.stat().st_size <= MOST_BYTES
    with safe_open(str(warm_start.FILE), "pt") as stored:
        recipe = json.loads(stored.metadata()["recipe"])
        assert {"steps", "batch", "seed", "command", "rank"} <= set(recipe)
        assert all(math.isfinite(float(stored.get_tensor(name).float().sum())) for name in stored.keys())  # noqa: SIM118
