"""Which settings each asset reads. The code version of an asset holds their hash, and the asset gets no others."""

import functools
from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import BaseModel

from mmsra_pipeline.config.loading import load_config
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.code_hashes import code_hash
from mmsra_pipeline.storage.hashing import fingerprint

INDEX: Final = ("retrieval.cooccurrence.window",)  # of those that ask the CooccurrenceIndex for it
SHOWN: Final = ("recommendation.prompt", "retrieval.similar_users.k")  # of those that make prompts
KEYWORD_FORM: Final = (
    "summarization.max_keywords",
    "summarization.max_keyword_words",
    "summarization.max_new_tokens",
)

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
    "draft_keywords": ("backbone", "summarization.writer", "summarization.draft_items", "seed", *KEYWORD_FORM),
    "summarizer": ("backbone", "grpo", "seed", *KEYWORD_FORM),
    "item_keywords": ("backbone", "summarization.writer", "summarization.server", *KEYWORD_FORM),
    "keyword_quality": (
        "backbone",
        "summarization.writer",
        "summarization.verified_items",
        "evaluation.bootstrap",
        "seed",
        *KEYWORD_FORM,
    ),
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
        *SHOWN,
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
        "backbone",
        "recommendation.scoring_autocast",
        "recommendation.layers",
        "recommendation.start",
        "evaluation.negatives",
        "evaluation.protocols",
        "evaluation.users",
        "retrieval.first_stage.cold_items",
        "seed",
        *SHOWN,
        *INDEX,
    ),
    "fusion": (
        "fusion",
        "backbone",
        "recommendation.scoring_autocast",
        "recommendation.layers",
        "recommendation.start",
        "evaluation.negatives",
        "evaluation.protocols",
        "evaluation.validation_users",
        "evaluation.bootstrap",
        "retrieval.first_stage",
        "seed",
        *SHOWN,
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
    "recommendations": (
        "backbone",
        "recommendation.scoring_autocast",
        "recommendation.layers",
        "recommendation.start",
        "recommendations",
        "retrieval.first_stage",
        *SHOWN,
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

OPERATION: Final = ("automation", "retention", "limits")
"""Sections of how the installation runs: no asset reads them, and what is stored with a run leaves them out."""


@functools.cache
def loaded_config() -> Config:
    """The settings of this process, read once: code versions and what assets read cannot differ."""
    return load_config()


def code_version(asset: str, number: int, module: str) -> str:
    """Name the code and the settings of an asset, which ``module`` defines as a function of its name.

    ``number`` is raised by hand when what all stages share gives it other results; of the code of the stages the hash
    tells by itself.
    """
    return f"{number}-{code_hash(module, asset)}-{fingerprint(settings_of(asset))}"


def settings_of(asset: str, config: Config | None = None) -> dict[str, Any]:
    """Return the settings that ``asset`` reads and that change its result, by dotted path down to single values."""
    config = config or loaded_config()
    values: dict[str, Any] = {}
    for path in READS[asset]:
        values |= _leaves(path, config.section(path))
    return {path: value for path, value in sorted(values.items()) if path not in WITHOUT_EFFECT}


def full_settings() -> Mapping[str, Any]:
    """Return the resolved configuration of all that makes results, to be stored with a run."""
    return loaded_config().model_dump(mode="json", exclude=set(OPERATION))


def readable(asset: str, config: Config | None = None) -> Config:
    """Return the settings with only those readable that ``asset`` declares in ``READS``."""
    return cast(Config, SectionReader(config or loaded_config(), asset, READS[asset]))


class SectionReader:
    """Stands in for a section of which only some settings may be read; others raise.

    A section that may be read as a whole comes as itself.
    """

    def __init__(self, section: BaseModel, asset: str, allowed: tuple[str, ...], place: str = "") -> None:
        self._section = section
        self._asset = asset
        self._allowed = allowed
        self._place = place

    def __getattr__(self, name: str) -> Any:
        """Read one setting or section.

        Raises:
            LookupError: if the asset does not declare that it reads it. A change of it would not make the asset stale.
        """
        value = getattr(self._section, name)
        path = f"{self._place}{name}"
        if path in self._allowed:
            return value
        if isinstance(value, BaseModel) and any(entry.startswith(f"{path}.") for entry in self._allowed):
            return SectionReader(value, self._asset, self._allowed, f"{path}.")
        raise LookupError(
            f"asset {self._asset!r} reads the setting {path!r}, which it does not declare, so a change of it would not "
            f"make the asset stale. Add {path!r} to READS[{self._asset!r}] in orchestration/settings_read.py."
        )


def _leaves(path: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, BaseModel):
        return {path: value}
    leaves: dict[str, Any] = {}
    for name in type(value).model_fields:
        leaves |= _leaves(f"{path}.{name}", getattr(value, name))
    return leaves
