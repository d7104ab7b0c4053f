"""Recall of the first stage: how often what came next is among the candidates out of the whole catalogue."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from mmsra_pipeline.columns import TARGET
from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.retrieval.first_places import Seen
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.popularity import popularity
from mmsra_pipeline.telemetry.progress import Progress

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
    places = pd.Index(np.array(stage.items, dtype=object)).get_indexer(np.array(queries[TARGET], dtype=object))
    users = popularity(training, stage.items).to_numpy()
    favourites = np.argsort(-users, kind="stable")[: np.count_nonzero(users)]
    favourite = np.full(len(stage.items) + 1, MISSED)  # the last: what is not in the catalogue
    favourite[favourites] = np.arange(1, len(favourites) + 1)
    parts, done = [], 0
    progress = Progress("first stage", len(queries), "queries")
    for best in stage.best(queries, max(CUTOFFS)):
        target = places[done : done + len(best.queries)]
        orders = (best.encoder, best.cooccurrence, best.fused, best.first_stage)
        popular = _rank_of_favourite(target, favourite, best.seen)
        parts.append(np.stack([popular, *(_ranks(order, target) for order in orders)], axis=1))
        done += len(target)
        progress.advance(len(target))
    ranks = np.concatenate(parts)
    hits = np.concatenate([ranks <= k for k in CUTOFFS], axis=1).astype(np.float64)
    low, high = np.percentile(resampled_means(hits, bootstrap, seed), QUANTILES, axis=0)
    table = pd.DataFrame({ROW: ROWS * len(CUTOFFS), "k": np.repeat(CUTOFFS, len(ROWS)), "n": len(queries)})
    table["recall"], table["low"], table["high"] = 100 * hits.mean(axis=0), 100 * low, 100 * high
    return table[COLUMNS]


def _ranks(order: Int[np.ndarray, "queries count"], target: Int[np.ndarray, " queries"]) -> np.ndarray:
    """Return the rank of each query's place, from 1; ``MISSED`` where the order has it not."""
    found = (order == target[:, None]) & (target >= 0)[:, None]
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1, MISSED)


def _rank_of_favourite(target: Int[np.ndarray, " queries"], favourite: np.ndarray, seen: Seen) -> np.ndarray:
    """Return the rank of each place among the favourites that its user had not taken."""
    rank = favourite[target]
    seen_keys = np.unique(seen.query * len(favourite) + seen.place)
    query, place = seen_keys // len(favourite), seen_keys % len(favourite)
    before = np.bincount(query, favourite[place] < rank[query], minlength=len(target)).astype(np.int64)
    own = np.isin(np.arange(len(target)) * len(favourite) + target, seen_keys)
    return np.where(own | (rank == MISSED), MISSED, rank - before)
