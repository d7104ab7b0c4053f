"""What every row is worth on every single list: from it anyone computes all other numbers again."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import POSITION, USER
from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.measuring import Measured
from mmsra_pipeline.evaluation.metrics import Placed, auc_user, hr, mrr, ndcg
from mmsra_pipeline.resampling import QUANTILES, resampled_means

CUTOFFS = (1, 5, 10)
METRICS = {"hr": hr, "ndcg": ndcg, "mrr": mrr}
PLACE = ["higher", "equal", "negatives"]


def user_metrics_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return one row per protocol, row and list.

    Returns:
        ``protocol``, ``row``, ``user_id``, ``position``; ``higher``, ``equal`` and ``negatives``: how many negatives
        the row scores higher than the target, how many the same, and how many there are; HR, NDCG and MRR at
        ``CUTOFFS`` and ``auc_user``, from 0 to 1.
    """
    parts = []
    for one in measured:
        for row, at in zip(one.rows, one.at, strict=True):
            part = one.queries[[USER, POSITION]].copy()
            part.insert(0, PROTOCOL, one.protocol)
            part.insert(1, ROW, row)
            for name in PLACE:
                part[name] = getattr(at, name)
            for name, metric in METRICS.items():
                for k in CUTOFFS:
                    part[f"{name}@{k}"] = metric(at, k)
            parts.append(part.assign(auc_user=auc_user(at)))
    return pd.concat(parts, ignore_index=True)


def curves(per_user: pd.DataFrame, longest: int, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return HR, NDCG and MRR over k, in percent, with 95 % intervals over users.

    Args:
        per_user: of :func:`user_metrics_table`.
        longest: the last k; lists may be shorter.
        bootstrap: resamples of the users.
        seed: of the resamples.

    Returns:
        ``protocol``, ``row``, ``metric`` (hr, ndcg, mrr), ``k``, ``value``, ``low``, ``high``.
    """
    entries = []
    for (protocol, row), group in per_user.groupby([PROTOCOL, ROW], sort=False):
        at = Placed(*(group[name].to_numpy() for name in PLACE))
        ks = range(1, min(longest, int(at.negatives.max()) + 1) + 1)
        keys = [(name, k) for name in METRICS for k in ks]
        values = 100 * np.stack([METRICS[name](at, k) for name, k in keys], axis=1)
        low, high = np.percentile(resampled_means(values, bootstrap, seed), QUANTILES, axis=0)
        for (name, k), *numbers in zip(keys, values.mean(axis=0), low, high, strict=True):
            entries.append((protocol, row, name, k, *numbers))
    return pd.DataFrame(entries, columns=[PROTOCOL, ROW, "metric", "k", "value", "low", "high"])
