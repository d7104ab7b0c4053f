import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from mmsra_pipeline.backbone.lora import attach, save_adapter
from mmsra_pipeline.config import GrpoConfig, LoraSettings, RewardWeights, SummarizationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.summarization import rewards
from mmsra_pipeline.summarization.grpo import tune_summarizer
from mmsra_pipeline.summarization.keywords import Summary
from mmsra_pipeline.summarization.scorer import SummaryScorer
from mmsra_pipeline.tracking import NullTracker

SUMMARIES = SummarizationConfig(max_new_tokens=24)
LORA = LoraSettings(rank=4, alpha=8)
GRPO = GrpoConfig(
    steps=1, group_size=4, items_per_step=2, learning_rate=0.1, lora=LORA
)  # a tiny model's gradients are small


def tune(backbone, items, pictures, sentences, workdir, grpo=GRPO):
    return tune_summarizer(backbone, items, pictures, sentences, grpo, SUMMARIES, 0, workdir, NullTracker())


@pytest.mark.slow
def test_one_step_moves_the_adapter_and_nothing_else_and_logs_each_term(backbone, items, pictures, sentences, tmp_path):
    before = {name: value.detach().clone() for name, value in backbone.model.named_parameters()}
    buffers = {name: value.clone() for name, value in backbone.model.named_buffers() if "running" in name}
    grpo = GRPO.model_copy(update={"weights": RewardWeights(grounding=1.0)})
    result = tune(backbone, items, pictures, sentences, tmp_path, grpo)
    assert {"reward", "information", "reconstruction", "length", "grounding", "kl", "loss"} <= set(result.curve)
    assert result.curve["step"].tolist() == [1]
    assert np.isfinite(result.curve["information"]).all()
    after = dict(result.model.named_parameters())
    save_adapter(result.model, tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    ups = [value for name, value in after.items() if "lora_B" in name]  # these begin at zero
    assert ups
    assert all(value.abs().max() > 0 for value in ups)
    frozen = {name.replace("base_model.model.", "").replace(".base_layer", ""): value for name, value in after.items()}
    assert all(torch.equal(frozen[name], value) for name, value in before.items())
    drift = dict(backbone.model.named_buffers())
    assert all(torch.equal(drift[name], value) for name, value in buffers.items())


@pytest.mark.slow
@pytest.mark.parametrize("done", [5, 7])
def test_a_stopped_tuning_goes_on_as_if_it_had_not_been_stopped(speaking, items, pictures, sentences, tmp_path, done):
    from tiny import tiny_config

    from mmsra_pipeline.artifacts import Artifacts
    from mmsra_pipeline.backbone.model import load_backbone

    # three steps an epoch, so that the last one does not end an epoch
    grpo = GRPO.model_copy(update={"steps": 7, "items_per_step": 1, "learning_rate": 1e-3})

    def fresh():
        return load_backbone(tiny_config(speaking / "fastvlm"), Artifacts(tmp_path))

    whole = tune(fresh(), items, pictures, sentences, tmp_path / "whole", grpo)
    shutil.copytree(tmp_path / "whole" / f"checkpoint-{done}", tmp_path / "cut" / f"checkpoint-{done}")
    (tmp_path / "cut" / "checkpoint-8").mkdir()  # torn: without the trainer's state
    resumed = tune(fresh(), items, pictures, sentences, tmp_path / "cut", grpo)
    assert whole.curve["step"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    pd.testing.assert_frame_equal(resumed.curve, whole.curve)
    before, after = dict(whole.model.named_parameters()), dict(resumed.model.named_parameters())
    assert [name for name, value in before.items() if not torch.equal(after[name], value)] == []


def test_likelihoods_are_those_of_the_model_without_the_adapter(backbone, items, pictures, sentences, monkeypatch):
    monkeypatch.setattr(rewards, "WORST_PERPLEXITY", 1e9)  # a random model is far above the bound
    model = attach(backbone, LORA)
    shown = [(text, pictures.get(item)) for item, text in zip(items["item_id"], items["text"])]
    scorer = SummaryScorer(backbone, model, sentences, SUMMARIES, shown)
    summaries = [Summary(("red",), ("ceramic",), True), Summary((), (), False)]
    before = scorer.reconstruction(summaries, [0, 0])
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.normal_()
    np.testing.assert_array_equal(scorer.reconstruction(summaries, [0, 0]), before)
    assert -1e9 < before[0] < 0
    assert before[1] == -1e9


def test_grounding_is_nothing_where_there_is_no_picture(backbone, items, pictures, sentences):
    model = attach(backbone, LORA)
    shown = [(text, pictures.get(item)) for item, text in zip(items["item_id"], items["text"])]
    scorer = SummaryScorer(backbone, model, sentences, SUMMARIES, shown)
    summary = Summary(("red", "mug"), ("ceramic",), True)
    with_picture, without = scorer.grounding([summary, summary], [0, 3])
    assert with_picture != 0.0
    assert without == 0.0


def test_without_any_text_there_is_nothing_to_tune_on(backbone, items, pictures, sentences, tmp_path):
    with pytest.raises(DataError, match=r"no item has a text.*grpo.steps: 0"):
        tune(backbone, items.assign(text=""), pictures, sentences, tmp_path)
