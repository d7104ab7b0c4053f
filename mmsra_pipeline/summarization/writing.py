"""Writes the keywords of items, those that were not written before."""

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import Final

import numpy as np
import pandas as pd

from mmsra_pipeline.backbone.sentences import SentenceEncoder
from mmsra_pipeline.columns import ITEM, KEYWORDS, TEXT
from mmsra_pipeline.compute.shards import Shard
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.storage.hashing import fingerprint
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.summarization import form, summary_prompts
from mmsra_pipeline.summarization.answering import Answering, PromptInput, Spread, Writer
from mmsra_pipeline.summarization.inputs import read_images, read_texts
from mmsra_pipeline.summarization.keywords import Summary, format_summary, parse_summary, words_of
from mmsra_pipeline.summarization.pseudo import pseudo_keywords
from mmsra_pipeline.summarization.tuning.rewards import information
from mmsra_pipeline.telemetry.progress import Progress

SOURCE: Final = "source"
COLUMNS = [
    ITEM,
    KEYWORDS,
    "image_keywords",
    "text_keywords",
    "completion",
    "well_formed",
    "copied",
    "information",
    SOURCE,
]


def write_keywords(
    writer: Writer,
    items: pd.DataFrame,
    images: ItemImages,
    config: SummarizationConfig,
    sentences: SentenceEncoder,
    cache: KeyedCache[str],
    summarizer: str,
    *,
    spread: Spread | None = None,
) -> tuple[pd.DataFrame, int]:
    """Return one row of keywords per item, in the order of ``items``, and how many had to be generated.

    Args:
        writer: the summarizer, in this process or served.
        items: rows of ``item_text``.
        images: their pictures.
        config: how many keywords, and how long.
        sentences: phi of eq. 1, for the column ``information``.
        cache: is asked first and given every batch, so a killed run goes on where it was.
        summarizer: fingerprint of the weights that write.
        spread: has batches written by workers in place of ``writer``.

    Returns:
        Columns ``COLUMNS``. ``completion`` is what was written and ``well_formed`` whether it has the form. Where it
        has no keyword, words of high TF-IDF out of the item's text stand in; ``source`` is 'model', 'extractive' for
        these, or 'none' for an item without any keyword. ``copied`` is the share, in [0, 1], of keyword words that
        stand in the item's text, shown or not; ``information`` the cosine of keywords and text, nan for an item without
        text.

    Raises:
        ConfigError: if ``config.max_new_tokens`` has no room for keywords.
    """
    said_of = items[TEXT].fillna("").tolist()
    ids, texts = items[ITEM].tolist(), read_texts(said_of, config)
    images = read_images(images, ids, config)
    keys = [
        cache_key(
            image_sha256=images.image_hash(item),
            text=text,
            prompt_version=summary_prompts.VERSION,
            settings=[form.VERSION, config.max_new_tokens, config.max_keywords, config.max_keyword_words],
            summarizer=summarizer,
        )
        for item, text in zip(ids, texts)
    ]
    # Items of like length in a batch waste little padding; items that are alike in all are written once.
    written = cache.find(keys)
    missing = sorted({key: row for row, key in enumerate(keys) if key not in written}.values())
    missing.sort(key=lambda row: len(texts[row]))
    batches = [missing[at : at + writer.batch_size] for at in range(0, len(missing), writer.batch_size)]
    key_of = {ids[row]: keys[row] for row in missing}
    shards = (
        Shard(
            tuple(ids[row] for row in rows),
            tuple(PromptInput(ids[row], texts[row], images.image_hash(ids[row])) for row in rows),
        )
        for rows in batches
    )
    progress = Progress("keywords", len(missing))
    with contextlib.closing(spread(shards) if spread else _here(writer, images, config, shards)) as answers:
        for shard, said in answers:
            batch = dict(zip((key_of[item] for item in shard.names), said, strict=True))
            cache.put(batch)
            written |= batch
            progress.advance(len(batch))
    completions = [written[key] for key in keys]
    stand_in = "text" in config.reads
    return keyword_table(ids, said_of, completions, config, sentences, stand_in=stand_in), len(missing)


def _here(
    writer: Writer, images: ItemImages, config: SummarizationConfig, shards: Iterable[Shard]
) -> Generator[tuple[Shard, Sequence[str]]]:
    answering = None
    for shard in shards:
        answering = answering or Answering(writer, config, lambda given: images.get(given.item))
        yield shard, answering(shard.rows)


def cache_key(*, image_sha256: str | None, text: str, prompt_version: int, settings: object, summarizer: str) -> str:
    """Name all that a completion depends on: picture, text, prompt, settings of generation, weights."""
    return fingerprint(image_sha256, text, prompt_version, settings, summarizer)


def extractive_keywords(items: pd.DataFrame, config: SummarizationConfig, sentences: SentenceEncoder) -> pd.DataFrame:
    """Return the same table from words of high TF-IDF in the items' own texts; pictures have no keywords."""
    texts = items[TEXT].fillna("").tolist()
    found = pseudo_keywords(texts, count=config.max_keywords)
    completions = [format_summary((), words) for words in found]
    table = keyword_table(items[ITEM].tolist(), texts, completions, config, sentences)
    return table.assign(**{SOURCE: table[SOURCE].where(table[SOURCE] == "none", "extractive")})


def draft_sample(items: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Return ``size`` of the rows of ``item_text``, or all if there are fewer, in their order.

    Which ones depends on a hash of each item's id, so that a new item takes the place of one other at most.
    """
    order = items[ITEM].map(lambda item: fingerprint(seed, item))
    return items.loc[order.sort_values(kind="stable").index[:size]].sort_index()


def keyword_table(
    items: Sequence[str],
    texts: Sequence[str],
    completions: Sequence[str],
    config: SummarizationConfig,
    sentences: SentenceEncoder,
    *,
    stand_in: bool = False,
) -> pd.DataFrame:
    """Read completions and measure them against the items' texts; see ``write_keywords``.

    With ``stand_in`` words of a text stand in where its completion has no keyword.
    """
    summaries = [parse_summary(completion, config) for completion in completions]
    well_formed = [summary.well_formed for summary in summaries]
    source = ["model" if summary.keywords else "none" for summary in summaries]
    if stand_in and not all(summary.keywords for summary in summaries):
        for row, found in enumerate(_extracted(texts, config)):
            if not summaries[row].keywords and found.keywords:
                summaries[row], source[row] = found, "extractive"
    said = [", ".join(summary.keywords) for summary in summaries]
    cosines = information(sentences.encode(said), sentences.encode(texts))
    return pd.DataFrame(
        {
            ITEM: list(items),
            KEYWORDS: [list(summary.keywords) for summary in summaries],
            "image_keywords": [list(summary.image_keywords) for summary in summaries],
            "text_keywords": [list(summary.text_keywords) for summary in summaries],
            "completion": list(completions),
            "well_formed": well_formed,
            "copied": [copy_rate(summary.keywords, text) for summary, text in zip(summaries, texts)],
            "information": np.where([bool(text) for text in texts], cosines, np.nan),
            SOURCE: source,
        },
        columns=COLUMNS,
    )


def _extracted(texts: Sequence[str], config: SummarizationConfig) -> list[Summary]:
    found = pseudo_keywords(texts, count=config.max_keywords)
    return [parse_summary(format_summary((), words), config) for words in found]


def copy_rate(keywords: Sequence[str], text: str) -> float:
    """Return the share of keyword words that stand in the text; 0 without keywords.

    >>> copy_rate(["red mug", "ceramic"], "A ceramic mug")
    0.6666666666666666
    """
    said = [word for keyword in keywords for word in words_of(keyword)]
    there = set(words_of(text))
    return sum(word in there for word in said) / len(said) if said else 0.0
