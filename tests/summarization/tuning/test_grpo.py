import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import tiny_backbone, tiny_config
from trl import GRPOTrainer

from mmsra_pipeline.backbone.lora import save_adapter
from mmsra_pipeline.backbone.model import load_backbone
from mmsra_pipeline.config.tree import GrpoConfig, LoraSettings, SummarizationConfig
from mmsra_pipeline.errors import ConfigError, DataError
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.summarization.tuning.grpo import LOGGED, split_held_out, tune_summarizer
from mmsra_pipeline.summarization.tuning.grpo_trainer import grpo_loss, planned_items
from mmsra_pipeline.summarization.tuning.likelihoods import Said
from mmsra_pipeline.telemetry.tracking import NullTracker

SUMMARIES = SummarizationConfig(max_new_tokens=40)
LORA = LoraSettings(rank=4, alpha=8)
GRPO = GrpoConfig(
    steps=1, group_size=4, items_per_step=2, learning_rate=0.1, lora=LORA
)  # a tiny model's gradients are small


def tune(backbone, items, pictures, sentences, workdir, grpo=GRPO):
    return tune_summarizer(backbone, items, pictures, sentences, grpo, SUMMARIES, 0, workdir, NullTracker())


def test_tuning_without_texts_is_refused_and_says_what_to_set(backbone, items, pictures, sentences, tmp_path):
    unread = SUMMARIES.model_copy(update={"reads": ("picture",)})
    with pytest.raises(ConfigError, match=r"grpo.steps: 0"):
        tune_summarizer(backbone, items, pictures, sentences, GRPO, unread, 0, tmp_path, NullTracker())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_one_step_moves_the_adapter_and_nothing_else_and_logs_each_term(kind, items, pictures, sentences, tmp_path):
    backbone = tiny_backbone(tmp_path / "model", kind)
    before = {name: value.detach().clone() for name, value in backbone.model.named_parameters()}
    buffers = {name: value.clone() for name, value in backbone.model.named_buffers() if "running" in name}
    result = tune(backbone, items, pictures, sentences, tmp_path / "work")
    assert result.curve.columns.tolist() == ["step", *LOGGED]
    assert result.curve["step"].tolist() == [1]
    assert np.isfinite(result.curve.to_numpy()).all()
    save_adapter(result.model, tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    after = dict(result.model.named_parameters())
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
    # three steps an epoch, so that the last one does not end an epoch
    grpo = GRPO.model_copy(update={"steps": 7, "items_per_step": 1, "learning_rate": 1e-3})

    def fresh():
        return load_backbone(tiny_config(speaking / "fastvlm"), Artifacts(tmp_path))

    whole = tune(fresh(), items, pictures, sentences, tmp_path / "whole", grpo)
    shutil.copytree(tmp_path / "whole" / f"checkpoint-{done}", tmp_path / "cut" / f"checkpoint-{done}")
    (tmp_path / "cut" / "checkpoint-8").mkdir()  # torn: without the trainer's state
    resumed = tune(fresh(), items, pictures, sentences, tmp_path / "cut", grpo)
    assert whole.curve["step"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert whole.curve["reward"].nunique() > 1
    pd.testing.assert_frame_equal(resumed.curve, whole.curve)
    before, after = dict(whole.model.named_parameters()), dict(resumed.model.named_parameters())
    assert [name for name, value in before.items() if not torch.equal(after[name], value)] == []


@pytest.mark.slow
def test_tuning_raises_the_reward_that_it_is_asked_for(backbone, items, pictures, sentences, tmp_path):
    only = dict.fromkeys(("reconstruction", "grounding", "repetition", "title_copy", "cut_off", "information"), 0.0)
    weights = GRPO.weights.model_copy(update={**only, "length": 1.0})
    grpo = GRPO.model_copy(
        update={"steps": 20, "learning_rate": 0.02, "weights": weights, "length_gate": None, "kl_beta": 0.0}
    )
    curve = tune(backbone, items, pictures, sentences, tmp_path, grpo).curve
    assert curve["keywords"].tail(3).mean() < curve["keywords"].head(3).mean() - 0.5
    assert curve["information"].notna().all()
    assert curve["grounding"].isna().all()


def test_the_loss_of_a_group_and_its_gradient_are_those_of_trl():
    generator = torch.Generator().manual_seed(0)
    lengths, advantages, beta = [5, 3], torch.tensor([1.2, -0.7]), 0.3
    policy = (-torch.rand(2, 5, generator=generator)).requires_grad_()
    reference = -torch.rand(2, 5, generator=generator)
    mask = torch.tensor([[place < length for place in range(5)] for length in lengths])
    accelerator = SimpleNamespace(reduce=lambda value, reduction: value, gather=lambda value: value)
    stand_in = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (policy, torch.zeros(2, 5), None),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=beta,
        args=SimpleNamespace(use_bias_correction_kl=True, delta=None),
        loss_type="grpo",
        epsilon_low=0.2,
        epsilon_high=0.2,
        use_vllm=False,
        model=SimpleNamespace(training=True),
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        _metrics={"train": __import__("collections").defaultdict(list)},
        accelerator=accelerator,
    )
    inputs = {
        "prompt_ids": torch.zeros(2, 1),
        "prompt_mask": torch.ones(2, 1),
        "completion_ids": torch.zeros(2, 5),
        "completion_mask": mask.long(),
        "advantages": advantages,
        "ref_per_token_logps": reference,
    }
    expected = GRPOTrainer._compute_loss(stand_in, None, inputs)
    expected.backward()
    gradient, policy.grad = policy.grad.clone(), None
    losses = [
        grpo_loss(Said(row, torch.zeros(5), free), known, float(advantage), beta)
        for row, free, known, advantage in zip(policy, mask, reference, advantages)
    ]
    torch.stack(losses).mean().backward()
    torch.testing.assert_close(torch.stack(losses).mean(), expected)
    torch.testing.assert_close(policy.grad, gradient)
    assert float(gradient.abs().max()) > 0


def test_a_completion_that_the_form_leaves_no_choice_moves_nothing():
    policy = torch.zeros(3, requires_grad=True)
    loss = grpo_loss(Said(policy, torch.zeros(3), torch.zeros(3, dtype=torch.bool)), torch.zeros(3), 1.0, 0.1)
    loss.backward()
    assert loss == 0
    assert (policy.grad == 0).all()


def test_every_item_is_met_before_one_comes_again():
    plan = planned_items(5, steps=4, per_step=3, seed=0)
    assert [len(step) for step in plan] == [3, 3, 3, 3]
    flat = [row for step in plan for row in step]
    assert sorted(flat[:5]) == sorted(flat[5:10]) == list(range(5))
    assert plan == planned_items(5, steps=4, per_step=3, seed=0)
    assert plan != planned_items(5, steps=4, per_step=3, seed=1)


def test_held_out_items_are_a_fifth_at_most_and_stay_when_items_are_added():
    rows = pd.DataFrame({"item_id": [f"i{number}" for number in range(40)], "text": "wool"})
    held, tuned = split_held_out(rows, 100)
    assert (len(held), len(tuned)) == (8, 32)
    assert not set(held["item_id"]) & set(tuned["item_id"])
    fewer, _ = split_held_out(rows.iloc[:39], 7)
    assert len(set(fewer["item_id"]) - set(split_held_out(rows, 7)[0]["item_id"])) <= 1


def test_without_any_text_there_is_nothing_to_tune_on(backbone, items, pictures, sentences, tmp_path):
    with pytest.raises(DataError, match=r"no item has a text.*grpo.steps: 0"):
        tune(backbone, items.assign(text=" "), pictures, sentences, tmp_path)
