"""What leaving out a part of what the recommender is shown does to its p(Yes): computed, not guessed."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import ITEM, POSITION, USER
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.context import PromptContext
from mmsra_pipeline.recommendation.evidence import BLANK
from mmsra_pipeline.recommendation.queries import Query
from mmsra_pipeline.recommendation.score_cache import list_key, packed, unpacked
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.storage.keyed_cache import KeyedCache
from mmsra_pipeline.telemetry.progress import tracked

NOTHING: Final = "nothing"
HISTORY_ITEM: Final = "history item"
SIMILAR: Final = "similar users"
EVIDENCE: Final = "evidence"
PICTURE: Final = "picture"
COLUMNS = [USER, POSITION, ITEM, "part", "left_out", "logit", "p", "change"]


class Asked(NamedTuple):
    """A query and the candidates that are explained."""

    query: Query
    items: tuple[str, ...]


class _Without(NamedTuple):
    """The prompts of candidates without a part."""

    part: str
    left_out: str
    prompts: list[task_prompts.Parts]
    images: ItemImages | None


def explain(
    backbone: Backbone,
    asked: Sequence[Asked],
    signals: SignalSource,
    context: PromptContext,
    picture_keywords: Mapping[str, Sequence[str]],
    kept: Path | None = None,
    *,
    autocast: bool | str,
) -> pd.DataFrame:
    """Score candidates with all that prompts show, and without each part of it.

    Parts: each item of the history that the prompt shows: as if the user had not taken it, so evidence is looked up
    anew and an older item may move up (similar users stay); what similar users took next; the evidence, whose classes
    are then not said; the candidate's picture, with the keywords that were read off it (evidence stays).

    Args:
        backbone: with the recommender's adapter.
        asked: queries with their candidates.
        signals: of candidates.
        context: what prompts show, with images.
        picture_keywords: of each item, those of its picture.
        kept: cache of scores, as ``score_candidates`` has one.
        autocast: a value of ``recommendation.scoring_autocast``. In bfloat16 p is rounded by up to 0.03.

    Returns:
        Columns ``COLUMNS``, for each query the rows of ``NOTHING`` first.
    """
    rows: list[tuple[object, ...]] = []
    keys: list[str] = []
    with KeyedCache[str](kept) as cache, contextlib.ExitStack() as prepared:
        rounded = functools.cache(lambda: _rounded(backbone, prepared, autocast))
        for one in tracked(asked, len(asked), "explaining", "queries"):
            whole: list[float] = []
            for without in _leave_outs(one, signals, context, picture_keywords):
                key = list_key(without.prompts, without.images, backbone, autocast=autocast)
                before = cache.get(key)
                if before is None:
                    rendered = [task_prompts.render(parts, without.images) for parts in without.prompts]
                    answers = backbone.score_group(rendered, (task_prompts.YES, task_prompts.NO), autocast=rounded())
                    found = list(zip(answers.margin.tolist(), answers.mass.tolist(), strict=True))
                    cache.put({key: packed(found)})
                else:
                    found = unpacked(before)
                keys.append(key)
                logits = np.array([margin for margin, _ in found])
                p = 1 / (1 + np.exp(-logits))
                whole = whole or p.tolist()
                rows += [
                    (one.query.user, one.query.position, item, without.part, without.left_out, *numbers)
                    for item, *numbers in zip(one.items, logits, p, p - whole, strict=True)
                ]
        cache.keep(keys)
    types = {USER: "str", POSITION: "int64", ITEM: "str", "part": "str", "left_out": "str"}
    return pd.DataFrame(rows, columns=COLUMNS).astype(types)


def _leave_outs(
    one: Asked, signals: SignalSource, context: PromptContext, picture_keywords: Mapping[str, Sequence[str]]
) -> Iterator[_Without]:
    query, items, config = one.query, list(one.items), context.config
    pictures, unseen = context.images, context.images.without(items) if context.images else None
    recent = list(dict.fromkeys(task_prompts.recent_history(context, query)))
    shorter = [
        dataclasses.replace(query, history=tuple(item for item in query.history if item != left_out))
        for left_out in recent
    ]
    classes, *without = [
        found.classes.tolist() for found in signals.of([query, *shorter], [items] * (1 + len(recent)), training=False)
    ]

    def prompts(query: Query, classes: list[list[int]], context: PromptContext = context) -> list[task_prompts.Parts]:
        return task_prompts.yes_no_prompts(context, query, items, classes)

    yield _Without(NOTHING, "", prompts(query, classes), pictures)
    for left_out, rest, own in zip(recent, shorter, without, strict=True):
        yield _Without(HISTORY_ITEM, left_out, prompts(rest, own), pictures)
    if config.similar_users and context.similar.get((query.user, query.position)):
        yield _Without(SIMILAR, "", prompts(query, classes, dataclasses.replace(context, similar={})), pictures)
    if config.evidence:
        yield _Without(EVIDENCE, "", prompts(query, [[BLANK] * len(SLOTS)] * len(items)), pictures)
    if config.candidate_image or any(picture_keywords.get(item) for item in items):
        blind = {item: _without(context.keywords.get(item, ()), picture_keywords.get(item, ())) for item in items}
        words = dataclasses.replace(context, keywords={**context.keywords, **blind})
        yield _Without(PICTURE, "", prompts(query, classes, words), unseen)


def _without(words: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in set(others))


def _rounded(backbone: Backbone, prepared: contextlib.ExitStack, autocast: bool | str) -> bool:
    """Prepare the weights for many lists; give whether arithmetic is in bfloat16."""
    wanted = backbone.autocasts(autocast)
    prepared.enter_context(backbone.rounded(autocast=wanted))
    return wanted
