"""LoRA tuning of the recommender on the examples of all tasks (sec. 3.5): next-token loss on the answers."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PrinterCallback, TrainerCallback

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.training import STATE, Report, last_checkpoint
from mmsra_pipeline.columns import SPLIT, TRAIN, VALIDATION
from mmsra_pipeline.config.tree import RecommendationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.answer_trainer import (
    VALIDATION_LOSS,
    AnswerTrainer,
    Losses,
    Validation,
    arguments,
    as_they_are,
    ends,
    validation_losses,
)
from mmsra_pipeline.recommendation.batching import planned_batches
from mmsra_pipeline.telemetry.tracking import Tracker

LOGGED = {"loss": "loss", "learning_rate": "learning_rate", VALIDATION_LOSS: "validation_loss"}
logger = logging.getLogger(__name__)


def train_recommender(
    backbone: Backbone,
    sft_dataset: pd.DataFrame,
    images: ItemImages,
    config: RecommendationConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
    callbacks: Sequence[TrainerCallback] = (),
) -> tuple[PeftModel, pd.DataFrame]:
    """Tune an adapter and give the model with it, and the curve (``step``, ``loss``, ``validation_loss``, ``best``).

    The adapter is that of the step with the lowest loss on the validation rows, where there are any; training ends
    early when it does not fall any more. A training that was stopped goes on from its last checkpoint in ``workdir``,
    with the same batches and in the end the same weights as without a stop.

    Args:
        backbone: is given the adapter; use it no more for what must not have it.
        sft_dataset: the examples.
        images: pictures that prompts name.
        config: objective, batch size, epochs, learning rate, adapter, early stop.
        seed: of the adapter's first weights, the order and dropout.
        workdir: for checkpoints; must belong to these examples and settings alone.
        tracker: gets losses and learning rate of each step.
        callbacks: what else listens; they may end the training.

    Raises:
        DataError: if there are no examples.
    """
    rows = sft_dataset[sft_dataset[SPLIT] == TRAIN].to_dict("records")
    held = sft_dataset[sft_dataset[SPLIT] == VALIDATION].to_dict("records")
    if not rows:
        raise DataError(
            "table 'sft_dataset' has no training example, so there is nothing to train on. Raise "
            "`recommendation.examples`."
        )
    plan = planned_batches(
        [sum(map(len, row["prompts"])) for row in rows],
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=seed,
    )
    model = lora.attach(backbone, config.lora, seed=seed)
    losses = Losses(backbone, images, config)
    trainer = AnswerTrainer(
        losses,
        plan,
        held,
        model=model,
        args=arguments(backbone, config, seed, workdir, steps=len(plan), validated=bool(held)),
        train_dataset=rows,
        eval_dataset=held or None,
        data_collator=as_they_are,
        callbacks=[Report("recommender", tracker, LOGGED), *([Validation(config)] if held else []), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)  # its lines are not for logs
    checkpoint = last_checkpoint(workdir)
    history = json.loads((checkpoint / STATE).read_text())["log_history"] if checkpoint else []
    if ends(validation_losses(history), config.patience):
        logger.info("recommender: had ended at %s", checkpoint.name if checkpoint else "")
    else:
        if checkpoint:
            logger.info("recommender: goes on from %s", checkpoint.name)
        with backbone.rounded(autocast=backbone.autocasts(backbone.config.autocast)):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        history = trainer.state.log_history
    found = validation_losses(history)
    if found:
        best = min(found, key=lambda step: (found[step], step))
        load_adapter_weights(model, workdir / f"checkpoint-{best}")
        logger.info("recommender: step %d of %d is best, validation loss %.3f", best, len(plan), found[best])
    model.eval()
    return model, _curve(history, found)


def load_adapter_weights(model: PeftModel, folder: Path) -> None:
    """Put the weights of a checkpoint of the same training into the model."""
    set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))


def _curve(history: Sequence[Mapping[str, Any]], validated: Mapping[int, float]) -> pd.DataFrame:
    points = [(entry["step"], entry["loss"], validated.get(entry["step"])) for entry in history if "loss" in entry]
    curve = pd.DataFrame(points, columns=["step", "loss", "validation_loss"])
    lowest = min(validated.values(), default=None)
    curve["best"] = False if lowest is None else curve["validation_loss"] == lowest
    return curve.astype({"step": "int64", "loss": "float64", "validation_loss": "float64", "best": "bool"})
