"""LoRA tuning of the recommender on the examples of all tasks (sec. 3.5): next-token loss on the answers.

transformers' Trainer rather than TRL's: the order of batches is planned beforehand, logits are computed on answers
only, and pictures stand where the prompt puts them, all of which SFTTrainer would have to be talked out of.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.resuming import KEPT_CHECKPOINTS, Report, last_checkpoint
from mmsra_pipeline.config import RecommendationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.batching import batch_loss, encode_examples, planned_batches
from mmsra_pipeline.tracking import Tracker

WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
LOGGED = {"loss": "loss", "learning_rate": "learning_rate"}
logger = logging.getLogger(__name__)


def train_recommender(
    backbone: Backbone,
    sft_dataset: pd.DataFrame,
    images: ItemImages,
    config: RecommendationConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
) -> tuple[PeftModel, pd.DataFrame]:
    """Tune an adapter and give the model with it, and the loss curve (columns ``step``, ``loss``; one row a step).

    A training that was stopped goes on from its last checkpoint in ``workdir``, with the same batches and in the end
    the same weights as without a stop.

    Args:
        backbone: is given the adapter; use it no more for what must not have it.
        sft_dataset: the examples.
        images: pictures that prompts name.
        config: batch size, epochs, learning rate, adapter.
        seed: of the adapter's first weights, the order and dropout.
        workdir: for checkpoints; must belong to these examples and settings alone.
        tracker: is told loss and learning rate of each step.

    Raises:
        DataError: if there are no examples.
    """
    if sft_dataset.empty:
        raise DataError(
            "table 'sft_dataset' is empty, so there is nothing to train on. Raise `recommendation.examples`."
        )
    rows = sft_dataset[["task", "prompt", "answer"]].to_dict("records")
    plan = planned_batches(
        [len(row["prompt"]) for row in rows], batch_size=config.batch_size, epochs=config.epochs, seed=seed
    )
    model = lora.attach(backbone, config.lora, seed=seed)
    trainer = _AnswerTrainer(
        backbone,
        plan,
        model=model,
        args=_arguments(backbone, config, seed, workdir, steps=len(plan)),
        train_dataset=rows,
        data_collator=_Collator(backbone, images, config.micro_batch),
        callbacks=[Report("recommender", tracker, LOGGED)],
    )
    trainer.remove_callback(PrinterCallback)  # its lines are not for logs
    checkpoint = last_checkpoint(workdir)
    if checkpoint:
        logger.info("recommender: goes on from %s", checkpoint.name)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    model.eval()
    return model, _curve(trainer.state.log_history)


class _Collator:
    """Gives a batch as parts that fit into memory."""

    def __init__(self, backbone: Backbone, images: ItemImages, size: int) -> None:
        self._backbone = backbone
        self._images = images
        self._size = size

    def __call__(self, rows: list[Mapping[str, Any]]) -> dict[str, list[dict[str, Tensor]]]:
        starts = range(0, len(rows), self._size)
        parts = [encode_examples(self._backbone, rows[at : at + self._size], self._images) for at in starts]
        return {"parts": parts}


class _AnswerTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed here
    """A Trainer with planned batches whose loss is that of the answers."""

    def __init__(self, backbone: Backbone, plan: list[list[int]], **settings: Any) -> None:
        super().__init__(**settings)
        self._backbone = backbone
        self._plan = plan

    def get_train_dataloader(self) -> DataLoader:
        """Give the planned batches in their order."""
        loader = DataLoader(self.train_dataset, batch_sampler=self._plan, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)  # type: ignore[no-any-return]  # accelerate is not typed here

    def training_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        """Add up the gradients of a batch part by part, each by its number of examples."""
        model.train()
        parts = inputs["parts"]
        examples = sum(len(part["labels"]) for part in parts)
        total = torch.zeros((), device=self._backbone.device)
        for part in parts:
            with self._backbone.autocast():
                loss = batch_loss(self._backbone, part) * (len(part["labels"]) / examples)
            self.accelerator.backward(loss)
            total += loss.detach()
        return total


def _arguments(
    backbone: Backbone, config: RecommendationConfig, seed: int, workdir: Path, *, steps: int
) -> TrainingArguments:
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
        save_steps=config.checkpoint_every,
        save_total_limit=KEPT_CHECKPOINTS,
        seed=seed,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
    )


def _curve(history: list[dict[str, Any]]) -> pd.DataFrame:
    points = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    return pd.DataFrame(points, columns=["step", "loss"]).astype({"step": "int64", "loss": "float64"})
