import numpy as np
import pandas as pd
import pytest
import torch
from tiny import tiny_backbone

from mmsra_pipeline.backbone.embedded.drawing import ALL_LOOKS, HELD_OUT, draw
from mmsra_pipeline.backbone.lora import attach, save_adapter
from mmsra_pipeline.config.tree import AlignmentConfig, LoraSettings, SummarizationConfig
from mmsra_pipeline.storage.hashing import folder_hash
from mmsra_pipeline.summarization.warm_start.catalogue_examples import AlignmentExamples
from mmsra_pipeline.summarization.warm_start.training import CHECKPOINT, _summed_loss, align
from mmsra_pipeline.telemetry.tracking import NullTracker

CONFIG = SummarizationConfig(max_new_tokens=16)
SETTINGS = AlignmentConfig(
    steps=4,
    pictures_by="tags",
    drawn_share=0.5,
    batch_size=4,
    projector_steps=2,
    projector_batch_size=3,
    projector_learning_rate=1e-2,
    lora_learning_rate=1e-2,  # large: a random model's gradients are tiny
    lora=LoraSettings(rank=2, alpha=4, dropout=0.1),
    checkpoint_every=2,
    measured_pictures=2,
)
ITEMS = pd.DataFrame(
    {
        "item_id": ["a", "b"],
        "category": ["kitchen", "kitchen"],
        "tags": ["red|plain|mug", None],
        "text": ["A ceramic mug", "A wool gift"],
    }
)


class Pictures:
    """The picture of item 'a'; that of 'b' has a look that is held out."""

    def __init__(self):
        unseen = min(HELD_OUT)
        looks = {"a": next(look for look in ALL_LOOKS if look not in HELD_OUT), "b": unseen}
        rng = np.random.default_rng(0)
        self.looks = looks
        self._pictures = {item: draw(look, 32, rng) for item, look in looks.items()}

    def get(self, item):
        return self._pictures.get(item)

    def image_hash(self, item):
        return item if item in self._pictures else None


class Curve(NullTracker):
    """Keeps what it is given; ends the training at a step as a kill would."""

    def __init__(self, stop_at=None):
        self.logged = {}
        self._stop_at = stop_at

    def log_metrics(self, metrics, step):
        if step == self._stop_at:
            raise KeyboardInterrupt
        self.logged.setdefault(step, {}).update(metrics)


def run(folder, workdir, *, kind="fastvlm", tracker=None, settings=SETTINGS, looks=None):
    backbone = tiny_backbone(folder, kind)
    workdir.mkdir(exist_ok=True)
    return align(backbone, ITEMS, Pictures(), settings, CONFIG, 0, workdir, tracker or NullTracker(), looks)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_projector_and_adapter_are_trained_and_nothing_else(tmp_path, kind):
    before = {name: value.clone() for name, value in tiny_backbone(tmp_path, kind).model.state_dict().items()}
    tracker = Curve()
    result = run(tmp_path, tmp_path / "work", kind=kind, tracker=tracker, looks=Pictures().looks)
    for name, value in result.model.named_parameters():
        if "lora_B" in name:
            assert value.abs().max() > 0, f"{name} has not moved"
    after = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in result.model.state_dict().items()
        if "lora_" not in name
    }
    projector = {name for name in after if ".modules_to_save." in name}
    for name in projector:
        assert not torch.equal(after[name], before[name.replace(".modules_to_save.default", "")]), name
    assert projector
    kept = set(before) & set(after)
    assert any("running_mean" in name for name in kept) or kind == "qwen2_5_vl"
    assert [name for name in kept if not torch.equal(before[name], after[name])] == []
    assert result.curve["step"].tolist() == [1, 2, 3, 4]
    assert set(result.measured["pictures"]) == {"held_out_items", "held_out_drawings", "blank"}
    assert result.measured.set_index(["pictures", "attribute"]).loc[("held_out_items", "colour"), "n"] == 1
    assert 0.0 <= result.format_rate <= 1.0
    assert tracker.logged[4]["loss"] == result.curve["loss"].iloc[-1]
    assert "blank/colour" in tracker.logged[4]


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_as_an_unbroken_one(tmp_path):
    whole = run(tmp_path / "whole", tmp_path / "work0")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", tmp_path / "work", tracker=Curve(stop_at=4))  # the checkpoint is that of step 2
    assert (tmp_path / "work" / CHECKPOINT).is_file()
    tracker = Curve()
    resumed = run(tmp_path / "killed", tmp_path / "work", tracker=tracker)
    assert sorted(tracker.logged) == [3, 4]
    pd.testing.assert_frame_equal(resumed.curve, whole.curve, check_exact=True)
    save_adapter(whole.model, tmp_path / "adapter of the whole")
    save_adapter(resumed.model, tmp_path / "adapter of the resumed")
    assert folder_hash(tmp_path / "adapter of the whole") == folder_hash(tmp_path / "adapter of the resumed")


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_the_loss_is_the_models_own_on_the_tokens_of_answers_and_so_are_its_gradients(tmp_path, kind):
    backbone = tiny_backbone(tmp_path, kind)
    model = attach(backbone, SETTINGS.lora.model_copy(update={"dropout": 0.0}), train_projector=True)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.no_grad():
        for name, value in trained.items():
            if "lora_B" in name:
                value.normal_(0, 0.05)  # at zero no gradient would reach the other half
    settings = SETTINGS.model_copy(update={"verify_share": 0.3, "drawn_share": 0.5, "batch_size": 12})
    examples = AlignmentExamples(ITEMS, Pictures(), settings, CONFIG, side=32, seed=0)
    parts = [part for step in range(2) for part in examples.batch(step)]
    assert {len(part[0].prompt.images) for part in parts} == {0, 1}
    for part in parts:
        batch = backbone.encode([e.prompt for e in part], [e.answer for e in part], side="right")
        tokens = int((batch["labels"][:, 1:] != -100).sum())
        losses = []
        for whole in (True, False):
            model.zero_grad()
            value = backbone.model(**batch).loss * tokens if whole else _summed_loss(backbone, part)
            value.backward()
            losses.append((value.item(), {name: p.grad.clone() for name, p in trained.items() if p.grad is not None}))
        (expected, wanted), (found, gradients) = losses
        assert found == pytest.approx(expected, rel=1e-5)
        assert set(gradients) == set(wanted)
        for name, value in wanted.items():
            difference = (gradients[name] - value).norm() / value.norm().clamp(min=1e-6)
            assert difference < 1e-4, name
