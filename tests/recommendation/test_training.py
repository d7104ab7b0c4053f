from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
import torch
from recommendation.shop import examples, images
from tiny import tiny_backbone

from mmsra_pipeline.backbone.lora import vision_towers
from mmsra_pipeline.backbone.resuming import last_checkpoint
from mmsra_pipeline.config import LoraSettings, RecommendationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation.batching import batch_loss, encode_examples
from mmsra_pipeline.recommendation.training import train_recommender
from mmsra_pipeline.tracking import NullTracker

CONFIG = RecommendationConfig(
    batch_size=6,
    micro_batch=6,
    learning_rate=1e-2,  # large: a random model's gradients are tiny
    lora=LoraSettings(rank=2, alpha=4, dropout=0.2),
    checkpoint_every=2,
)


class StopsAtStep:
    """A tracker that is interrupted, as a run is that someone cancels; at step 0 never."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.seen: list[int] = []

    def log_params(self, params: Mapping[str, Any]) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.seen.append(step)
        if step == self.step:
            raise KeyboardInterrupt


def adapter(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


def test_training_gives_a_curve_and_moves_the_adapter_only(tmp_path, artifacts):
    backbone = tiny_backbone(tmp_path)
    pictures, table = images(artifacts), examples()
    rows = table[["task", "prompt", "answer"]].to_dict("records")
    before = float(batch_loss(backbone, encode_examples(backbone, rows, pictures)))
    frozen = {name: value.detach().clone() for name, value in backbone.model.named_parameters()}
    statistics = [buffer.clone() for tower in vision_towers(backbone.model) for buffer in tower.buffers()]
    model, curve = train_recommender(backbone, table, pictures, CONFIG, 0, tmp_path / "work", NullTracker())
    assert curve["step"].tolist() == [1, 2, 3, 4]
    assert float(batch_loss(backbone, encode_examples(backbone, rows, pictures))) < before
    moved = [value.abs().max() > 0 for name, value in adapter(model).items() if "lora_B" in name]  # begins at 0
    assert moved
    assert all(moved)
    for name, value in backbone.model.named_parameters():
        original = name.replace(".base_layer", "")
        assert "lora_" in name or torch.equal(value, frozen[original])
    now = [buffer for tower in vision_towers(backbone.model) for buffer in tower.buffers()]
    assert all(torch.equal(before, after) for before, after in zip(statistics, now, strict=True))


def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, artifacts):
    pictures, table = images(artifacts), examples()
    whole, curve = train_recommender(
        tiny_backbone(tmp_path), table, pictures, CONFIG, 0, tmp_path / "whole", NullTracker()
    )
    with pytest.raises(KeyboardInterrupt):
        train_recommender(tiny_backbone(tmp_path), table, pictures, CONFIG, 0, tmp_path / "cut", StopsAtStep(3))
    assert last_checkpoint(tmp_path / "cut").name == "checkpoint-2"
    goes_on = StopsAtStep(0)
    resumed, resumed_curve = train_recommender(
        tiny_backbone(tmp_path), table, pictures, CONFIG, 0, tmp_path / "cut", goes_on
    )
    assert goes_on.seen == [3, 4]
    pd.testing.assert_frame_equal(resumed_curve, curve)
    expected = adapter(whole)
    for name, value in adapter(resumed).items():
        torch.testing.assert_close(value, expected[name])


def test_parts_of_a_batch_give_the_step_of_the_whole(tmp_path, artifacts):
    config = CONFIG.model_copy(update={"lora": LoraSettings(rank=2, alpha=4)})  # dropout would draw otherwise
    pictures, table = images(artifacts), examples()
    results = []
    for size in (6, 4):  # parts of 6, and of 4 and 2
        settings = config.model_copy(update={"micro_batch": size})
        model, _ = train_recommender(
            tiny_backbone(tmp_path), table, pictures, settings, 0, tmp_path / str(size), NullTracker()
        )
        results.append(adapter(model))
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_only_answers_are_learned_and_single_tokens_without_their_end(tmp_path, artifacts, kind):
    backbone = tiny_backbone(tmp_path, kind)
    rows = examples().to_dict("records")
    batch = encode_examples(backbone, rows, images(artifacts))
    for row, labels in zip(rows, batch["labels"]):
        said = backbone.tokenizer.decode(labels[labels >= 0])
        end = backbone.tokenizer.eos_token if row["task"] in ("next_keywords", "item_keywords") else ""
        assert said == row["answer"] + end
    assert torch.isfinite(batch_loss(backbone, batch))


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_the_loss_is_the_backbones_own_likelihood(tmp_path, artifacts, kind):
    from mmsra_pipeline.recommendation.prompts import from_json, render

    backbone = tiny_backbone(tmp_path, kind)
    pictures = images(artifacts)
    rows = examples().query("task == 'yes_no'").to_dict("records")[:4]
    with torch.inference_mode():
        loss = batch_loss(backbone, encode_examples(backbone, rows, pictures))
    asked = [render(from_json(row["prompt"]), pictures) for row in rows]
    expected = [-scores.mean() for scores in backbone.log_likelihood(asked, [row["answer"] for row in rows])]
    assert float(loss) == pytest.approx(sum(expected) / len(expected), abs=1e-4)


def test_a_torn_checkpoint_is_passed_over(tmp_path):
    for step, state in ((2, "{}"), (10, "{}"), (12, '{"epoch"')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-14").mkdir()
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    assert last_checkpoint(tmp_path / "nothing") is None


def test_no_examples_are_refused(tmp_path, artifacts):
    with pytest.raises(DataError, match=r"'sft_dataset' is empty.*Raise `recommendation.examples`"):
        train_recommender(
            tiny_backbone(tmp_path), examples().iloc[:0], images(artifacts), CONFIG, 0, tmp_path, NullTracker()
        )
