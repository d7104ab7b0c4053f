"""Four users of a small shop, worked by hand, for the tests of this stage."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from PIL import Image

from mmsra_pipeline.columns import (
    HISTORY,
    IMAGE_HASH,
    ITEM,
    KEYWORDS,
    POSITION,
    RANK,
    RATING,
    SCORE,
    SPLIT,
    TARGET,
    TEXT,
    TIME,
    TITLE,
    USER,
)
from mmsra_pipeline.config.tree import PromptConfig, RecommendationConfig
from mmsra_pipeline.interactions.query_sampling import draw_queries
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.context import PromptContext, prompt_context
from mmsra_pipeline.recommendation.queries import Query
from mmsra_pipeline.recommendation.sft_dataset import build_sft_dataset
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder
from mmsra_pipeline.storage.artifacts import Artifacts

DAY = 86_400_000
WORDS = {
    "mug": ["red", "mug", "gift"],
    "pot": ["tea", "pot"],
    "ball": ["blue", "ball"],
    "lamp": ["lamp", "reading"],
    "bag": ["bag", "leather", "gift"],
    "shirt": ["shirt"],
    "chair": [],
    "new": ["unseen"],
}
# user -> (day, item) in order; leave_last_out: the last two of each user are held out
EVENTS = {
    "u1": [(1, "mug"), (2, "pot"), (3, "ball"), (7, "lamp"), (9, "bag")],
    "u2": [(1, "mug"), (3, "pot"), (4, "lamp"), (6, "shirt"), (8, "ball")],
    "u3": [(2, "mug"), (5, "pot"), (6, "chair"), (8, "bag"), (9, "lamp")],
    "u4": [(1, "ball"), (2, "shirt"), (3, "lamp"), (5, "mug"), (7, "pot")],
}


def interactions() -> pd.DataFrame:
    rows = [
        {USER: user, ITEM: item, TIME: day * DAY, RATING: float("nan"), POSITION: place}
        for user, events in EVENTS.items()
        for place, (day, item) in enumerate(events)
    ]
    return pd.DataFrame(rows).astype({TIME: "Int64"})


def training() -> pd.DataFrame:
    table = interactions()
    last = table.groupby(USER)[POSITION].transform("max")
    return table[table[POSITION] <= last - 2].reset_index(drop=True)


def sequences() -> pd.DataFrame:
    rows = []
    for user, events in EVENTS.items():
        items = [item for _, item in events]
        for place in range(1, len(events)):
            split = {1: "test", 2: "validation"}.get(len(events) - place, "train")
            rows.append((user, split, place, items[:place], items[place], events[place][0] * DAY))
        rows.append((user, "serve", len(events), items, None, None))
    table = pd.DataFrame(rows, columns=[USER, SPLIT, POSITION, HISTORY, TARGET, TIME])
    return table.astype({TIME: "Int64"})


def keywords() -> pd.DataFrame:
    return pd.DataFrame({ITEM: list(WORDS), KEYWORDS: list(WORDS.values())})


def item_text() -> pd.DataFrame:
    titles = [f"The {item}" for item in WORDS]
    return pd.DataFrame({ITEM: list(WORDS), TITLE: titles, TEXT: [f"{title}. For the home." for title in titles]})


def similar_users(rows: list[tuple[str, int, int, str]] | None = None) -> pd.DataFrame:
    return pd.DataFrame(rows or [], columns=[USER, POSITION, RANK, ITEM]).assign(**{SCORE: 0.5})


class StubEncoder:
    """Scores items by fixed numbers, whatever the history; all by 0 where it knows no item of the history."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        self.items = list(scores)
        self._scores = np.array(list(scores.values()), dtype=np.float32)

    def score_all(self, histories: Sequence[Sequence[str]]) -> np.ndarray:
        known = np.array([any(item in self.items for item in history) for history in histories], dtype=bool)
        return np.where(known[:, None], self._scores, np.float32(0))


def encoder(scores: Mapping[str, float] | None = None) -> FoldedEncoder:
    """Without folds; a stub knows all that the signals ask of it."""
    stub = StubEncoder(scores or {item: 1.0 + place for place, item in enumerate(sorted(WORDS))})
    return FoldedEncoder(cast(UserEncoder, stub))


def vectors(items: Iterable[str] = WORDS, dim: int = 6) -> dict[str, np.ndarray]:
    """A unit vector of each item, by its place alone."""
    drawn = np.random.default_rng(5).normal(size=(1000, dim))
    return {item: drawn[place] / np.linalg.norm(drawn[place]) for place, item in enumerate(items)}


def source(similar: pd.DataFrame | None = None, **parts: Any) -> SignalSource:
    given = {"keywords": WORDS, "vectors": vectors(), "encoder": encoder(), **parts}
    return SignalSource(cooccurrence(), similar_users=similar_users() if similar is None else similar, **given)


def cooccurrence() -> CooccurrenceIndex:
    return CooccurrenceIndex.of_training(training(), 20)


def first_stage() -> FirstStage:
    return FirstStage(encoder().full, cooccurrence(), list(WORDS), interactions=interactions())


def context(
    similar: list[tuple[str, int, int, str]] | None = None,
    pictures: ItemImages | None = None,
    *,
    similar_count: int = 3,
    **settings: object,
) -> PromptContext:
    """A context whose prompts say two signals alone, ``settings`` aside."""
    return prompt_context(
        PromptConfig.model_validate({"evidence": ("sequence", "popularity"), **settings}),
        keywords=keywords(),
        item_text=item_text(),
        similar_users=similar_users(similar),
        similar_count=similar_count,
        training=training(),
        images=pictures,
    )


def query(history: tuple[str, ...] = ("mug", "pot"), user: str = "u9", day: int | None = 10) -> Query:
    return Query(user, len(history), history, None if day is None else day * DAY)


def images(artifacts: Artifacts) -> ItemImages:
    """All items but the chair and the new one have a picture, each of one colour."""
    rows = []
    for place, item in enumerate(WORDS):
        content = io.BytesIO()
        Image.new("RGB", (24, 24), (30 * place, 200 - 20 * place, 90)).save(content, "JPEG")
        stored = artifacts.put_blob("images", content.getvalue(), ".jpg") if item not in ("chair", "new") else None
        rows.append((item, stored))
    return ItemImages(artifacts, pd.DataFrame(rows, columns=[ITEM, IMAGE_HASH]))


def examples(count: int = 24, **settings: Any) -> pd.DataFrame:
    config = RecommendationConfig(**{"examples": count, "min_history": 1, "list_negatives": 2, **settings})
    return build_sft_dataset(
        sequences(),
        draw_queries(sequences(), config, 0),
        training(),
        context(),
        source(),
        first_stage(),
        config,
        seed=0,
    )
