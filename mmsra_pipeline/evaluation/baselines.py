"""What a recommender has to beat, on the same candidate lists."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, SCORE, TIME, USER
from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL
from mmsra_pipeline.recommendation.fusion import FUSED, WITHOUT_MODEL
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.popularity import popularity
from mmsra_pipeline.retrieval.times import before
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder

ROW = "row"
RANKING_COLUMNS = [PROTOCOL, ROW, USER, POSITION, ITEM, IS_TARGET, SCORE, "p"]
OURS = "mmsrarec"
EVIDENCE_ROW = "evidence"
CEILING = "ceiling"
ORDER = (
    "random", "popularity", "popularity_as_of", "cooccurrence", "cooccurrence_as_of", "sasrec", "first_stage",
    "content", EVIDENCE_ROW, WITHOUT_MODEL, OURS, FUSED, CEILING,
)  # fmt: skip
"""Of rows in tables; others follow by name."""
SEE_LATER = ("popularity", "cooccurrence", "sasrec")
"""Rows that count all of training, later than a query or not."""
SEE_LATER_BY_ENCODER = ("first_stage", EVIDENCE_ROW, WITHOUT_MODEL, OURS, FUSED)
"""Rows of which one part sees it: the sequential model, which was trained on all of training."""


def sees_later(row: str) -> str:
    """Say whether a row counts what others took after the query: 'yes', 'in part' (by the sequential model) or 'no'.

    >>> sees_later("popularity"), sees_later("mmsrarec"), sees_later("popularity_as_of")
    ('yes', 'in part', 'no')
    """
    return "yes" if row in SEE_LATER else "in part" if row in SEE_LATER_BY_ENCODER else "no"


def baseline_scores(
    candidates: pd.DataFrame,
    queries: pd.DataFrame,
    training: pd.DataFrame,
    index: CooccurrenceIndex,
    encoder: UserEncoder,
    seed: int,
) -> pd.DataFrame:
    """Score each candidate without a language model.

    Rows: ``random``; ``popularity``, ``cooccurrence`` and ``sasrec`` see the whole training data, later than the query
    or not, as in the literature: a bar that is rather too high than too low for a recommender whose context is as of
    the query. ``popularity_as_of`` and ``cooccurrence_as_of`` see what that recommender may see. ``first_stage`` is the
    order in which candidates are served to the model, ``content`` the likeness of text and keywords to the last items.

    Args:
        candidates: the lists, with ``signal_popularity``, ``signal_taste`` and ``first_stage_rank``. What is not known
            comes last, tied.
        queries: rows of ``sequences`` that the lists belong to; their histories are scored, as of their times.
        training: rows of ``interactions`` that training may see.
        index: of co-occurrences in ``training``.
        encoder: the sequential model; its row is called ``sasrec`` also where the settings chose another kind.
        seed: of the random row.

    Returns:
        The columns of ``rankings``; ``p`` is missing, for these scores are no probabilities.
    """
    if queries.duplicated([USER, POSITION]).any():
        raise ValueError("queries hold a user and position twice")
    asked, wanted, rows = _lists(candidates, queries)
    histories = [history for history, _, _ in asked]
    every = [index.score(history, items) for history, items in zip(histories, wanted, strict=True)]
    earlier = [
        index.score(history, items, before=time, exclude_user=user)
        for (history, time, user), items in zip(asked, wanted, strict=True)
    ]
    scores = {
        "random": np.random.default_rng(seed).random(len(candidates)),
        "popularity": popularity(training, candidates[ITEM].tolist()).to_numpy(dtype=np.float64),
        "popularity_as_of": _or_last(candidates["signal_popularity"]),
        "cooccurrence": _placed(every, rows),
        "cooccurrence_as_of": _placed(earlier, rows),
        "sasrec": _placed(encoder.score(histories, wanted), rows),
        "first_stage": _or_last(-candidates["first_stage_rank"].astype("Float64")),
        "content": _or_last(candidates["signal_taste"]),
    }
    parts = []
    for name, values in scores.items():
        part = candidates[[PROTOCOL, USER, POSITION, ITEM, IS_TARGET]].copy()
        part[ROW], part[SCORE], part["p"] = name, values, np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[RANKING_COLUMNS]


def _or_last(scores: pd.Series) -> Float[np.ndarray, " rows"]:
    """Return scores; what is not known is behind all that is."""
    known = scores.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isnan(known), -np.inf, known)


def _placed(parts: Sequence[np.ndarray], rows: np.ndarray) -> Float[np.ndarray, " rows"]:
    """Bring the scores of the lists, one after the other, to their rows."""
    scores = np.empty(len(rows))
    scores[rows] = np.concatenate(parts)
    return scores


def _lists(
    candidates: pd.DataFrame, queries: pd.DataFrame
) -> tuple[list[tuple[list[str], int | None, str]], list[list[str]], np.ndarray]:
    """Return each list's history, time and user, its items, and the row numbers of all items in ``candidates``."""
    known = {
        (user, position): (list(history), before(time), str(user))
        for user, position, history, time in queries[[USER, POSITION, HISTORY, TIME]].itertuples(index=False, name=None)
    }
    places = list(candidates.groupby([PROTOCOL, USER, POSITION], sort=False).indices.values())
    owners = candidates.iloc[[rows[0] for rows in places]][[USER, POSITION]].itertuples(index=False, name=None)
    asked = [known[owner] for owner in owners]
    return asked, [candidates[ITEM].iloc[rows].tolist() for rows in places], np.concatenate(places)
