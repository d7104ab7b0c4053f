"""How many users took each item."""

from collections.abc import Sequence

import pandas as pd

from mmsra_pipeline.columns import ITEM


def popularity(training: pd.DataFrame, items: Sequence[str]) -> pd.Series:
    """Count the training interactions of each item; 0 for items without any.

    Args:
        training: rows of ``interactions`` that training may see.
        items: the items asked for; the result has their order.
    """
    counts = training[ITEM].value_counts()
    counts.index = counts.index.astype("str")  # it may be of categories, which know no other items
    return counts.reindex(list(items), fill_value=0).rename("users").astype("int64")
