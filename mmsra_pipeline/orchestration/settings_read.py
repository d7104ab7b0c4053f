"""Which settings each asset reads: it gets no others, and a change of them makes it stale (``settings_sources``)."""

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from pydantic import BaseModel

from mmsra_pipeline.config.datasets import config_of, load_dataset
from mmsra_pipeline.config.loading import load_config
from mmsra_pipeline.config.operation import OPERATION
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.code_hashes import code_hash
from mmsra_pipeline.orchestration.section_reader import SectionReader
from mmsra_pipeline.storage.paths import Paths

INDEX: Final = ("retrieval.cooccurrence.window",)  # of those that ask the CooccurrenceIndex for it
PROMPTS: Final = ("recommendation.prompt", "retrieval.similar_users.k")  # of those that make prompts
SCORED: Final = (  # of those that ask the tuned model
    "backbone",
    "recommendation.scoring_autocast",
    "recommendation.layers",
    "recommendation.start",
)
KEYWORD_FORM: Final = (
    "summarization.max_keywords",
    "summarization.max_keyword_words",
    "summarization.max_new_tokens",
)
WRITTEN: Final = ("backbone", "summarization.reads", "summarization.writer", *KEYWORD_FORM)  # keywords by a model

READS: Final[Mapping[str, tuple[str, ...]]] = {
    "raw_reviews": ("interactions.max_reject_share",),
    "interactions": (
        "interactions.min_rating",
        "interactions.require_image",
        "interactions.repeats",
        "interactions.user_core",
        "interactions.item_core",
        "interactions.max_items",
        "interactions.max_users",
        "seed",
    ),
    "sequences": ("interactions.split", "interactions.min_history", "interactions.history_limit", "seed"),
    "training_queries": (
        "recommendation.training_users",
        "recommendation.examples",
        "recommendation.tasks",
        "recommendation.min_history",
        "recommendation.early_share",
        "recommendation.validation_lists",
        "seed",
    ),
    "item_text": ("items.max_text_chars", "items.cold_items"),
    "item_images": ("items.image_side", "items.max_image_pixels", "items.fetch"),
    "alignment": ("backbone", "alignment", "seed", *KEYWORD_FORM),
    "draft_keywords": (*WRITTEN, "summarization.draft_items", "seed"),
    "summarizer": ("backbone", "grpo", "summarization.reads", "seed", *KEYWORD_FORM),
    "item_keywords": (*WRITTEN, "summarization.server"),
    "keyword_quality": (*WRITTEN, "summarization.verified_items", "evaluation.bootstrap", "seed"),
    "user_encoder": ("retrieval.encoder", "seed"),
    "similar_users": ("retrieval.similar_users", "seed"),
    "cooccurrence_neighbors": ("retrieval.cooccurrence",),
    "sft_dataset": (
        "recommendation.objective",
        "recommendation.examples",
        "recommendation.tasks",
        "recommendation.negatives",
        "recommendation.list_negatives",
        "recommendation.evidence_dropout",
        "retrieval.first_stage.cold_items",
        "recommendation.options",
        "seed",
        *PROMPTS,
        *INDEX,
    ),
    "recommender": (
        "backbone",
        "recommendation.epochs",
        "recommendation.batch_size",
        "recommendation.learning_rate",
        "recommendation.lora",
        "recommendation.micro_batch",
        "recommendation.queries_together",
        "recommendation.objective",
        "recommendation.yes_no_weight",
        "recommendation.layers",
        "recommendation.start",
        "recommendation.validate_every",
        "recommendation.patience",
        "seed",
    ),
    "rankings": (
        *SCORED,
        "evaluation.negatives",
        "evaluation.protocols",
        "evaluation.lists",
        "evaluation.users",
        "retrieval.first_stage.cold_items",
        "seed",
        *PROMPTS,
        *INDEX,
    ),
    "fusion": (
        "fusion",
        *SCORED,
        "evaluation.negatives",
        "evaluation.protocols",
        "evaluation.validation_users",
        "evaluation.bootstrap",
        "retrieval.first_stage",
        "seed",
        *PROMPTS,
        *INDEX,
    ),
    "first_stage_recall": (
        "retrieval.first_stage.cold_items",
        "evaluation.recall_users",
        "evaluation.bootstrap",
        "seed",
        *INDEX,
    ),
    "metrics": ("evaluation.cutoff", "evaluation.bootstrap", "seed"),
    "served_quality": (
        "evaluation.served_users",
        "evaluation.served_depths",
        "evaluation.cutoff",
        "evaluation.bootstrap",
        "retrieval.first_stage.cold_items",
        "seed",
        *SCORED,
        *PROMPTS,
        *INDEX,
    ),
    "report": ("report", "evaluation.cutoff", "evaluation.bootstrap", "seed", *SCORED, *PROMPTS),
    "recommendations": (
        *SCORED,
        "recommendations",
        "retrieval.first_stage",
        *PROMPTS,
        *INDEX,
        "seed",
    ),
}
"""Dotted paths into the config tree. To read one more setting in an asset, add it here."""

WITHOUT_EFFECT: Final = frozenset(
    {
        "interactions.max_reject_share",
        "items.fetch.contact",
        "items.fetch.workers",
        "items.fetch.per_host",
        "items.fetch.pause_seconds",
        "items.fetch.connect_seconds",
        "items.fetch.read_seconds",
        "items.fetch.deadline_seconds",
        "items.fetch.tries",
        "items.fetch.backoff_seconds",
        "items.fetch.retry_after_seconds",
        "items.fetch.host_failures",
        "summarization.server.url",
        "summarization.server.requests",
        "summarization.server.timeout_seconds",
        "summarization.server.tries",
        "summarization.server.key_variable",
        "backbone.device",
        "backbone.batch_size",
        "alignment.checkpoint_every",
        "recommendation.micro_batch",
        "recommendation.queries_together",
    }
)
"""Settings that change speed, not results: a change of them makes nothing stale."""


@functools.cache
def loaded_config() -> Config:
    """The settings of the root, read once a process: of how the installation runs. Assets read those of a data set."""
    return load_config()


def dataset_config(paths: Paths, dataset: str) -> Config:
    """Return the settings that hold for a data set now.

    Raises:
        ConfigError: if it is not described, or naming the file and every wrong setting in it.
    """
    return config_of(load_dataset(paths.datasets, dataset))


def code_version(asset: str, number: int, module: str) -> str:
    """Name the code of an asset, which ``module`` defines as a function of its name.

    ``number`` is raised by hand when what all stages share gives it other results; of the code of the stages the hash
    tells by itself. Settings are no part of it: they are of a data set, the code is of all.
    """
    return f"{number}-{code_hash(module, asset)}"


def settings_of(asset: str, config: Config) -> dict[str, Any]:
    """Return the settings that ``asset`` reads and that change its result, by dotted path down to single values."""
    return effective(READS[asset], whole(config))


def effective(paths: Iterable[str], config: Config) -> dict[str, Any]:
    """Return the single values at dotted paths and below, those without effect on results left out, by path."""
    values: dict[str, Any] = {}
    for path in paths:
        values |= _leaves(path, config.section(path))
    return {path: value for path, value in sorted(values.items()) if path not in WITHOUT_EFFECT}


def json_ready(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON gives them back."""
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def full_settings(config: Config) -> Mapping[str, Any]:
    """Return all of a configuration that makes results, to be stored with a run."""
    return whole(config).model_dump(mode="json", exclude=set(OPERATION))


def readable(asset: str, config: Config) -> Config:
    """Return the settings with only those readable that ``asset`` declares in ``READS``."""
    return cast(Config, SectionReader(config, asset, READS[asset]))


def whole(config: Config) -> Config:
    """Return all settings again where ``config`` shows only those that an asset declares."""
    either: Any = config
    return cast(Config, either.whole) if isinstance(either, SectionReader) else config


def _leaves(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, BaseModel):
        return {path: value}
    leaves: dict[str, Any] = {}
    for name in type(value).model_fields:
        leaves |= _leaves(f"{path}.{name}", getattr(value, name))
    return leaves
