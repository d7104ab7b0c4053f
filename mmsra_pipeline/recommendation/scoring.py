"""Signals of candidates, and p(Yes): the score by which they are ranked (sec. 3.5)."""

import contextlib
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import ITEM, POSITION, USER
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.columns import class_column, signal_column
from mmsra_pipeline.recommendation.context import PromptContext
from mmsra_pipeline.recommendation.list_scorer import ListScorer, PromptList, Scores, Spread
from mmsra_pipeline.recommendation.queries import Query, queries_of
from mmsra_pipeline.recommendation.score_cache import KeptScores, list_key
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.telemetry.progress import Progress

logger = logging.getLogger(__name__)


def score_candidates(
    backbone: Backbone,
    queries: pd.DataFrame,
    candidates: pd.DataFrame,
    context: PromptContext,
    kept: Path | KeptScores | None = None,
    *,
    autocast: bool | str,
    spread: Spread | None = None,
) -> pd.DataFrame:
    """Return ``logit``, ``mass`` and ``p`` for each row of ``candidates``, on its index.

    ``logit`` is logit(Yes) - logit(No), ``p`` its sigmoid, and ``mass`` P(Yes) + P(No) among all tokens. A (user,
    position, item) that stands in several rows, say in the lists of two protocols, is scored once. All candidates of a
    query share the computation of what the prompt says of the user.

    Args:
        backbone: with the recommender's adapter.
        queries: rows of ``sequences``.
        candidates: columns user_id, position, item_id and class_<slot>; every (user_id, position) must be one of
            ``queries``.
        context: what prompts show, with images.
        kept: cache in which scores are kept as they come. A scoring that was stopped goes on; of a later one the lists
            are taken over whose prompts, pictures and weights are the same. A file holds what this scoring asked for
            and no more.
        autocast: a value of ``recommendation.scoring_autocast``.
        spread: has lists scored by workers in place of ``backbone``.

    Raises:
        DataError: if candidates name a query that is not there.
    """
    once = candidates.drop_duplicates([USER, POSITION, ITEM])
    known = {(query.user, query.position): query for query in queries_of(queries)}
    columns = [ITEM, *(class_column(slot) for slot in SLOTS)]
    rows = once[columns].itertuples(index=False, name=None)
    lists: dict[tuple[str, int], list[tuple[str, list[int]]]] = {}
    for user, at, (item, *classes) in zip(once[USER], once[POSITION], rows):
        lists.setdefault((str(user), int(at)), []).append((str(item), classes))
    _check_known(list(lists), known)
    progress = Progress("scoring", len(once), "candidates")
    scores: dict[tuple[str, int, str], tuple[float, float]] = {}
    keys: dict[tuple[str, int], str] = {}
    reused = 0

    def done(at: tuple[str, int], found: list[tuple[float, float]]) -> None:
        scores.update({(*at, item): one for (item, _), one in zip(lists[at], found, strict=True)})
        progress.advance(len(found))

    def missing() -> Iterator[tuple[tuple[str, int], PromptList]]:
        nonlocal reused
        for at, listed in lists.items():
            items = [item for item, _ in listed]
            asked = task_prompts.yes_no_prompts(context, known[at], items, [classes for _, classes in listed])
            keys[at] = list_key(asked, context.images, backbone, autocast=autocast)
            before = cache.get(keys[at])
            if before is None:
                yield at, asked
            else:
                done(at, before)
                reused += len(items)

    with (
        contextlib.nullcontext(kept) if isinstance(kept, KeptScores) else KeptScores(kept) as cache,
        contextlib.closing((spread or _here(backbone, context.images, autocast))(missing())) as answers,
    ):
        for at, found in answers:
            cache.put(keys[at], found)
            done(at, found)
    if reused:
        logger.info("scoring: %d of %d candidates were scored before", reused, len(scores))
    wanted = zip(candidates[USER], candidates[POSITION], candidates[ITEM])
    values = [scores[str(user), int(position), str(item)] for user, position, item in wanted]
    table = pd.DataFrame(values, index=candidates.index, columns=["logit", "mass"], dtype="float64")
    return table.assign(p=1 / (1 + np.exp(-table["logit"])))


def with_signals(
    candidates: pd.DataFrame, queries: pd.DataFrame, source: SignalSource, *, training: bool = False
) -> pd.DataFrame:
    """Add signal_<slot> (nan: nothing known) and class_<slot> (0 to 9) to rows of user_id, position, item_id.

    Signals of a candidate do not depend on the list that it stands in.
    """
    once = candidates[[USER, POSITION, ITEM]].drop_duplicates()
    groups = once.groupby([USER, POSITION], sort=False)[ITEM].agg(list)
    known = {(query.user, query.position): query for query in queries_of(queries)}
    keys = [(str(user), int(at)) for user, at in groups.index]
    _check_known(keys, known)
    raw, classes = [], []
    for signals in source.of([known[key] for key in keys], groups.tolist(), training=training):
        raw.append(signals.raw)
        classes.append(signals.classes)
    table = pd.DataFrame(
        [(user, at, item) for (user, at), items in zip(keys, groups) for item in items], columns=[USER, POSITION, ITEM]
    )
    table[[signal_column(slot) for slot in SLOTS]] = np.concatenate([np.empty((0, len(SLOTS))), *raw])
    table[[class_column(slot) for slot in SLOTS]] = np.concatenate([np.empty((0, len(SLOTS)), np.int64), *classes])
    return candidates.merge(table, on=[USER, POSITION, ITEM], how="left", validate="many_to_one")


def _here(backbone: Backbone, images: ItemImages | None, autocast: bool | str) -> Spread:
    def score(lists: Iterable[tuple[tuple[str, int], PromptList]]) -> Generator[tuple[tuple[str, int], Scores]]:
        with ListScorer(backbone, autocast) as scorer:
            for at, asked in lists:
                yield at, scorer([task_prompts.render(parts, images) for parts in asked])

    return score


def _check_known(wanted: list[tuple[str, int]], known: Mapping[tuple[str, int], Query]) -> None:
    missing = [key for key in wanted if key not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} lists of candidates have no query (first: {USER}={missing[0][0]!r}, "
            f"{POSITION}={missing[0][1]}). Candidates and sequences are of different runs: materialize both again."
        )
