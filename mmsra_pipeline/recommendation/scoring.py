"""p(Yes) of candidates: the score by which they are ranked (sec. 3.5)."""

import contextlib
import functools
import logging
from pathlib import Path

import pandas as pd

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import ITEM, POSITION, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.progress import Progress
from mmsra_pipeline.recommendation import prompts
from mmsra_pipeline.recommendation.context import PromptContext, Query, queries_of
from mmsra_pipeline.recommendation.score_cache import ScoreCache, list_key

logger = logging.getLogger(__name__)


def score_candidates(
    backbone: Backbone,
    queries: pd.DataFrame,
    candidates: pd.DataFrame,
    context: PromptContext,
    kept: Path | None = None,
    *,
    autocast: bool,
) -> pd.Series:
    """Give p in (0, 1) for each row of ``candidates``, on its index.

    A (user, position, item) that stands in several rows, say in the lists of two protocols, is scored once. All
    candidates of a query share the computation of what the prompt says of the user.

    Args:
        backbone: with the recommender's adapter.
        queries: rows of ``sequences``.
        candidates: columns user_id, position, item_id; every (user_id, position) must be one of ``queries``.
        context: what prompts show, with images.
        kept: file in which scores are kept as they come. A scoring that was stopped goes on; of a later one the lists
            are taken over whose prompts, pictures and weights are the same.
        autocast: see ``Backbone.first_token_scores``.

    Raises:
        DataError: if candidates name a query that is not there.
    """
    cache = ScoreCache(kept)
    wanted = _items_by_query(candidates)
    known = {(query.user, query.position): query for query in queries_of(queries)}
    _check_known(wanted, known)
    progress = Progress("scoring", sum(len(items) for items in wanted.values()), "candidates")
    scores: dict[tuple[str, int, str], float] = {}
    keys, taken_over = [], 0
    with contextlib.ExitStack() as prepared:
        prepare = functools.cache(lambda: prepared.enter_context(backbone.many_scores(autocast=autocast)))
        for (user, position), items in wanted.items():
            asked = [prompts.yes_no_prompt(context, known[user, position], item) for item in items]
            keys.append(list_key(asked, context.images, backbone, autocast=autocast))
            found = cache.get(keys[-1])
            if found is None:
                prepare()
                shown = [prompts.render(parts, context.images) for parts in asked]
                p = backbone.first_token_scores(shown, words=(prompts.YES, prompts.NO), autocast=autocast)
                found = [float(value) for value in p]
                cache.add(keys[-1], found)
            else:
                taken_over += len(items)
            scores |= {(user, position, item): p for item, p in zip(items, found, strict=True)}
            progress.advance(len(items))
    cache.keep(keys)
    if taken_over:
        logger.info("scoring: %d of %d candidates were scored before", taken_over, len(scores))
    rows = zip(candidates[USER], candidates[POSITION], candidates[ITEM])
    values = [scores[str(user), int(position), str(item)] for user, position, item in rows]
    return pd.Series(values, index=candidates.index, dtype="float64", name="p")


def _items_by_query(candidates: pd.DataFrame) -> dict[tuple[str, int], list[str]]:
    wanted: dict[tuple[str, int], list[str]] = {}
    for user, position, item in candidates[[USER, POSITION, ITEM]].drop_duplicates().itertuples(index=False):
        wanted.setdefault((str(user), int(position)), []).append(str(item))
    return wanted


def _check_known(wanted: dict[tuple[str, int], list[str]], known: dict[tuple[str, int], Query]) -> None:
    missing = [key for key in wanted if key not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} lists of candidates have no query (first: {USER}={missing[0][0]!r}, "
            f"{POSITION}={missing[0][1]}). Candidates and sequences are of different runs: materialize both again."
        )
