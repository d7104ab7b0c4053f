import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import PeftModel
from recommendation.planted import CANDIDATES, misleading, planted_rows, table_of
from recommendation.shop import examples, images
from safetensors.torch import load_file
from tiny import tiny_backbone, tiny_checkpoint, tiny_config
from transformers import TrainingArguments

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.lora import save_adapter, vision_towers
from mmsra_pipeline.backbone.model import Backbone, load_backbone
from mmsra_pipeline.backbone.training import last_checkpoint
from mmsra_pipeline.columns import SPLIT, TRAIN, VALIDATION
from mmsra_pipeline.config.tree import LoraSettings, RecommendationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.recommendation.answer_trainer import AnswerTrainer, Losses, as_they_are, ends
from mmsra_pipeline.recommendation.batching import batch_loss, encode_examples
from mmsra_pipeline.recommendation.task_prompts import from_json, render
from mmsra_pipeline.recommendation.training import train_recommender
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.telemetry.tracking import NullTracker

CONFIG = RecommendationConfig(
    batch_size=4,
    micro_batch=4,
    learning_rate=1e-2,  # large: a random model's gradients are tiny
    lora=LoraSettings(rank=2, alpha=4, dropout=0.2),
    validate_every=2,
)
STILL = LoraSettings(rank=2, alpha=4)  # without dropout, whose draws would differ


class Recorder(NullTracker):
    """Keeps the names of metrics by step; is interrupted, as a run is that someone cancels, when ``at`` is logged."""

    def __init__(self, at: tuple[int, str] | None = None) -> None:
        self.logged: list[tuple[int, str]] = []
        self._at = at

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.logged += [(step, name) for name in metrics]
        if self._at in self.logged:
            raise KeyboardInterrupt

    @property
    def steps(self) -> list[int]:
        return [step for step, name in self.logged if name == "loss"]


def adapter(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


def same(model: Any, other: dict[str, torch.Tensor]) -> None:
    own = adapter(model)
    assert own.keys() == other.keys()
    for name, value in own.items():
        torch.testing.assert_close(value, other[name], msg=name)


def is_of_checkpoint(model: Any, folder: Path) -> bool:
    stored = load_file(folder / "adapter_model.safetensors")
    return all(torch.equal(value, stored[name.replace(".default", "")]) for name, value in adapter(model).items())


def chosen(curve: pd.DataFrame) -> list[int]:
    return curve.loc[curve["best"], "step"].tolist()


def trained(
    folder: Path,
    table: pd.DataFrame,
    pictures: Any,
    config: RecommendationConfig = CONFIG,
    *,
    work: str = "work",
    tracker: NullTracker | None = None,
    backbone: Backbone | None = None,
) -> tuple[PeftModel, pd.DataFrame]:
    backbone = backbone or tiny_backbone(folder)
    return train_recommender(backbone, table, pictures, config, 0, folder / work, tracker or NullTracker())


def mean_rank(backbone: Backbone, rows: Sequence[Mapping[str, Any]]) -> float:
    """The mean rank of the positives, 1 the best."""
    ranks = []
    for row in rows:
        scores = backbone.score_group([render(from_json(parts), None) for parts in row["prompts"]]).margin
        ranks.append(1 + int((scores[1:] >= scores[0]).sum()))
    return sum(ranks) / len(ranks)


def test_training_gives_a_curve_and_moves_the_adapter_only(tmp_path, artifacts):
    backbone = tiny_backbone(tmp_path)
    frozen = {name: value.detach().clone() for name, value in backbone.model.named_parameters()}
    statistics = [buffer.clone() for tower in vision_towers(backbone.model) for buffer in tower.buffers()]
    model, curve = trained(tmp_path, examples(), images(artifacts), backbone=backbone)
    assert curve.columns.tolist() == ["step", "loss", "validation_loss", "best"]
    assert curve["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert curve["validation_loss"].notna().tolist() == [False, True] * 3
    assert chosen(curve) == [curve["validation_loss"].idxmin() + 1]
    moved = [value.abs().max() > 0 for name, value in adapter(model).items() if "lora_B" in name]  # begins at 0
    assert moved
    assert all(moved)
    for name, value in backbone.model.named_parameters():
        assert "lora_" in name or torch.equal(value, frozen[name.replace(".base_layer", "")])
    now = [buffer for tower in vision_towers(backbone.model) for buffer in tower.buffers()]
    assert all(torch.equal(before, after) for before, after in zip(statistics, now, strict=True))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training without a stop: its folder, the adapter that it gave, and its curve."""
    folder = tmp_path_factory.mktemp("whole")
    model, curve = trained(folder, examples(), images(Artifacts(folder / "artifacts")))
    return folder / "work", adapter(model), curve


@pytest.mark.parametrize(
    "at",
    [
        (4, "validation_loss"),  # between a look and its checkpoint
        *(pytest.param(at, marks=pytest.mark.slow) for at in [(1, "loss"), (3, "loss"), (6, "validation_loss")]),
    ],
    ids=str,
)
def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, artifacts, whole, at):
    pictures, table = images(artifacts), examples()
    _, weights, curve = whole
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, table, pictures, work="cut", tracker=Recorder(at))
    goes_on = Recorder()
    resumed, resumed_curve = trained(tmp_path, table, pictures, work="cut", tracker=goes_on)
    assert goes_on.steps == list(range((at[0] - 1) // 2 * 2 + 1, 7))  # from the last checkpoint
    pd.testing.assert_frame_equal(resumed_curve, curve)
    same(resumed, weights)


def test_a_training_that_had_come_to_its_last_step_is_not_trained_again(tmp_path, artifacts, whole):
    work, weights, curve = whole
    shutil.copytree(work, tmp_path / "work")
    again = Recorder()
    resumed, resumed_curve = trained(tmp_path, examples(), images(artifacts), tracker=again)
    assert again.steps == []
    pd.testing.assert_frame_equal(resumed_curve, curve)
    same(resumed, weights)


def test_a_training_whose_validation_loss_rises_stops_and_gives_the_best_step(tmp_path):
    config = CONFIG.model_copy(update={"validate_every": 1, "patience": 2, "learning_rate": 0.05, "lora": STILL})
    model, curve = trained(tmp_path, misleading(), None, config)
    losses = curve["validation_loss"].tolist()
    best = 1 + losses.index(min(losses))
    assert curve["step"].tolist() == list(range(1, best + 3))
    assert best < 4  # of 6, so that it did end early
    assert chosen(curve) == [best]
    assert is_of_checkpoint(model, tmp_path / "work" / f"checkpoint-{best}")
    assert not is_of_checkpoint(model, tmp_path / "work" / f"checkpoint-{best + 2}")


def test_the_last_step_is_looked_at_too(tmp_path):
    config = CONFIG.model_copy(update={"validate_every": 4})
    model, curve = trained(tmp_path, misleading(), None, config)
    assert curve["validation_loss"].notna().tolist() == [False, False, False, True, False, True]
    (best,) = chosen(curve)
    assert is_of_checkpoint(model, tmp_path / "work" / f"checkpoint-{best}")


LOSSES = [3.0, 2.0, 2.5, 2.0, 2.2, 9.0, 0.1]  # by look; with patience 3 the fifth is the last, and equal is no better


def with_planned_losses(monkeypatch, losses: Sequence[float] = LOSSES) -> None:
    """Look k finds the k-th loss, in a training that goes on too."""
    steps: dict[int, int] = {}
    evaluate = AnswerTrainer.evaluate

    def counted(self, *rest, **settings):
        steps[0] = self.state.global_step
        return evaluate(self, *rest, **settings)

    monkeypatch.setattr(AnswerTrainer, "evaluate", counted)
    monkeypatch.setattr(Losses, "validation", lambda self, rows: losses[steps[0] - 1])


EARLY = CONFIG.model_copy(update={"validate_every": 1, "patience": 3})


def test_an_early_end_comes_after_the_looks_of_its_patience(tmp_path, monkeypatch):
    with_planned_losses(monkeypatch)
    model, curve = trained(tmp_path, misleading(28), None, EARLY)
    assert curve["validation_loss"].tolist() == LOSSES[:5]
    assert curve["best"].tolist() == [False, True, False, True, False]
    assert is_of_checkpoint(model, tmp_path / "work" / "checkpoint-2")  # the first of the equal ones


@pytest.mark.parametrize(
    ("at", "left"),
    [
        pytest.param((2, "validation_loss"), [2, 3, 4, 5], marks=pytest.mark.slow),
        pytest.param((4, "loss"), [4, 5], marks=pytest.mark.slow),
        ((5, "validation_loss"), [5]),
        (None, []),
    ],
    ids=str,
)
def test_an_early_end_is_the_same_after_a_stop_at_any_step(tmp_path, monkeypatch, at, left):
    with_planned_losses(monkeypatch)
    uncut, curve = trained(tmp_path, misleading(28), None, EARLY, work="whole")
    if at:
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, misleading(28), None, EARLY, work="cut", tracker=Recorder(at))
    else:  # the kill comes after the early end
        trained(tmp_path, misleading(28), None, EARLY, work="cut")
    goes_on = Recorder()
    model, resumed_curve = trained(tmp_path, misleading(28), None, EARLY, work="cut", tracker=goes_on)
    assert goes_on.steps == left
    pd.testing.assert_frame_equal(resumed_curve, curve)
    same(model, adapter(uncut))


@pytest.mark.parametrize(
    ("losses", "ended"),
    [([], False), ([1.0], False), ([1.0, 1.1], False), ([1.0, 1.1, 1.0], True), ([1.0, 1.1, 0.9], False),
     ([3.0, 2.0, 1.0], False), ([1.0, 2.0, 1.5, 1.2], True)],
)  # fmt: skip
def test_two_looks_without_a_lower_loss_are_the_end(losses, ended):
    assert ends(dict(enumerate(losses)), 2) is ended


def test_looks_at_validation_rows_do_not_disturb_the_training(tmp_path, artifacts, whole):
    table = examples()
    model, curve = trained(tmp_path, table[table[SPLIT] == TRAIN], images(artifacts))
    assert curve["validation_loss"].isna().all()
    assert not curve["best"].any()
    assert is_of_checkpoint(model, whole[0] / "checkpoint-6")


def trainer_of(backbone: Backbone, rows: list[dict[str, Any]], pictures: Any, config, folder: Path) -> AnswerTrainer:
    model = lora.attach(backbone, config.lora)
    with torch.no_grad():  # of a fresh adapter half of the gradients are 0
        for name, value in model.named_parameters():
            if "lora_B" in name:
                value.copy_(torch.linspace(-0.2, 0.2, value.numel()).reshape(value.shape))
    settings = TrainingArguments(output_dir=str(folder), use_cpu=True, report_to=[], disable_tqdm=True, max_steps=1)
    losses = Losses(backbone, pictures, config)
    return AnswerTrainer(
        losses, [list(range(len(rows)))], [], model=model, args=settings, train_dataset=rows, data_collator=as_they_are
    )


def step_of(trainer: AnswerTrainer, rows: Sequence[Mapping[str, Any]]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one batch."""
    trainer.model.zero_grad()
    loss = float(trainer.training_step(trainer.model, {"rows": rows}))
    return loss, {
        name: value.grad.clone() for name, value in trainer.model.named_parameters() if value.grad is not None
    }


@pytest.mark.parametrize("objective", ["listwise", "pointwise"])
@pytest.mark.parametrize("micro_batch", [1, 4])
def test_a_batch_is_the_mean_of_its_examples(tmp_path, artifacts, objective, micro_batch):
    # 10 examples: lists of several sizes, and of the other tasks one more than fit into a part.
    table = examples(20, objective=objective)
    table = table[table[SPLIT] == TRAIN]
    others = table[table["task"] != "yes_no"].head(5)
    rows = pd.concat([table[table["task"] == "yes_no"].head(5), others]).to_dict("records")
    assert len(others) == 5
    config = CONFIG.model_copy(update={"micro_batch": micro_batch, "objective": objective, "lora": STILL})
    trainer = trainer_of(tiny_backbone(tmp_path), rows, images(artifacts), config, tmp_path / "work")
    loss, gradients = step_of(trainer, rows)
    singles = [step_of(trainer, [row]) for row in rows]
    assert loss == pytest.approx(sum(single for single, _ in singles) / 10, rel=1e-5)
    assert len(gradients) > 10
    for name, value in gradients.items():
        expected = sum(single[name] for _, single in singles) / 10
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-6, msg=name)


def test_the_objective_weighs_the_two_losses_of_a_list(tmp_path):
    backbone, (row,) = tiny_backbone(tmp_path), planted_rows(1)

    def loss(**settings: Any) -> float:
        ((number, found),) = Losses(backbone, None, CONFIG.model_copy(update=settings)).parts([row])
        assert number == 1
        return float(found)

    losses = Losses(backbone, None, CONFIG)
    chosen_one, answers = float(losses.of_queries([row], 1, 0)), float(losses.of_queries([row], 0, 1))
    assert loss(yes_no_weight=0.3) == pytest.approx(chosen_one + 0.3 * answers, rel=1e-5)
    assert loss(yes_no_weight=0.0) == pytest.approx(chosen_one, rel=1e-5)
    assert loss(objective="pointwise", yes_no_weight=0.3) == pytest.approx(answers, rel=1e-5)
    backbone.model.train()
    assert losses.validation([row, row]) == pytest.approx(chosen_one, rel=1e-5)
    assert backbone.model.training


@pytest.mark.slow
def test_parts_of_a_batch_give_the_steps_of_the_whole(tmp_path, artifacts):
    pictures, table = images(artifacts), examples()
    results = []
    for size in (1, 4):
        config = CONFIG.model_copy(update={"lora": STILL, "micro_batch": size})
        model, _ = trained(tmp_path, table, pictures, config, work=str(size))
        results.append(adapter(model))
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-3, atol=1e-4)


def test_the_other_tasks_are_trained_beside_the_lists(tmp_path, artifacts):
    pictures, backbone = images(artifacts), tiny_backbone(tmp_path)
    table = examples(24, tasks={"yes_no": 0.25, "choose": 0.25, "next_keywords": 0.25, "item_keywords": 0.25})
    others = table[table["task"] != "yes_no"]
    assert set(others["task"]) == {"choose", "next_keywords", "item_keywords"}

    def losses() -> dict[str, float]:
        with torch.no_grad():
            return {
                str(task): float(batch_loss(backbone, encode_examples(backbone, rows.to_dict("records"), pictures)))
                for task, rows in others.groupby("task")
            }

    before = losses()
    config = CONFIG.model_copy(update={"epochs": 4, "validate_every": 100})
    trained(tmp_path, table[table[SPLIT] == TRAIN], pictures, config, backbone=backbone)
    for task, loss in losses().items():
        assert loss < before[task] - 0.1, task


@pytest.mark.slow
def test_a_training_on_lists_finds_the_class_that_decides(tmp_path):
    held = planted_rows(40, seed=2)
    backbone = tiny_backbone(tmp_path)
    before = mean_rank(backbone, held)
    config = CONFIG.model_copy(
        update={"learning_rate": 0.03, "lora": LoraSettings(rank=8, alpha=16), "validate_every": 10}
    )
    table = table_of(planted_rows(120) + planted_rows(8, seed=1, split=VALIDATION))
    _, curve = trained(tmp_path, table, None, config, backbone=backbone)
    after = mean_rank(backbone, held)
    assert before > 1.8
    assert after < 1.2
    assert curve["validation_loss"].min() < math.log(CANDIDATES) / 2


@pytest.mark.parametrize("kind", ["fastvlm", "qwen2_5_vl"])
def test_a_backbone_with_fewer_layers_is_trained_saved_and_scores_as_it_did(tmp_path, artifacts, kind):
    config, pictures = tiny_config(tiny_checkpoint(tmp_path / kind, kind), kind), images(artifacts)
    backbone = load_backbone(config, artifacts, layers=1)
    assert len(backbone.model.base_model.language_model.layers) == 1
    table = examples()
    model, _ = trained(tmp_path, table, pictures, backbone=backbone)
    save_adapter(model, tmp_path / "adapter")
    again = load_backbone(config, artifacts, layers=1, tuned=[tmp_path / "adapter"])
    untuned = load_backbone(config, artifacts, layers=1)
    row = table[table[SPLIT] == VALIDATION].iloc[0]
    asked = [render(from_json(parts), pictures) for parts in row["prompts"]]
    margins = backbone.score_group(asked).margin
    np.testing.assert_allclose(again.score_group(asked).margin, margins, atol=1e-4)
    assert np.abs(untuned.score_group(asked).margin - margins).max() > 1e-2
    assert len({backbone.fingerprint, again.fingerprint, load_backbone(config, artifacts).fingerprint}) == 3


def test_a_torn_checkpoint_is_passed_over(tmp_path):
    for step, state in ((2, "{}"), (10, "{}"), (12, '{"epoch"')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-14").mkdir()
    assert last_checkpoint(tmp_path).name == "checkpoint-10"
    assert last_checkpoint(tmp_path / "nothing") is None


def test_no_examples_are_refused(tmp_path, artifacts):
    table = examples()
    with pytest.raises(DataError, match=r"'sft_dataset' has no training example.*Raise `recommendation.examples`"):
        trained(tmp_path, table[table[SPLIT] == VALIDATION], images(artifacts))
