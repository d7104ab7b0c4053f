"""What a recommender has to beat, on the same candidate lists."""

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, SCORE, USER
from mmsra_pipeline.evaluation.candidates import IS_TARGET, PROTOCOL
from mmsra_pipeline.retrieval.cooccurrence_index import CooccurrenceIndex
from mmsra_pipeline.retrieval.encoder import UserEncoder
from mmsra_pipeline.retrieval.popularity import popularity

ROW = "row"
RANKING_COLUMNS = [PROTOCOL, ROW, USER, POSITION, ITEM, IS_TARGET, SCORE, "p"]


def baseline_scores(
    candidates: pd.DataFrame,
    queries: pd.DataFrame,
    training: pd.DataFrame,
    index: CooccurrenceIndex,
    encoder: UserEncoder,
    seed: int,
) -> pd.DataFrame:
    """Score each candidate four times: at random, by popularity, by co-occurrence and by the sequential model.

    All see the whole training data, later than the query or not, as in the literature: a bar that is rather too high
    than too low for a recommender whose context is as of the query.

    Args:
        candidates: the lists.
        queries: rows of ``sequences`` that the lists belong to; their histories are scored.
        training: rows of ``interactions`` that training may see.
        index: of co-occurrences in ``training``.
        encoder: the sequential model; its row is called ``sasrec`` also where the settings chose another kind.
        seed: of the random row.

    Returns:
        The columns of ``rankings``; ``p`` is missing, for these scores are no probabilities.
    """
    if queries.duplicated([USER, POSITION]).any():
        raise ValueError("queries hold a user and position twice")
    histories, wanted, rows = _lists(candidates, queries)
    scores = {
        "random": np.random.default_rng(seed).random(len(candidates)),
        "popularity": popularity(training, candidates[ITEM].tolist()).to_numpy(dtype=np.float64),
        "cooccurrence": np.empty(len(candidates)),
        "sasrec": np.empty(len(candidates)),
    }
    joined = [index.score(history, items) for history, items in zip(histories, wanted, strict=True)]
    scores["cooccurrence"][rows] = np.concatenate(joined)
    scores["sasrec"][rows] = np.concatenate(encoder.score(histories, wanted))
    parts = []
    for name, values in scores.items():
        part = candidates.copy()
        part[ROW], part[SCORE], part["p"] = name, values, np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[RANKING_COLUMNS]


def _lists(candidates: pd.DataFrame, queries: pd.DataFrame) -> tuple[list[list[str]], list[list[str]], np.ndarray]:
    """Give each list's history, its items, and the row numbers of all items in ``candidates``."""
    history_of = queries.set_index([USER, POSITION])[HISTORY].to_dict()
    places = list(candidates.groupby([PROTOCOL, USER, POSITION], sort=False).indices.values())
    owners = candidates.iloc[[rows[0] for rows in places]][[USER, POSITION]].itertuples(index=False, name=None)
    histories = [list(history_of[owner]) for owner in owners]
    return histories, [candidates[ITEM].iloc[rows].tolist() for rows in places], np.concatenate(places)
