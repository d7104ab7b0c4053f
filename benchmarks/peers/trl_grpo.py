"""GRPO through TRL's trainer as in commit 498a0bc: what ``benchmarks/grpo.py`` compares with.

Every completion runs its whole prompt, picture included, in the policy and in the reference, and twice more where the
settings have a weight for grounding. The other rewards are information, perplexity and length.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig as Arguments
from trl import GRPOTrainer

from datasets import Dataset, Features, Image, Value
from datasets import Sequence as Many
from mmsra_pipeline.backbone import lora
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.config.tree import GrpoConfig, SummarizationConfig
from mmsra_pipeline.summarization.keywords import Summary, format_summary, parse_summary
from mmsra_pipeline.summarization.summary_prompts import reconstruction_prompt, summary_prompt
from mmsra_pipeline.summarization.tuning import rewards

PictureTexts = Sequence[tuple[str, Pictures.Image | None]]


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
    """Wall and CPU seconds of each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self._begun = time.perf_counter(), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Stop."""
        wall, cpu = self._begun
        self.steps.append((time.perf_counter() - wall, time.process_time() - cpu))


class RewardTerm:
    """One reward term in the form that ``GRPOTrainer`` calls."""

    def __init__(self, name: str, term: Any, config: SummarizationConfig) -> None:
        self.__name__ = name
        self._term = term
        self._config = config

    def __call__(self, completions: Sequence[Any], row: Sequence[int], **_columns: Any) -> list[float]:
        """Score one batch."""
        said = [one if isinstance(one, str) else one[0]["content"] for one in completions]
        return [float(value) for value in self._term([parse_summary(_text(one), self._config) for one in said], row)]


def tune(
    backbone: Backbone, items: PictureTexts, grpo: GrpoConfig, config: SummarizationConfig, seed: int, workdir: Path
) -> list[tuple[float, float]]:
    """Tune, and give the wall and CPU seconds of each step."""
    model, sentences, clock = lora.attach(backbone, grpo.lora, seed=seed), SentenceEncoder(), Clock()

    def information(summaries: Sequence[Summary], rows: Sequence[int]) -> np.ndarray:
        texts = sentences.encode([items[row][0] for row in rows])
        return rewards.information(sentences.encode([", ".join(one.keywords) for one in summaries]), texts)

    def reconstruction(summaries: Sequence[Summary], rows: Sequence[int]) -> np.ndarray:
        prompts = [reconstruction_prompt(", ".join(one.keywords)) for one in summaries]
        with model.disable_adapter():
            found = backbone.log_likelihood(prompts, [items[row][0] for row in rows])
        return rewards.reconstruction(found, [not one.keywords for one in summaries])

    def length(summaries: Sequence[Summary], _rows: Sequence[int]) -> np.ndarray:
        return rewards.length([len(one.keywords) for one in summaries], 2 * config.max_keywords)

    def grounding(summaries: Sequence[Summary], rows: Sequence[int]) -> np.ndarray:
        targets = [format_summary(one.image_keywords, ()).split("\n")[0] for one in summaries]
        some = [items[row] for row in rows]
        blanks = [None if image is None else Pictures.new("RGB", image.size, (128,) * 3) for _, image in some]
        with model.disable_adapter():
            seen = backbone.log_likelihood([summary_prompt(text, image) for text, image in some], targets)
            unseen = backbone.log_likelihood(
                [summary_prompt(text, blank) for (text, _), blank in zip(some, blanks)], targets
            )
        return rewards.grounding(
            seen, unseen, [not one.keywords for one in summaries], [image is not None for _, image in some]
        )

    terms = [information, reconstruction, length, *([grounding] if grpo.weights.grounding else [])]
    trainer = GRPOTrainer(
        model=model,
        processing_class=backbone.processor,
        reward_funcs=[RewardTerm(term.__name__, term, config) for term in terms],
        train_dataset=_examples(items),
        args=Arguments(
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
            reward_weights=[float(getattr(grpo.weights, term.__name__)) for term in terms],
            gradient_checkpointing=False,
            save_strategy="no",
            seed=seed,
            report_to=[],
            disable_tqdm=True,
        ),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock.steps


def _examples(items: PictureTexts) -> Dataset:
    part = {"type": Value("string"), "text": Value("string")}
    columns = {"prompt": [{"role": Value("string"), "content": [part]}], "row": Value("int64")}
    pictured = items[0][1] is not None  # all items have a picture, or none has
    if pictured:
        columns["images"] = Many(Image())
    rows = []
    for number, (text, image) in enumerate(items):
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


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)
