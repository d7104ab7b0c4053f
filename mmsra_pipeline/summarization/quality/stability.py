"""Whether a summarizer says the same twice: what two sampled completions of an item have in common."""

import json
from collections.abc import Sequence
from typing import Final

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization import form, summary_prompts
from mmsra_pipeline.summarization.keywords import parse_summary
from mmsra_pipeline.summarization.quality.panel import common_share

SAMPLED_ITEMS: Final = 24
TEMPERATURE: Final = 0.7
"""Below 1: there also a model's unlikeliest words are said now and then, so that no two completions are alike."""


def stability(
    backbone: Backbone,
    items: Sequence[tuple[str, str]],
    images: ItemImages,
    config: SummarizationConfig,
    cache: KeyedCache[str],
    *,
    seed: int,
) -> list[float]:
    """Return of each item (id, text) the share of keywords that two sampled completions have in common, in [0, 1].

    Args:
        backbone: the summarizer. It reads its weights only if these completions were not sampled before.
        items: are sampled together, and the same list gives the same completions.
        images: their pictures.
        config: the form of keywords.
        cache: keeps the completions.
        seed: of the sampling.

    Returns:
        One value an item; nan where neither completion has a keyword.
    """
    found = _sampled(backbone, items, images, config, cache, seed)
    said = [[parse_summary(completion, config).keywords for completion in pair] for pair in found]
    return [common_share(first, second) for first, second in said]


def _sampled(
    backbone: Backbone,
    items: Sequence[tuple[str, str]],
    images: ItemImages,
    config: SummarizationConfig,
    cache: KeyedCache[str],
    seed: int,
) -> list[list[str]]:
    """Return two completions of each item."""
    contents = [[images.image_hash(item), text] for item, text in items]
    limits = [config.max_keywords, config.max_keyword_words, config.max_new_tokens]
    drawn = [backbone.fingerprint, backbone.config.batch_size, seed, TEMPERATURE]  # a batch shares its random numbers
    key = fingerprint("stability", summary_prompts.VERSION, form.VERSION, drawn, limits, contents)
    kept = cache.get(key)
    if kept is None:
        pairs = backbone.complete(
            [summary_prompts.summary_prompt(text, images.get(item)) for item, text in items],
            max_new_tokens=config.max_new_tokens,
            temperature=TEMPERATURE,
            seed=seed,
            form=form.KeywordForm(backbone.tokenizer, [backbone.tokenizer.eos_token_id], config),
            lines=[(images.image_hash(item) is not None, bool(text.strip())) for item, text in items],
            copies=2,
        )
        kept = json.dumps([[completion.text for completion in pair] for pair in pairs])
        cache.put({key: kept})
    found: list[list[str]] = json.loads(kept)
    return found
