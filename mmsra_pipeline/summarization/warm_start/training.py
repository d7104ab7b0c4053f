"""The warm start of a backbone whose projector is untrained: pictures get a meaning, keywords their form.

The projector and an adapter of the language model learn to write the summaries of pictures that are known and of the
catalogue's texts. Before this, a picture is noise to the language model, and rewards would tune nothing but words.
"""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from peft import PeftModel
from torch import Tensor

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.embedded.drawing import Look
from mmsra_pipeline.backbone.embedded.projector_start import rate, start_projector
from mmsra_pipeline.backbone.likelihood import logits_of
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.pictures import TrainedPictures
from mmsra_pipeline.config.tree import AlignmentConfig, SummarizationConfig
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.summarization.tuning.likelihoods import completion_states
from mmsra_pipeline.summarization.warm_start.catalogue_examples import AlignmentExamples
from mmsra_pipeline.summarization.warm_start.examples import Example
from mmsra_pipeline.summarization.warm_start.measures import (
    format_rate,
    measure_drawings,
    measure_items,
    measure_labels,
)
from mmsra_pipeline.summarization.warm_start.picture_labels import Classes
from mmsra_pipeline.telemetry.progress import Progress
from mmsra_pipeline.telemetry.tracking import Tracker

CHECKPOINT = "alignment.pt"
MAX_GRADIENT_NORM = 1.0
logger = logging.getLogger(__name__)


class Examples(Protocol):
    """Makes the batch of any step, the same each time."""

    def batch(self, step: int) -> list[list[Example]]:
        """Return the examples of a step in parts that are computed at once."""


@dataclass(frozen=True)
class AlignmentResult:
    """An aligned model, and what it sees."""

    model: PeftModel
    curve: pd.DataFrame
    """One row a step: ``step``, ``loss`` in nats per token of the answers."""
    measured: pd.DataFrame
    """``pictures``, ``attribute``, ``accuracy`` in [0, 1], ``n``."""
    format_rate: float
    """Share of catalogue items whose keywords have the form."""


def align(
    backbone: Backbone,
    item_text: pd.DataFrame,
    images: ItemImages,
    settings: AlignmentConfig,
    config: SummarizationConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
    looks: Mapping[str, Look] | None = None,
    classes: Classes | None = None,
) -> AlignmentResult:
    """Train the projector and an adapter to write summaries, and measure what the model then sees.

    A training that was stopped goes on from its checkpoint in ``workdir``, and ends with the weights that it would have
    had without the stop.

    Args:
        backbone: is given the adapter; use it no more for what must not have it.
        item_text: the catalogue, with tags and categories.
        images: its pictures.
        settings: steps, rates, what is shown.
        config: the form of keywords.
        seed: of the adapter's first weights and of the examples.
        workdir: for the checkpoint; must belong to these inputs and settings alone.
        tracker: gets the loss of each step and what was measured.
        classes: gives the classes that the vision tower is sure of, for pseudo-labels.
        looks: true looks by item id, where a catalogue knows them; adds the rows 'held_out_items' to what is measured.
    """
    side = backbone.config.image_side
    examples = AlignmentExamples(item_text, images, settings, config, side=side, seed=seed, classes=classes)
    model = lora.attach(backbone, settings.lora, train_projector=True, seed=seed)
    curve = train(backbone, model, examples, settings, seed, workdir / CHECKPOINT, tracker)
    model.eval()
    measured = measure_drawings(backbone, config, count=settings.measured_pictures, seed=seed)
    if looks:
        measured = pd.concat([measure_items(backbone, item_text, images, looks, config), measured], ignore_index=True)
    labelled = measure_labels(backbone, item_text, images, examples.held_out(), config, seed=seed)
    if len(labelled):
        measured = pd.concat([labelled, measured], ignore_index=True)
    rate = format_rate(backbone, item_text, images, config, seed=seed)
    names = measured["pictures"] + "/" + measured["attribute"]
    found = dict(zip(names, measured["accuracy"].tolist()))
    tracker.log_metrics({**found, "format_rate": rate}, step=settings.steps)
    logger.info("alignment: format rate %.3f\n%s", rate, measured.to_string(index=False))
    return AlignmentResult(model, curve, measured, rate)


def train(
    backbone: Backbone,
    model: PeftModel,
    examples: Examples,
    settings: AlignmentConfig,
    seed: int,
    checkpoint: Path,
    tracker: Tracker,
) -> pd.DataFrame:
    """Train what asks for a gradient; give ``step`` and ``loss``, in nats per token of the answers."""
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    optimizer = _optimizer(trained, settings)
    losses = _resume(checkpoint, trained, optimizer)
    if not losses and settings.projector_steps:
        start_projector(backbone, optimizer.param_groups[0]["params"], settings, seed)
    progress = Progress("alignment", settings.steps - len(losses), "steps")
    model.train()
    with backbone.rounded(autocast=backbone.autocasts(backbone.config.autocast)):
        for step in range(len(losses), settings.steps):
            torch.manual_seed(seed * 1_000_003 + step)  # of dropout: a training that goes on draws the same
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate(step, settings.steps)
            loss = _step(backbone, examples.batch(step))
            torch.nn.utils.clip_grad_norm_(trained.values(), MAX_GRADIENT_NORM)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss)
            tracker.log_metrics({"loss": loss}, step=step + 1)
            progress.advance(note=f"loss {loss:.3f}")
            if (step + 1) % settings.checkpoint_every == 0:
                _save(checkpoint, trained, optimizer, losses)
    return pd.DataFrame({"step": range(1, len(losses) + 1), "loss": losses}).astype(
        {"step": "int64", "loss": "float64"}
    )


def _step(backbone: Backbone, parts: Sequence[Sequence[Example]]) -> float:
    """Add up the gradients of a batch, part by part; give its loss, the mean over the tokens of all answers."""
    counts = [sum(len(backbone.encoder.answer_ids(example.answer, end=True)) for example in part) for part in parts]
    total = 0.0
    for part in parts:
        with backbone.autocast():
            loss = _summed_loss(backbone, part) / sum(counts)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def _summed_loss(backbone: Backbone, part: Sequence[Example]) -> Tensor:
    """Add up the cross-entropy of answers, in nats. Logits are made only where an answer's token is predicted."""
    answers = [backbone.encoder.answer_ids(example.answer, end=True) for example in part]
    states = completion_states(backbone, [example.prompt for example in part], answers, TrainedPictures(backbone))
    targets = torch.tensor([token for ids in answers for token in ids], device=backbone.device)
    return torch.nn.functional.cross_entropy(logits_of(backbone.model, torch.cat(states)), targets, reduction="sum")


def _optimizer(trained: Mapping[str, Tensor], settings: AlignmentConfig) -> torch.optim.Optimizer:
    adapter = [value for name, value in trained.items() if "lora_" in name]
    projector = [value for name, value in trained.items() if "lora_" not in name]
    groups: list[dict[str, Any]] = [
        {"params": projector, "peak": settings.projector_learning_rate},
        {"params": adapter, "peak": settings.lora_learning_rate},
    ]
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=0.0)


def _save(
    checkpoint: Path, trained: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, losses: Sequence[float]
) -> None:
    content = io.BytesIO()
    torch.save({"trained": dict(trained), "optimizer": optimizer.state_dict(), "losses": list(losses)}, content)
    write_atomically(checkpoint, content.getvalue())


def _resume(checkpoint: Path, trained: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> list[float]:
    """Take up weights and moments of the checkpoint, if there is one; give the losses of the steps it has done."""
    if not checkpoint.is_file():
        return []
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    with torch.no_grad():
        for name, value in trained.items():
            value.copy_(saved["trained"][name])
    optimizer.load_state_dict(saved["optimizer"])
    losses: list[float] = saved["losses"]
    logger.info("alignment: goes on after step %d", len(losses))
    return losses
