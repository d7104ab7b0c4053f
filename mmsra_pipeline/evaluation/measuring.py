"""All rows of rankings measured at once, on the same resamples of users."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from mmsra_pipeline.columns import ITEM, POSITION, SCORE, TARGET, USER
from mmsra_pipeline.config.tree import EvaluationConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.baselines import EVIDENCE_ROW, ORDER, OURS, ROW
from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL
from mmsra_pipeline.evaluation.metrics import Placed, PooledAuc, auc_user, hr, mrr, ndcg, placed
from mmsra_pipeline.recommendation.fusion import FUSED, WITHOUT_MODEL
from mmsra_pipeline.resampling import BLOCK_CELLS, QUANTILES, resampled_weights

AUC_POOLED = "auc_pooled"
FOLLOWED = ("sasrec", EVIDENCE_ROW, WITHOUT_MODEL, OURS, FUSED)
FOLLOWED_METRICS = ("hr@", "ndcg@", "auc_user")
NEGATIVES = 32  # of a list, about: bounds the memory of a block of resamples


@dataclass(frozen=True)
class Measured:
    """What the rows of one protocol are worth, in percent."""

    protocol: str
    rows: list[str]
    metrics: list[str]
    """Those of single lists, and the pooled AUC last."""
    queries: pd.DataFrame
    """The user_id, position and target of each list."""
    at: list[Placed]
    """Where each row places the targets."""
    per_list: Float[np.ndarray, "lists rows metrics"]
    """Without the pooled AUC, which no list has of its own."""
    values: Float[np.ndarray, "rows metrics"]
    samples: Float[np.ndarray, "count rows metrics"]
    """The values on resamples of users, which are the same for all rows: differences are paired."""

    @property
    def targets(self) -> list[str]:
        """The item that came next, of each list."""
        return self.queries[TARGET].tolist()


def measure(rankings: pd.DataFrame, config: EvaluationConfig, seed: int) -> list[Measured]:
    """Measure every row of ``rankings`` under every protocol. One test query a user is expected.

    Args:
        rankings: rows of the tables ``rankings`` and ``fused_rankings``.
        config: cutoff and number of resamples.
        seed: of the resamples.

    Raises:
        DataError: if a score is missing, or if rows did not score the same lists.
    """
    found = []
    for protocol, parts in _by_protocol(rankings):
        first = next(iter(parts.values()))
        lists = first.groupby([USER, POSITION], sort=False).ngroup().to_numpy()
        is_target = first[IS_TARGET].to_numpy()
        scores = [part[SCORE].to_numpy(dtype=np.float64) for part in parts.values()]
        at = [placed(lists, is_target, each) for each in scores]
        k, users = config.cutoff, int(lists.max()) + 1
        metrics = [f"hr@{k}", f"ndcg@{k}", f"mrr@{k}", "auc_user"]
        per_list = 100 * np.stack(
            [np.stack([hr(each, k), ndcg(each, k), mrr(each, k), auc_user(each)], axis=1) for each in at], axis=1
        )
        pooled = [PooledAuc(lists, is_target, each) for each in scores]
        block = max(1, BLOCK_CELLS // (users * NEGATIVES))
        drawn = resampled_weights(users, config.bootstrap, seed, block)
        samples = np.concatenate([_weighted(per_list, pooled, weights) for weights in drawn])
        values = _weighted(per_list, pooled, np.ones((1, users)))[0]
        # Rows are sorted by list, each of which has one target.
        asked = first.loc[is_target, [USER, POSITION, ITEM]].rename(columns={ITEM: TARGET}).reset_index(drop=True)
        found.append(Measured(protocol, list(parts), [*metrics, AUC_POOLED], asked, at, per_list, values, samples))
    return found


def metrics_table(measured: list[Measured]) -> pd.DataFrame:
    """Return the metrics in percent, with 95 % bootstrap intervals over users.

    Returns:
        ``row``, ``protocol``, ``users``, ``metric``, ``value``, ``low``, ``high``.
    """
    entries = []
    for one in measured:
        low, high = np.percentile(one.samples, QUANTILES, axis=0)
        for row, name in enumerate(one.rows):
            for column, metric in enumerate(one.metrics):
                numbers = (one.values[row, column], low[row, column], high[row, column])
                entries.append((name, one.protocol, len(one.per_list), metric, *numbers))
    return pd.DataFrame(entries, columns=[ROW, PROTOCOL, "users", "metric", "value", "low", "high"])


def headline(table: pd.DataFrame) -> dict[str, float]:
    """Return the numbers to follow: HR, NDCG and AUC of the rows that matter, such as 'hr@5/uniform/mmsrarec'."""
    followed = table[table[ROW].isin(FOLLOWED) & table["metric"].str.startswith(FOLLOWED_METRICS)]
    names = followed["metric"] + "/" + followed[PROTOCOL] + "/" + followed[ROW]
    return dict(zip(names, followed["value"].to_numpy(dtype=np.float64).tolist(), strict=True))


def _weighted(per_list: np.ndarray, pooled: list[PooledAuc], weights: np.ndarray) -> np.ndarray:
    """Return each row's metrics, samples by rows by metrics, where list i counts ``weights[:, i]`` times."""
    lists, rows, metrics = per_list.shape
    means = (weights @ per_list.reshape(lists, rows * metrics)) / weights.sum(axis=1, keepdims=True)
    auc = 100 * np.stack([each.value(weights) for each in pooled], axis=1)
    return np.concatenate([means.reshape(len(weights), rows, metrics), auc[:, :, None]], axis=2)


def _by_protocol(rankings: pd.DataFrame) -> Iterator[tuple[str, dict[str, pd.DataFrame]]]:
    """Return each protocol's rows, all over the same lists in the same order."""
    missing = rankings[rankings[SCORE].isna()]
    if len(missing):
        first = missing.iloc[0]
        raise DataError(
            f"{len(missing)} of {len(rankings)} scores in `rankings` are missing (first: row {first[ROW]!r}, "
            f"user {first[USER]!r}, item {first[ITEM]!r}), so nothing can be measured. Materialize 'rankings' again."
        )
    key = [USER, POSITION, ITEM]
    for protocol, group in rankings.groupby(PROTOCOL, sort=False):
        parts = {str(name): part.sort_values(key, ignore_index=True) for name, part in group.groupby(ROW)}
        names = [name for name in ORDER if name in parts] + sorted(set(parts) - set(ORDER))
        for name in names:
            if not parts[name][[*key, IS_TARGET]].equals(parts[names[0]][[*key, IS_TARGET]]):
                raise DataError(
                    f"rows {names[0]!r} and {name!r} of `rankings` scored different candidates under protocol "
                    f"{protocol!r}, so they cannot be compared. Materialize 'rankings' again."
                )
        yield str(protocol), {name: parts[name] for name in names}
