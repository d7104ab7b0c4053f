"""Two data sets, such as variants of one, compared user by user."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import POSITION, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.evaluation.baselines import ORDER, ROW
from mmsra_pipeline.evaluation.lists import PROTOCOL
from mmsra_pipeline.evaluation.pairwise import holm, paired_p
from mmsra_pipeline.resampling import QUANTILES, resampled_means

COLUMNS = [PROTOCOL, ROW, "metric", "users", "first", "second", "difference", "low", "high", "p_value", "p_holm"]


def compare(
    first: pd.DataFrame, second: pd.DataFrame, metrics: Sequence[str], bootstrap: int, seed: int
) -> pd.DataFrame:
    """Compare what two data sets measured of the same queries.

    Args:
        first: the table ``user_metrics`` of one.
        second: that of the other.
        metrics: columns of both.
        bootstrap: resamples of the users.
        seed: of the resamples.

    Returns:
        Columns ``COLUMNS`` in percent and points; ``difference`` is the second less the first, paired by user, with its
        95 % interval; ``p_holm`` is corrected over all lines of a metric. Rows that only one has are left out.

    Raises:
        DataError: if no query and row is in both.
    """
    keys = [PROTOCOL, ROW, USER, POSITION]
    both = first[[*keys, *metrics]].merge(second[[*keys, *metrics]], on=keys, suffixes=(" 1", " 2"))
    if both.empty:
        raise DataError(
            f"the two data sets have no test query in common ({first[USER].nunique()} and {second[USER].nunique()} "
            "users), so they cannot be compared by user. Compare variants of one data set, with the same "
            "`interactions`, `seed` and `evaluation.users`."
        )
    entries: list[list[object]] = []
    for protocol in both[PROTOCOL].unique():
        rows = set(both.loc[both[PROTOCOL] == protocol, ROW])
        for row in [*(name for name in ORDER if name in rows), *sorted(rows - set(ORDER))]:
            own = both[(both[PROTOCOL] == protocol) & (both[ROW] == row)]
            for metric in metrics:
                values = 100 * own[[f"{metric} 1", f"{metric} 2"]].to_numpy(dtype=np.float64)
                less = values[:, 1] - values[:, 0]
                low, high = np.percentile(resampled_means(less[:, None], bootstrap, seed), QUANTILES, axis=0)
                means = values.mean(axis=0).tolist()
                numbers = [float(less.mean()), float(low[0]), float(high[0]), paired_p(less)]
                entries.append([protocol, row, metric, len(own), *means, *numbers, np.nan])
    table = pd.DataFrame(entries, columns=COLUMNS)
    for metric in metrics:
        of_metric = table["metric"] == metric
        table.loc[of_metric, "p_holm"] = holm(table.loc[of_metric, "p_value"].to_numpy())
    return table
