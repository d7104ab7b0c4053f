"""Top-N lists: candidates of the first stage, ranked by the fusion, with the keywords that speak for them.

Users who are not asked about get the first stage's order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, RANK, RANKED_BY, SCORE, TITLE, USER
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.interactions.query_table import plain
from mmsra_pipeline.recommendation.context import PromptContext
from mmsra_pipeline.recommendation.fusion import FusionModel
from mmsra_pipeline.recommendation.list_scorer import Spread
from mmsra_pipeline.recommendation.score_cache import KeptScores
from mmsra_pipeline.recommendation.scoring import score_candidates, with_signals
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.retrieval.first_stage import FirstStage

COLUMNS = [USER, RANK, ITEM, TITLE, "p", "p_model", "first_stage_rank", "shared_keywords", RANKED_BY]
SCHEMA: Final = pa.schema([
    (USER, pa.large_string()), (RANK, pa.int64()), (ITEM, pa.large_string()), (TITLE, pa.large_string()),
    ("p", pa.float64()), ("p_model", pa.float64()), ("first_stage_rank", pa.int64()),
    ("shared_keywords", pa.list_(pa.string())), (RANKED_BY, pa.large_string()),
])  # fmt: skip
BY_FUSION: Final = "fusion"
BY_FIRST_STAGE: Final = "first_stage"
USERS_TOGETHER: Final = 100_000  # whose lists are held at once


def recommend(
    backbone: Backbone,
    queries: pd.DataFrame,
    candidates: pd.DataFrame,
    signals: SignalSource,
    fusion: FusionModel,
    context: PromptContext,
    item_text: pd.DataFrame,
    top_n: int,
    kept: Path | KeptScores | None = None,
    *,
    autocast: bool | str,
    spread: Spread | None = None,
) -> pd.DataFrame:
    """Return the table ``recommendations``: the ``top_n`` candidates of highest score per user, the best first.

    The fusion scores them; ``p`` is its calibrated probability that the item comes next, ``p_model`` p(Yes) of the
    language model alone. Equal scores are ordered by the rank of the first stage, then by item.

    Args:
        backbone: with the recommender's adapter.
        queries: rows of ``sequences``, one per user (split 'serve').
        candidates: of the first stage, columns user_id, position, item_id, rank.
        signals: of candidates.
        fusion: the fitted fusion with the language model.
        context: what prompts show, with images.
        item_text: titles.
        top_n: length of a list; shorter where there are fewer candidates.
        kept: see :func:`score_candidates`.
        autocast: a value of ``recommendation.scoring_autocast``.
        spread: see :func:`score_candidates`.
    """
    scored = candidates.rename(columns={RANK: "first_stage_rank"})
    scored = with_signals(scored, queries, signals)
    answers = score_candidates(backbone, queries, scored, context, kept, autocast=autocast, spread=spread)
    scored = scored.assign(logit=answers["logit"], p_model=answers["p"], protocol="served")
    scored = scored.assign(**{SCORE: fusion.score(scored), "p": fusion.probability(scored)})
    scored = scored.sort_values([USER, SCORE, "first_stage_rank", ITEM], ascending=[True, False, True, True])
    scored[RANK] = scored.groupby(USER).cumcount() + 1
    best = scored[scored[RANK] <= top_n].reset_index(drop=True).assign(**{RANKED_BY: BY_FUSION})
    return _explained(best, queries, context.keywords, item_text)


def first_stage_lists(
    queries: pd.DataFrame, candidates: pd.DataFrame, keywords: Mapping[str, Sequence[str]], item_text: pd.DataFrame
) -> pd.DataFrame:
    """Return rows of the same table in the first stage's order; nothing is known of ``p`` and ``p_model``.

    Args:
        queries: rows of ``sequences``, one per user.
        candidates: of the first stage, as many as a list has.
        keywords: of each item.
        item_text: titles.
    """
    best = candidates.assign(first_stage_rank=candidates[RANK], p=np.nan, p_model=np.nan, **{RANKED_BY: BY_FIRST_STAGE})
    return _explained(best, queries, keywords, item_text)


def lists_in_parts(
    queries: pd.DataFrame,
    asked: Bool[np.ndarray, " queries"],
    histories: Histories,
    ranking: FirstStage,
    score: Callable[[pd.DataFrame], pd.DataFrame],
    keywords: Mapping[str, Sequence[str]],
    item_text: pd.DataFrame,
    top_n: int,
) -> Iterator[pd.DataFrame]:
    """Return the table ``recommendations``, some users at a time.

    Args:
        queries: rows of ``sequences`` of the users who get a list, one per user, without histories.
        asked: whose lists the language model is asked about.
        histories: what the users took.
        ranking: the first stage, whose order the others get.
        score: returns the lists of such users.
        keywords: of each item.
        item_text: titles.
        top_n: length of a list.
    """
    for start in range(0, max(len(queries), 1), USERS_TOGETHER):
        here = slice(start, start + USERS_TOGETHER)
        rows, scored = histories.joined_to(plain(queries.iloc[here])), asked[here]
        parts = [score(rows[scored])] if scored.any() or not len(rows) else []
        if not scored.all():
            others = rows[~scored]
            parts.append(first_stage_lists(others, ranking.candidates(others, top_n), keywords, item_text))
        yield pd.concat(parts, ignore_index=True).sort_values([USER, RANK]) if len(parts) > 1 else parts[0]


def _explained(
    best: pd.DataFrame, queries: pd.DataFrame, keywords: Mapping[str, Sequence[str]], item_text: pd.DataFrame
) -> pd.DataFrame:
    """Add titles, and the keywords that speak for the items; rows of a user stand beside each other."""
    best[TITLE] = best[ITEM].map(dict(zip(item_text[ITEM], item_text[TITLE])))
    place = {key: row for row, key in enumerate(zip(queries[USER], queries[POSITION]))}
    histories, shared, last, known = queries[HISTORY].tolist(), [], -1, frozenset[str]()
    for user, position, item in zip(best[USER], best[POSITION], best[ITEM]):
        row = place[user, position]
        if row != last:
            last, known = row, words_of(histories[row], keywords)
        shared.append([word for word in keywords.get(item, ()) if word in known])
    best["shared_keywords"] = shared
    return best[COLUMNS]


def words_of(items: Iterable[str], keywords: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Return all keywords of items."""
    return frozenset(word for item in items for word in keywords.get(item, ()))


def shared_keywords(history: Iterable[str], item: str, keywords: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the item's keywords that an item of the history has too, in the item's order.

    >>> shared_keywords(["a", "b"], "c", {"a": ["red", "mug"], "c": ["gift", "mug", "red"]})
    ['mug', 'red']
    """
    known = words_of(history, keywords)
    return [word for word in keywords.get(item, ()) if word in known]
