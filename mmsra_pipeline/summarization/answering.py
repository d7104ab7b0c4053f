"""Writes the summaries of one batch of items, in this process or in a worker of a cluster."""

import functools
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from PIL import Image

from mmsra_pipeline.backbone.completion import Form
from mmsra_pipeline.backbone.elsewhere import Origin, open_elsewhere, origin_of
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.compute.shards import Shard
from mmsra_pipeline.compute.spreading import spread
from mmsra_pipeline.config.tree import ComputeConfig, SummarizationConfig
from mmsra_pipeline.items.images import load_image
from mmsra_pipeline.storage.artifacts import Artifacts
from mmsra_pipeline.summarization import form, summary_prompts


class Writer(Protocol):
    """Answers prompts in a form."""

    tokenizer: Any

    @property
    def batch_size(self) -> int:
        """How many prompts it is given at once."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int,
        form: Form | None,
        lines: Sequence[tuple[bool, bool]] | None,
        autocast: bool | None,
    ) -> list[str]:
        """Return one answer per prompt."""


class PromptInput(NamedTuple):
    """What a prompt shows of an item: plain values, which travel to another machine."""

    item: str
    text: str
    picture: str | None
    """Hash of the stored picture; None if there is none."""


Spread = Callable[[Iterable[Shard]], Generator[tuple[Shard, Sequence[str]]]]
"""Has batches of ``PromptInput`` written, and gives them as they are done."""


class Answering:
    """Writes the summaries of a batch."""

    def __init__(
        self, writer: Writer, config: SummarizationConfig, picture: Callable[[PromptInput], Image.Image | None]
    ) -> None:
        """``picture`` gives the picture of an item."""
        self._writer = writer
        self._config = config
        self._picture = picture
        self._form = form.KeywordForm(writer.tokenizer, [writer.tokenizer.eos_token_id], config)

    def __call__(self, batch: Sequence[PromptInput]) -> list[str]:
        """Return one completion per item."""
        pictures = [self._picture(given) for given in batch]
        prompts = [summary_prompts.summary_prompt(given.text, picture) for given, picture in zip(batch, pictures)]
        lines = [(picture is not None, bool(given.text.strip())) for given, picture in zip(batch, pictures)]
        return self._writer.generate(
            prompts, max_new_tokens=self._config.max_new_tokens, form=self._form, lines=lines, autocast=None
        )


def by_workers(
    backbone: Backbone, artifacts: Artifacts, config: SummarizationConfig, compute: ComputeConfig
) -> Spread | None:
    """Return what has batches written by the workers of a cluster; None where this process is to write them.

    Args:
        backbone: whose weights the workers open. They are not read here.
        artifacts: of the root from which workers take weights and pictures.
        config: the form of keywords.
        compute: the engine, and how many workers.
    """
    if compute.engine == "local":
        return None
    limits = {name: getattr(config, name) for name in ("max_keywords", "max_keyword_words", "max_new_tokens")}
    origin = origin_of(backbone, artifacts, compute.cpus_per_worker)
    make = functools.partial(answering_elsewhere, origin, SummarizationConfig(**limits))
    return lambda shards: spread(make, shards, compute, "keywords")


def answering_elsewhere(origin: Origin, config: SummarizationConfig) -> Answering:
    """Make what writes in a worker of a cluster; pictures come from the root, by their hash.

    Raises:
        MissingInputError: if weights are not to be had there.
        ConfigError: if the backbone there is another one.
    """
    backbone, artifacts = open_elsewhere(origin)
    _ = backbone.model
    return Answering(
        backbone, config, lambda given: None if given.picture is None else load_image(artifacts, given.picture)
    )
