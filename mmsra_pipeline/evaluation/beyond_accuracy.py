"""What lists are like beside being right: how much of the catalogue, how popular, how new, how varied."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from mmsra_pipeline.evaluation.baselines import ROW
from mmsra_pipeline.evaluation.served import Orders

COLUMNS = [ROW, "depth", "users", "k", "trait", "value"]
OVERLAP_COLUMNS = [ROW, "against", "k", "value"]


def traits_table(
    orders: Orders, k: int, catalogue: int, users_of: Mapping[str, int], keywords: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    r"""Measure the first ``k`` items that each row gives its users.

    Args:
        orders: of ``served_orders``.
        k: length of a list.
        catalogue: items of the catalogue.
        users_of: how many users of training took an item.
        keywords: of each item.

    Returns:
        Columns ``COLUMNS`` with the traits ``coverage``: share of the catalogue in any list; ``gini`` of how often
        items of the catalogue stand in lists, 0 even to 1 one item; ``novelty``: mean $-\log_2$ of the share of
        interactions that were with an item, one added; ``popularity``: mean users of an item; ``popularity_lift``: that
        against the first stage's order, as a factor; ``keyword_diversity``: 1 less the mean Jaccard index of the
        keywords of two items of a list.
    """
    total = max(sum(users_of.values()), 1)
    entries: list[tuple[object, ...]] = []
    first = 0.0
    for (name, depth), lists in zip(orders.rows, orders.tops, strict=True):
        tops = [order[:k] for order in lists]
        counts = Counter(item for order in tops for item in order)
        user_counts = [users_of.get(item, 0) for order in tops for item in order]
        popular = float(np.mean(user_counts)) if user_counts else math.nan
        first = first or popular
        values = {
            "coverage": len(counts) / max(catalogue, 1),
            "gini": gini([*counts.values(), *[0] * (catalogue - len(counts))]),
            "novelty": _mean([-math.log2((users + 1) / (total + 1)) for users in user_counts]),
            "popularity": popular,
            "popularity_lift": popular / first if first else math.nan,
            "keyword_diversity": _mean([_diversity(order, keywords) for order in tops]),
        }
        entries += [(name, depth, len(tops), k, trait, value) for trait, value in values.items()]
    return pd.DataFrame(entries, columns=COLUMNS)


def overlap_table(orders: Orders, k: int) -> pd.DataFrame:
    """Return how many of the first ``k`` items two rows have in common, as a share of k, mean over users.

    Returns:
        ``row``, ``against``, ``k``, ``value``; a row that reorders a depth is named with it, such as 'mmsrarec/20'.
    """
    names = [f"{name}/{depth}" if depth else name for name, depth in orders.rows]
    entries = []
    for one, other in combinations(range(len(names)), 2):
        shares = [
            len(set(left[:k]) & set(right[:k])) / k
            for left, right in zip(orders.tops[one], orders.tops[other], strict=True)
        ]
        entries.append((names[one], names[other], k, _mean(shares)))
    return pd.DataFrame(entries, columns=OVERLAP_COLUMNS)


def gini(counts: Sequence[int]) -> float:
    """Return the Gini index of counts: 0 where all are equal, near 1 where one has all.

    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 4])
    (0.0, 0.75)
    """
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    if not ordered.sum():
        return math.nan
    places = np.arange(1, len(ordered) + 1)
    return float(2 * (places * ordered).sum() / (len(ordered) * ordered.sum()) - (len(ordered) + 1) / len(ordered))


def _diversity(items: Sequence[str], keywords: Mapping[str, Sequence[str]]) -> float:
    own = [set(keywords.get(item, ())) for item in items]
    pairs = [(one, other) for one, other in combinations(own, 2) if one or other]
    return 1 - _mean([len(one & other) / len(one | other) for one, other in pairs]) if pairs else math.nan


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
