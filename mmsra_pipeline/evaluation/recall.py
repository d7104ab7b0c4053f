"""Recall of the first stage: how often what came next is among the candidates out of the whole catalogue."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from mmsra_pipeline.columns import TARGET
from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.retrieval.first_stage import FirstStage, Views, fused, with_cold
from mmsra_pipeline.retrieval.popularity import popularity
from mmsra_pipeline.telemetry.progress import tracked

CUTOFFS = (20, 100, 200)
ROWS = ("popularity", "encoder", "cooccurrence", "fused", "first_stage")
MISSED = np.iinfo(np.int64).max  # the rank of a target that a row does not give
COLUMNS = [ROW, "k", "recall", "low", "high", "n"]


def first_stage_recall(
    stage: FirstStage, queries: pd.DataFrame, training: pd.DataFrame, bootstrap: int, seed: int
) -> pd.DataFrame:
    """Measure recall@k in percent, with 95 % bootstrap intervals over users. One query a user is expected.

    Rows: ``popularity`` is that of all training, later than the query or not, a bar rather too high; ``encoder`` and
    ``cooccurrence`` each give only the items that they rank; ``fused`` is both, filled up by popularity as of the
    query; ``first_stage`` is fused with the places of cold items. No row gives an item that the user had taken before.
    The same resamples of users serve all rows.

    Args:
        stage: what ranks.
        queries: rows of ``sequences`` with a target.
        training: rows of ``interactions`` that training may see.
        bootstrap: number of resamples.
        seed: of the resamples.

    Returns:
        ``row``, ``k``, ``recall``, ``low``, ``high``, ``n`` (queries).
    """
    if queries.empty or queries[TARGET].isna().any():
        raise ValueError(f"{len(queries)} queries, {queries[TARGET].isna().sum()} of them without a target")
    place = {item: number for number, item in enumerate(stage.items)}
    users = popularity(training, stage.items).to_numpy()
    favourites = np.argsort(-users, kind="stable")[: np.count_nonzero(users)]
    ranks = np.empty((len(queries), len(ROWS)), dtype=np.int64)
    asked = tracked(stage.views(queries, max(CUTOFFS)), len(queries), "first stage", "queries")
    for number, (views, target) in enumerate(zip(asked, queries[TARGET], strict=True)):
        orders = _orders(views, favourites, stage.cold_share)
        ranks[number] = [_rank(orders[row], place.get(target, -1)) for row in ROWS]
    hits = np.concatenate([ranks <= k for k in CUTOFFS], axis=1).astype(np.float64)
    low, high = np.percentile(resampled_means(hits, bootstrap, seed), QUANTILES, axis=0)
    table = pd.DataFrame({ROW: ROWS * len(CUTOFFS), "k": np.repeat(CUTOFFS, len(ROWS)), "n": len(queries)})
    table["recall"], table["low"], table["high"] = 100 * hits.mean(axis=0), 100 * low, 100 * high
    return table[COLUMNS]


def _orders(views: Views, favourites: np.ndarray, cold_share: float) -> dict[str, Int[np.ndarray, " places"]]:
    """Return the order of places by row."""
    both = fused(views)
    return {
        "popularity": favourites[np.isin(favourites, views.popular, assume_unique=True)],
        "encoder": views.encoder,
        "cooccurrence": views.cooccurrence,
        "fused": both,
        "first_stage": with_cold(both, views.cold, cold_share, max(CUTOFFS)),
    }


def _rank(order: np.ndarray, place: int) -> int:
    """Return the rank of a place from 1; ``MISSED`` where the order has it not."""
    found = np.flatnonzero(order == place)
    return int(found[0]) + 1 if len(found) else MISSED
