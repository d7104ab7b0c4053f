"""Tunes the summarizer by GRPO (sec. 3.3). The only module that knows TRL's trainer and its reward protocol."""

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peft import PeftModel
from PIL import Image as Pictures
from transformers import PrinterCallback
from trl import GRPOConfig as Arguments
from trl import GRPOTrainer

from datasets import Dataset, Features, Image, Value
from datasets import Sequence as Many
from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.resuming import KEPT_CHECKPOINTS, Report, last_checkpoint
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.columns import ITEM, TEXT
from mmsra_pipeline.config import GrpoConfig, SummarizationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.summarization.keywords import Summary, parse_summary
from mmsra_pipeline.summarization.prompts import summary_prompt
from mmsra_pipeline.summarization.scorer import SummaryScorer
from mmsra_pipeline.tracking import Tracker

CHECKPOINT_EVERY = 5  # steps
REFERENCE = "ref"  # the adapter before tuning, which TRL keeps inside the model for the KL term
LOGGED = {
    "reward": "reward",
    "reward_std": "reward_std",
    "loss": "loss",
    "kl": "kl",
    "completions/mean_length": "tokens",
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GrpoResult:
    """A tuned summarizer."""

    model: PeftModel
    curve: pd.DataFrame
    """One row a step: ``step``, ``reward``, the mean of each reward term by its name, ``loss``, ``kl``, ``tokens``."""


class RewardTerm:
    """One reward term in the form that ``GRPOTrainer`` calls and logs.

    A class rather than a closure, because TRL logs a term under its ``__name__``.
    """

    def __init__(
        self, name: str, term: Callable[[Sequence[Summary], Sequence[int]], np.ndarray], config: SummarizationConfig
    ) -> None:
        self.__name__ = name
        self._term = term
        self._config = config

    def __call__(self, completions: Sequence[Any], row: Sequence[int], **_columns: Any) -> list[float]:
        """Score one batch; TRL passes prompts, token ids and the other columns by keyword too."""
        said = [completion if isinstance(completion, str) else _text_of(completion) for completion in completions]
        values = self._term([parse_summary(text, self._config) for text in said], row)
        return [float(value) for value in values]


class _PlannedTrainer(GRPOTrainer):  # type: ignore[misc]  # trl is not typed here
    """A GRPOTrainer to which all steps are one epoch.

    TRL forgets the order of items with the process that drew it, and does one step more where it goes on from the
    checkpoint of the last one. Over one planned epoch a tuning that goes on does the steps that were left, no others.
    """

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """Give the rows of all steps, in the order in which TRL goes over them epoch after epoch."""
        epoch = super()._get_train_sampler(dataset)
        if not len(epoch):  # fewer items than one step takes: TRL says so
            return epoch
        rows = itertools.chain.from_iterable(iter(epoch) for _ in itertools.count())
        return list(itertools.islice(rows, self.args.max_steps * self.args.generation_batch_size))


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
        items: rows of ``item_text``. Those without text are left out, for their rewards would say nothing; where some
            items have a picture, those without one are too, for TRL cannot mix both in a batch.
        images: their pictures.
        sentences: phi of eq. 1.
        grpo: steps, group, weights of the terms.
        config: the form of keywords.
        seed: of the sampling.
        workdir: for checkpoints; must belong to these items and settings alone.
        tracker: is told reward, terms, loss and KL of each step.

    Raises:
        DataError: if no item has a text.
    """
    spoken = items[items[TEXT].fillna("").str.len() > 0]
    if spoken.empty:
        raise DataError("no item has a text, so there is nothing to tune the summarizer on. Set `grpo.steps: 0`.")
    shown = [(str(text), images.get(str(item))) for item, text in zip(spoken[ITEM], spoken[TEXT])]
    shown = [(text, image) for text, image in shown if image is not None] or shown
    model = lora.attach(backbone, grpo.lora, seed=seed)
    scorer = SummaryScorer(backbone, model, sentences, config, shown)
    terms = _terms(grpo, scorer)
    logged = LOGGED | {f"rewards/{name}/mean": name for name in terms}
    trainer = _PlannedTrainer(
        model=model,
        processing_class=backbone.processor,
        reward_funcs=[RewardTerm(name, term, config) for name, (term, _) in terms.items()],
        train_dataset=_examples(shown),
        args=_arguments(backbone, grpo, config, [weight for _, weight in terms.values()], seed, workdir),
        callbacks=[Report("summarizer", tracker, logged)],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(workdir)
    if checkpoint:
        logger.info("summarizer: goes on from %s", checkpoint.name)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if REFERENCE in model.peft_config:
        model.delete_adapter(REFERENCE)
    model.eval()
    points = [entry for entry in trainer.state.log_history if "reward" in entry]
    curve = pd.DataFrame([{name: entry.get(key) for key, name in logged.items()} for entry in points])
    curve.insert(0, "step", [int(entry["step"]) for entry in points])
    return GrpoResult(model, curve)


def _terms(grpo: GrpoConfig, scorer: SummaryScorer) -> dict[str, tuple[Callable[..., np.ndarray], float]]:
    weights = grpo.weights
    terms: dict[str, tuple[Callable[..., np.ndarray], float]] = {
        "information": (scorer.information, weights.information),
        "reconstruction": (scorer.reconstruction, weights.reconstruction),
        "length": (scorer.length, weights.length),
    }
    if weights.grounding:  # two more forward passes: only if it counts
        terms["grounding"] = (scorer.grounding, weights.grounding)
    return terms


def _examples(shown: Sequence[tuple[str, Pictures.Image | None]]) -> Dataset:
    """Give one row per item: the prompt as content lists, so that the picture stays where the prompt puts it."""
    part = {"type": Value("string"), "text": Value("string")}
    columns = {"prompt": [{"role": Value("string"), "content": [part]}], "row": Value("int64")}
    pictured = shown[0][1] is not None  # all items have a picture, or none has
    if pictured:
        columns["images"] = Many(Image())
    rows = []
    for number, (text, image) in enumerate(shown):
        prompt = summary_prompt(text, image)
        content = [
            {"type": "text", "text": piece} if isinstance(piece, str) else {"type": "image", "text": None}
            for piece in prompt.parts
        ]
        entry: dict[str, Any] = {"prompt": [{"role": "user", "content": content}], "row": number}
        if pictured:
            entry["images"] = prompt.images
        rows.append(entry)
    return Dataset.from_list(rows, features=Features(columns))


def _arguments(
    backbone: Backbone, grpo: GrpoConfig, config: SummarizationConfig, weights: list[float], seed: int, workdir: Path
) -> Arguments:
    # TRL's own defaults are another algorithm: loss_type="dapo" and no KL term.
    return Arguments(
        output_dir=str(workdir),
        use_cpu=backbone.device.type == "cpu",
        bf16=backbone.autocasts(backbone.config.autocast),
        per_device_train_batch_size=grpo.items_per_step * grpo.group_size,
        num_generations=grpo.group_size,
        max_completion_length=config.max_new_tokens,
        max_steps=grpo.steps,
        learning_rate=grpo.learning_rate,
        temperature=grpo.temperature,
        loss_type="grpo",
        beta=grpo.kl_beta,
        scale_rewards="group",
        multi_objective_aggregation=grpo.aggregation,
        reward_weights=weights,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="steps",
        save_steps=CHECKPOINT_EVERY,
        save_total_limit=KEPT_CHECKPOINTS,
        seed=seed,
        report_to=[],
        disable_tqdm=True,
    )


def _text_of(completion: Any) -> str:
    content = completion[0]["content"]
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)
