"""A shop of 60 items and 48 users, drawn at random: wide enough for lists of many negatives and for every class."""

import functools

import numpy as np
import pandas as pd
from recommendation.shop import StubEncoder, vectors
from retrieval.histories import interactions_of

from mmsra_pipeline.columns import ITEM, KEYWORDS, POSITION, TEXT, TITLE, USER
from mmsra_pipeline.config.tree import STATED, PromptConfig, RecommendationConfig
from mmsra_pipeline.interactions.query_sampling import draw_queries
from mmsra_pipeline.recommendation.context import prompt_context
from mmsra_pipeline.recommendation.evidence_model import EvidenceModel
from mmsra_pipeline.recommendation.sft_dataset import build_sft_dataset
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder

ITEMS = [f"i{number:02}" for number in range(60)]
KINDS = ["mug", "ball", "lamp", "bag", "shirt", "chair", "pot"]
COLOURS = ["red", "blue", "green", "grey", "black"]
# Every sixth item has no keyword.
WORDS = {item: () if place % 6 == 5 else (KINDS[place % 7], COLOURS[place % 5]) for place, item in enumerate(ITEMS)}
VECTORS = {item: vector for item, vector in vectors(ITEMS, dim=48).items() if item[-1] != "7"}
# What sums up the other signals, by class and by whether it is 0.
EVIDENCE = EvidenceModel(STATED, (2.0, 1.5, 0.5, 0.7, 0.9, 1.1, 1.3, -0.4, *(-0.1 * place for place in range(8))))
COLD = {"new": ("mug", "unheard")}  # an item that nobody took, with a keyword that no other has


@functools.cache
def interactions() -> pd.DataFrame:
    """Histories of 4 to 30 items; a few items are popular; many times are equal."""
    generator = np.random.default_rng(3)
    weights = 1.0 / np.arange(2, len(ITEMS) + 2)
    histories, times = {}, {}
    for number in range(48):
        chosen = generator.choice(ITEMS, generator.integers(4, 31), replace=False, p=weights / weights.sum())
        histories[f"u{number:02}"] = chosen.tolist()
        times[f"u{number:02}"] = sorted(generator.integers(0, 200, len(chosen)).tolist())
    return interactions_of(histories, times)


@functools.cache
def training() -> pd.DataFrame:
    table = interactions()
    last = table.groupby(USER)[POSITION].transform("max")
    return table[table[POSITION] <= last - 2].reset_index(drop=True)


@functools.cache
def sequences() -> pd.DataFrame:
    rows = []
    for user, own in interactions().groupby(USER):
        items, times = own[ITEM].tolist(), own["timestamp"].tolist()
        for place in range(1, len(items)):
            split = {1: "test", 2: "validation"}.get(len(items) - place, "train")
            rows.append((user, split, place, items[:place], items[place], times[place]))
        rows.append((user, "serve", len(items), items, None, None))
    columns = [USER, "split", POSITION, "history", "target", "timestamp"]
    return pd.DataFrame(rows, columns=columns).astype({"timestamp": "Int64"})


def encoder(seed: int = 0) -> StubEncoder:
    return StubEncoder(dict(zip(ITEMS, np.random.default_rng(seed).normal(size=len(ITEMS)))))


@functools.cache
def voters() -> pd.DataFrame:
    """Eight similar users of each query, some of whom took the same item next."""
    generator = np.random.default_rng(8)
    rows = [
        (user, position, rank, str(generator.choice(ITEMS[:20])), float(generator.uniform(-0.1, 1)))
        for user, position in sequences()[[USER, POSITION]].itertuples(index=False, name=None)
        for rank in range(1, 9)
    ]
    return pd.DataFrame(rows, columns=[USER, POSITION, "rank", ITEM, "score"])


def source(
    events: pd.DataFrame | None = None,
    folded: FoldedEncoder | None = None,
    evidence: EvidenceModel | None = EVIDENCE,
) -> SignalSource:
    return SignalSource(
        CooccurrenceIndex.of_training(training() if events is None else events, 20),
        folded or FoldedEncoder(encoder()),
        voters(),
        keywords={**WORDS, **COLD},
        vectors=VECTORS,
        evidence=evidence,
    )


def first_stage() -> FirstStage:
    index = CooccurrenceIndex.of_training(training(), 20)
    return FirstStage(encoder(), index, ITEMS, interactions=interactions())


def context(**settings: object):
    return prompt_context(
        PromptConfig.model_validate(settings),
        keywords=pd.DataFrame({ITEM: list(WORDS), KEYWORDS: [list(words) for words in WORDS.values()]}),
        item_text=pd.DataFrame({ITEM: ITEMS, TITLE: ITEMS, TEXT: [f"Thing {item}." for item in ITEMS]}),
        similar_users=voters(),
        similar_count=3,
        training=training(),
    )


def dataset(
    config: RecommendationConfig, seed: int = 0, *, signals: SignalSource | None = None, **prompt: object
) -> pd.DataFrame:
    """The table ``sft_dataset``. ``signals`` are left with the regression that it fits."""
    asked = signals or source(evidence=None)
    return build_sft_dataset(
        sequences(),
        draw_queries(sequences(), config, seed),
        training(),
        context(**prompt),
        asked,
        first_stage(),
        config,
        seed,
    )
