"""Top-N lists: candidates of the first stage, ranked by the fusion, with the keywords that speak for them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, RANK, SCORE, TITLE, USER
from mmsra_pipeline.recommendation.context import PromptContext
from mmsra_pipeline.recommendation.fusion import FusionModel
from mmsra_pipeline.recommendation.list_scorer import Spread
from mmsra_pipeline.recommendation.scoring import score_candidates, with_signals
from mmsra_pipeline.recommendation.signals import SignalSource

COLUMNS = [USER, RANK, ITEM, TITLE, "p", "p_model", "first_stage_rank", "shared_keywords"]


def recommend(
    backbone: Backbone,
    queries: pd.DataFrame,
    candidates: pd.DataFrame,
    signals: SignalSource,
    fusion: FusionModel,
    context: PromptContext,
    item_text: pd.DataFrame,
    top_n: int,
    kept: Path | None = None,
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
    best = scored[scored[RANK] <= top_n].reset_index(drop=True)
    histories = {
        (user, position): tuple(history)
        for user, position, history in zip(queries[USER], queries[POSITION], queries[HISTORY])
    }
    best[TITLE] = best[ITEM].map(dict(zip(item_text[ITEM], item_text[TITLE])))
    best["shared_keywords"] = [
        shared_keywords(histories[user, position], item, context.keywords)
        for user, position, item in zip(best[USER], best[POSITION], best[ITEM])
    ]
    return best[COLUMNS]


def shared_keywords(history: Iterable[str], item: str, keywords: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the item's keywords that an item of the history has too, in the item's order.

    >>> shared_keywords(["a", "b"], "c", {"a": ["red", "mug"], "c": ["gift", "mug", "red"]})
    ['mug', 'red']
    """
    known = {word for taken in history for word in keywords.get(taken, ())}
    return [word for word in keywords.get(item, ()) if word in known]
