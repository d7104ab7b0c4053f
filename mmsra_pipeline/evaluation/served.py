"""What is served: the first stage's candidates as the model orders them, measured over the whole catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import ITEM, POSITION, TARGET, USER
from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.lists import FIRST_STAGE_RANK, IS_TARGET
from mmsra_pipeline.evaluation.metrics import Placed, hr, mrr, ndcg
from mmsra_pipeline.resampling import QUANTILES, resampled_means
from mmsra_pipeline.retrieval.first_stage import FirstStage
from mmsra_pipeline.retrieval.orders import with_cold
from mmsra_pipeline.retrieval.views import fused

CUTOFFS = (1, 5, 10, 20)
METRICS = {"hr": hr, "ndcg": ndcg, "mrr": mrr}
FIRST = "first_stage"
WHOLE = 0
"""The depth of rows that order the whole catalogue."""
VIEWS = (FIRST, "sasrec", "cooccurrence_as_of", "popularity_as_of")
COLUMNS = [
    ROW, "depth", "users", "metric", "value", "low", "high", "difference", "difference_low", "difference_high",
]  # fmt: skip


@dataclass(frozen=True)
class Orders:
    """What each row puts first for each query, and where it puts what came next."""

    rows: list[tuple[str, int]]
    """Names of rows, with the depth that they reorder; ``WHOLE``: they order the whole catalogue."""
    ranks: Float[np.ndarray, "queries rows"]
    """Rank of the target from 1; inf where a row does not give it."""
    tops: list[list[list[str]]]
    """The first items, by row and query."""


def served_orders(
    stage: FirstStage,
    queries: pd.DataFrame,
    lists: pd.DataFrame,
    scores: Mapping[tuple[str, int], Float[np.ndarray, " rows"]],
) -> Orders:
    """Order the catalogue for each query by the first stage, its views, and the scores of its best candidates.

    A score reorders the first ``depth`` candidates, equal ones as the first stage has them, and leaves the others
    behind them. The views know the query's time but for the sequential model, which was trained on all of training.

    Args:
        stage: the first stage.
        queries: rows of ``sequences`` with a target, one a user.
        lists: user_id, position, item_id and first_stage_rank of the candidates that were scored.
        scores: of the rows of ``lists``, by name of the row and depth: how many candidates are reordered.
    """
    names = [*((name, WHOLE) for name in VIEWS), *scores]
    most, deepest = max(CUTOFFS), max((depth for _, depth in scores), default=0)
    place = {item: number for number, item in enumerate(stage.items)}
    groups = lists.groupby([USER, POSITION], sort=False).indices
    ranks = np.full((len(queries), len(names)), np.inf)
    tops: list[list[list[str]]] = [[] for _ in names]
    items, first_ranks = lists[ITEM].to_numpy(), lists[FIRST_STAGE_RANK].to_numpy(dtype=np.int64)
    for number, (views, target) in enumerate(zip(stage.views(queries, deepest), queries[TARGET], strict=True)):
        served = with_cold(fused(views), views.cold, stage.cold_share, len(stage.items))
        whole = [served, views.encoder, views.cooccurrence, views.popular]
        orders = [[stage.items[at] for at in order[:most]] for order in whole]
        found = [_rank(order, place.get(target, -1)) for order in whole]
        own = np.asarray(groups.get((views.user, views.position), []), dtype=np.int64)
        own = own[np.argsort(first_ranks[own], kind="stable")]
        for (_, depth), values in scores.items():
            best = own[:depth][np.argsort(-values[own[:depth]], kind="stable")]
            order = [str(item) for item in items[best]]
            found.append(order.index(target) + 1 if target in order else max(found[0], depth + 1.0))
            orders.append([*order, *(stage.items[at] for at in served[depth:most])][:most])
        ranks[number] = found
        for row, order in enumerate(orders):
            tops[row].append(order)
    return Orders(names, ranks, tops)


def served_table(orders: Orders, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return HR, NDCG and MRR at ``CUTOFFS`` over the whole catalogue, in percent.

    With one target a query HR@k is recall@k too. The difference is that from the first stage's own order, paired by
    user; all intervals are 95 % by the same resamples of users.

    Returns:
        Columns ``COLUMNS``; ``depth`` is 0 for rows that order the whole catalogue.
    """
    keys = [(name, k) for k in CUTOFFS for name in METRICS]
    values = np.stack(
        [[METRICS[name](_placed(ranks), k) for name, k in keys] for ranks in orders.ranks.T], axis=0
    )  # rows, metrics, queries
    rows, metrics, queries = values.shape
    flat = 100 * values.transpose(2, 0, 1).reshape(queries, rows * metrics)
    samples = resampled_means(flat, bootstrap, seed).reshape(-1, rows, metrics)
    means = flat.mean(axis=0).reshape(rows, metrics)
    low, high = np.percentile(samples, QUANTILES, axis=0)
    less_low, less_high = np.percentile(samples - samples[:, :1], QUANTILES, axis=0)
    entries = []
    for row, (name, depth) in enumerate(orders.rows):
        for column, (metric, k) in enumerate(keys):
            at = (row, column)
            numbers = (means[at], low[at], high[at], means[at] - means[0, column], less_low[at], less_high[at])
            entries.append((name, depth, queries, f"{metric}@{k}", *numbers))
    return pd.DataFrame(entries, columns=COLUMNS)


def in_lists(queries: pd.DataFrame, lists: pd.DataFrame) -> float:
    """Return the share of queries whose target is among their candidates."""
    return float(lists.groupby([USER, POSITION])[IS_TARGET].any().sum() / len(queries)) if len(queries) else 0.0


def _placed(ranks: Float[np.ndarray, " queries"]) -> Placed:
    """Say as a place what ranks without ties say."""
    bounded = np.minimum(ranks, 10**9).astype(np.int64) - 1
    return Placed(bounded, np.zeros_like(bounded), np.full_like(bounded, 10**9))


def _rank(order: Int[np.ndarray, " places"], place: int) -> float:
    found = np.flatnonzero(order == place)
    return float(found[0] + 1) if len(found) else np.inf
