"""A Trainer of transformers whose loss is that of the answers, with looks at validation rows and an early end.

transformers' Trainer rather than TRL's: the order of batches is planned beforehand, logits are computed on answers
only, and pictures stand where the prompt puts them, all of which SFTTrainer would have to be talked out of.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from mmsra_pipeline.backbone import sharing
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.training import KEPT_CHECKPOINTS
from mmsra_pipeline.config.tree import RecommendationConfig
from mmsra_pipeline.interactions.query_sampling import YES_NO
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.batching import batch_loss, encode_examples, group_loss

WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
VALIDATION_LOSS = "eval_loss"  # as transformers wants it called


def ends(losses: Mapping[int, float], patience: int) -> bool:
    """Whether the last ``patience`` losses, by step, are all no lower than the lowest before them.

    >>> ends({10: 2.0, 20: 1.5, 30: 1.6, 40: 1.5}, 2), ends({10: 2.0, 20: 1.5, 30: 1.6}, 2)
    (True, False)
    """
    values = list(losses.values())
    return len(values) > patience and min(values[-patience:]) >= min(values[:-patience])


def as_they_are(rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Collate rows without a change: they become tensors part by part."""
    return {"rows": rows}


def cut(rows: Sequence[Mapping[str, Any]], size: int) -> list[Sequence[Mapping[str, Any]]]:
    """Cut rows into parts that are computed at once."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


class Losses:
    """Losses of rows of ``sft_dataset``, part by part, so that memory holds a few queries or prompts."""

    def __init__(self, backbone: Backbone, images: ItemImages, config: RecommendationConfig) -> None:
        self.backbone = backbone
        self._images = images
        self._size = config.micro_batch
        self._together = config.queries_together
        pointwise = config.objective == "pointwise"
        self._weights = (0.0, 1.0) if pointwise else (1.0, config.yes_no_weight)

    def parts(self, rows: Sequence[Mapping[str, Any]], of: slice = slice(None)) -> Iterator[tuple[int, Tensor]]:
        """Return losses with the number of rows of which each is the mean; ``of``: which of the parts."""
        others = [row for row in rows if row["task"] != YES_NO]
        queries = [row for row in rows if row["task"] == YES_NO]
        for some in [*cut(others, self._size), *cut(queries, self._together)][of]:
            if some[0]["task"] == YES_NO:
                yield len(some), self.of_queries(some, *self._weights)
                continue
            with self.backbone.autocast():
                loss = batch_loss(self.backbone, encode_examples(self.backbone, some, self._images))
            yield len(some), loss

    def of_queries(self, rows: Sequence[Mapping[str, Any]], listwise: float, yes_no: float) -> Tensor:
        """Return the mean loss of queries; see ``group_loss``."""
        asked = [
            [task_prompts.render(task_prompts.from_json(parts), self._images) for parts in row["prompts"]]
            for row in rows
        ]
        with self.backbone.autocast():
            return group_loss(self.backbone, asked, [row["answers"] for row in rows], listwise=listwise, yes_no=yes_no)

    def validation(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Return the mean listwise loss of validation rows, in nats; ``log(candidates)`` is chance."""
        model = self.backbone.model
        training = model.training
        model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.backbone.device)
        with torch.no_grad():
            for several in cut(rows, self._together)[sharing.own_parts()]:
                total += len(several) * self.of_queries(several, 1.0, 0.0)
        model.train(training)
        sharing.add_up([total])
        return float(total) / len(rows)


class AnswerTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed here
    """A Trainer with planned batches whose loss is that of the answers."""

    def __init__(
        self, losses: Losses, plan: list[list[int]], held: Sequence[Mapping[Any, Any]], **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._losses = losses
        self._plan = plan
        self._held = held

    def get_train_dataloader(self) -> DataLoader:
        """Return the planned batches in their order. Of several processes each reads all of them."""
        loader = DataLoader(self.train_dataset, batch_sampler=self._plan, collate_fn=self.data_collator)
        if sharing.ranks() > 1:
            return loader
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]  # accelerate is not typed here

    def training_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """Add up the gradients of a batch part by part, each by its number of rows, over all processes.

        Where there are several, accelerate has wrapped the model for DistributedDataParallel, whose forward is not
        called: the losses go through the backbone's own operations, so gradients are added up here.
        """
        model.train()
        rows = inputs["rows"]
        total = torch.zeros((), device=self._losses.backbone.device)
        for number, part in self._losses.parts(rows, sharing.own_parts()):
            loss = part * (number / len(rows))
            self.accelerator.backward(loss)
            total += loss.detach()
        sharing.add_up_gradients(model.parameters())
        sharing.add_up([total])
        return total

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the validation rows."""
        measured = {VALIDATION_LOSS: self._losses.validation(self._held)}
        self.log(measured)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, measured)
        return measured


class Validation(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Ends a training that gets no better.

    It decides by what the checkpoint's state holds, so that a training that goes on decides alike.
    """

    def __init__(self, config: RecommendationConfig) -> None:
        self._patience = config.patience

    def on_evaluate(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """End a training that gets no better."""
        if ends(validation_losses(state.log_history), self._patience):
            control.should_training_stop = True


def arguments(
    backbone: Backbone, config: RecommendationConfig, seed: int, workdir: Path, *, steps: int, validated: bool
) -> TrainingArguments:
    """Return the arguments of a training of that many steps; ``validated``: there are validation rows to choose by."""
    chosen: dict[str, Any] = (
        {
            "eval_strategy": "steps",
            "eval_steps": config.validate_every,
            "load_best_model_at_end": True,  # so that the best checkpoint is kept
            "metric_for_best_model": VALIDATION_LOSS,
            "greater_is_better": False,
        }
        if validated
        else {}
    )
    return TrainingArguments(
        output_dir=str(workdir),
        use_cpu=backbone.device.type == "cpu",
        per_device_train_batch_size=config.batch_size,
        max_steps=steps,
        learning_rate=config.learning_rate,
        warmup_steps=max(1, round(WARMUP_SHARE * steps)),
        lr_scheduler_type="linear",
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="steps",
        save_steps=config.validate_every,
        save_total_limit=KEPT_CHECKPOINTS + 1,  # the best one beside
        seed=seed,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
        **chosen,
    )


def validation_losses(history: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Return the validation loss by step."""
    return {int(entry["step"]): float(entry[VALIDATION_LOSS]) for entry in history if VALIDATION_LOSS in entry}
