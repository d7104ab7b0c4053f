"""Tunes the summarizer by GRPO (sec. 3.3), and says whether that helped."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from peft import PeftModel
from transformers import PrinterCallback, TrainingArguments

from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.backbone.training import KEPT_CHECKPOINTS, Report, last_checkpoint
from mmsra_pipeline.columns import ITEM, TEXT, TITLE
from mmsra_pipeline.config.tree import GrpoConfig, RewardWeights, SummarizationConfig
from mmsra_pipeline.errors import ConfigError, DataError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.summarization.inputs import read_images
from mmsra_pipeline.summarization.tuning.grpo_trainer import SummaryTrainer, planned_items
from mmsra_pipeline.summarization.tuning.measures import Measures, alarms, measure_tuning
from mmsra_pipeline.summarization.tuning.rollouts import Item, Writer
from mmsra_pipeline.summarization.tuning.scorer import SummaryScorer
from mmsra_pipeline.telemetry.tracking import Tracker

CHECKPOINT_EVERY = 5  # steps
MOST_HELD_OUT = 5  # one item in so many is held out, at most
TERMS = tuple(RewardWeights.model_fields)
LOGGED = ("reward", *TERMS, "loss", "kl", "entropy", "tokens", "keywords", "at_limit", "no_spread", "advantage_spread")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GrpoResult:
    """A tuned summarizer."""

    model: PeftModel
    curve: pd.DataFrame
    """One row a step: ``step`` and ``LOGGED``: the weighted ``reward`` and the mean of each term (NaN for those without
    a weight), ``loss``, ``kl``, ``entropy`` (nats a free token), ``tokens`` and ``keywords`` a completion, and the
    shares of completions ``at_limit`` and of groups with ``no_spread`` of reward."""
    measures: Measures
    """What tuning did to held-out items."""
    alarms: list[str]
    """What looks wrong, in words; empty if nothing does."""


def tune_summarizer(
    backbone: Backbone,
    items: pd.DataFrame,
    images: ItemImages,
    sentences: SentenceEncoder,
    grpo: GrpoConfig,
    config: SummarizationConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
) -> GrpoResult:
    """Tune an adapter that writes keywords of a higher reward. A stopped tuning goes on from its last checkpoint
    and ends with the weights that it would have had without the stop.

    Args:
        backbone: the aligned model; is given the adapter.
        items: rows of ``item_text``. Those without text are left out, for their rewards would say nothing. Those with a
            picture and those without may be mixed.
        images: their pictures.
        sentences: phi of eq. 1.
        grpo: steps, group, weights of the terms.
        config: the form of keywords.
        seed: of the sampling.
        workdir: for checkpoints; must belong to these items and settings alone.
        tracker: gets reward, terms, loss and KL of each step.

    Raises:
        ConfigError: if the summarizer reads no text.
        DataError: if no item has a text.
    """
    if "text" not in config.reads:
        raise ConfigError(
            "the rewards of tuning compare keywords with the text that they were written from, and "
            "`summarization.reads` shows none. Set `grpo.steps: 0`, or put `text` into `summarization.reads`."
        )
    images = read_images(images, items[ITEM], config)
    spoken = items[items[TEXT].fillna("").str.strip().str.len() > 0]
    if spoken.empty:
        raise DataError("no item has a text, so there is nothing to tune the summarizer on. Set `grpo.steps: 0`.")
    held, tuned = split_held_out(spoken, grpo.held_out)
    model = lora.attach(backbone, grpo.lora, seed=seed)
    writer = Writer(backbone, config)
    scorer = SummaryScorer(backbone, model, sentences, config, grpo, writer)
    with backbone.rounded(autocast=backbone.autocasts(backbone.config.autocast)):
        curve = _tune(backbone, model, writer, scorer, PicturedItems(tuned, images), grpo, seed, workdir, tracker)
        model.eval()
        kept = PicturedItems(held, images)
        measures = measure_tuning(
            backbone, model, writer, scorer, [kept[row] for row in range(len(kept))], grpo.weights, seed=seed
        )
    return GrpoResult(model, curve, measures, alarms(curve, measures))


def split_held_out(items: pd.DataFrame, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide rows into ``count`` held-out ones, a fifth at most, and the others.

    Which ones depends on a hash of each item's id, so that a new item takes the place of one other at most.
    """
    order = items[ITEM].map(lambda item: fingerprint("held out", item)).sort_values(kind="stable").index
    held = order[: min(count, len(items) // MOST_HELD_OUT)]
    return items.loc[held].sort_index(), items.drop(index=held)


class PicturedItems(Sequence[Item]):
    """Items as the summarizer is shown them; a picture is read when it is asked for."""

    def __init__(self, rows: pd.DataFrame, images: ItemImages) -> None:
        titles = rows[TITLE].fillna("") if TITLE in rows else [""] * len(rows)
        self._rows = list(zip(rows[ITEM].astype(str), rows[TEXT].astype(str), titles))
        self._images = images

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Item:  # type: ignore[override]  # no slices
        name, text, title = self._rows[row]
        return Item(name, text, str(title), self._images.get(name))


def _tune(
    backbone: Backbone,
    model: PeftModel,
    writer: Writer,
    scorer: SummaryScorer,
    items: PicturedItems,
    grpo: GrpoConfig,
    seed: int,
    workdir: Path,
    tracker: Tracker,
) -> pd.DataFrame:
    trainer = SummaryTrainer(
        backbone,
        writer,
        scorer,
        grpo,
        planned_items(len(items), steps=grpo.steps, per_step=grpo.items_per_step, seed=seed),
        model=model,
        args=_arguments(backbone, grpo, seed, workdir),
        train_dataset=items,
        data_collator=_together,
        callbacks=[Report("summarizer", tracker, {name: name for name in LOGGED})],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(workdir)
    if checkpoint:
        logger.info("summarizer: goes on from %s", checkpoint.name)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    points = [entry for entry in trainer.state.log_history if "reward" in entry]
    curve = pd.DataFrame([{name: entry.get(name) for name in LOGGED} for entry in points], columns=list(LOGGED))
    curve.insert(0, "step", [int(entry["step"]) for entry in points])
    return curve.astype(dict.fromkeys(LOGGED, "float64"))


def _together(items: list[Item]) -> dict[str, list[Item]]:
    return {"items": items}


def _arguments(backbone: Backbone, grpo: GrpoConfig, seed: int, workdir: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(workdir),
        use_cpu=backbone.device.type == "cpu",
        per_device_train_batch_size=grpo.items_per_step,
        max_steps=grpo.steps,
        learning_rate=grpo.learning_rate,
        lr_scheduler_type="linear",
        weight_decay=0.0,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="steps",
        save_steps=CHECKPOINT_EVERY,
        save_total_limit=KEPT_CHECKPOINTS,
        seed=seed,
        report_to=[],
        remove_unused_columns=False,
        disable_tqdm=True,
    )
