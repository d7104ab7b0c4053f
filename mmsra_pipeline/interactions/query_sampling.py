"""Which queries a training asks about, and how many examples each of the four tasks gets."""

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import POSITION, SPLIT, TIME, TRAIN, USER, VALIDATION
from mmsra_pipeline.config.tree import RecommendationConfig, TaskWeights
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.histories import history_lengths

YES_NO = "yes_no"
CHOOSE = "choose"
NEXT_KEYWORDS = "next_keywords"
ITEM_KEYWORDS = "item_keywords"
KEYWORD_TASKS = (NEXT_KEYWORDS, ITEM_KEYWORDS)
KEY = [SPLIT, USER, POSITION]


def task_counts(examples: int, weights: TaskWeights) -> dict[str, int]:
    """Share ``examples`` among the tasks; yes/no gets what rounding leaves.

    >>> task_counts(100, TaskWeights(yes_no=0.7, choose=0.1, next_keywords=0.1, item_keywords=0.1))
    {'yes_no': 70, 'choose': 10, 'next_keywords': 10, 'item_keywords': 10}
    """
    shares = weights.model_dump()
    total = sum(shares.values())
    counts = {task: int(examples * share / total) for task, share in shares.items()}
    counts[YES_NO] += examples - sum(counts.values())
    return counts


def draw_queries(sequences: pd.DataFrame, config: RecommendationConfig, seed: int) -> pd.DataFrame:
    """Return the table ``training_queries``: split (train or validation), user_id, position.

    Of the split train are the queries that examples are made of, of the split validation those that choose the best
    step of a training.

    Raises:
        DataError: if there is no training row.
    """
    drawn = [training_queries(sequences, config, seed), validation_queries(sequences, config, seed)]
    return pd.concat([rows[KEY].astype({SPLIT: "str", USER: "str"}) for rows in drawn], ignore_index=True)


def asked_of(sequences: pd.DataFrame, drawn: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rows of ``sequences`` that were drawn for a split, in the order of the draw.

    Raises:
        DataError: if one is not there: the tables are of different runs.
    """
    wanted = drawn.loc[drawn[SPLIT] == split, KEY]
    rows = wanted.merge(sequences, on=KEY, how="left", validate="one_to_one", indicator="found")
    missing = rows[rows.pop("found") != "both"]
    if len(missing):
        first = missing.iloc[0]
        raise DataError(
            f"{len(missing)} of {len(wanted)} drawn queries have no row in `sequences` (first: {USER}={first[USER]!r}, "
            f"{POSITION}={first[POSITION]}). Materialize 'training_queries' again."
        )
    return rows[list(sequences.columns)].astype(sequences.dtypes.to_dict())


def training_queries(sequences: pd.DataFrame, config: RecommendationConfig, seed: int) -> pd.DataFrame:
    """Return the training rows of ``sequences`` that examples are made of, sorted by user and position.

    A random sample of as many as the examples need; positions with a history shorter than ``min_history``, or among
    the earliest ``early_share``, come in only if the others are too few.

    Raises:
        DataError: if there is no training row.
    """
    rng = np.random.default_rng([seed, 1])
    rows = sequences[sequences[SPLIT] == TRAIN].sort_values([USER, POSITION], kind="stable")
    if rows.empty:
        raise DataError(
            "table 'sequences' has no row of the split 'train', so there is nothing to learn from. Lower "
            "`interactions.user_core` and `interactions.item_core`, or give the dataset more interactions."
        )
    users = np.array(sorted(rows[USER].unique()), dtype=object)
    if config.training_users is not None and config.training_users < len(users):
        rows = rows[rows[USER].isin(rng.choice(users, config.training_users, replace=False))]
    counts = task_counts(config.examples, config.tasks)
    needed = counts[YES_NO] + counts[CHOOSE] + counts[NEXT_KEYWORDS]
    short = history_lengths(rows) < config.min_history
    order = np.lexsort((rng.random(len(rows)), short | _early(rows, config.early_share)))
    return rows.iloc[np.sort(order[:needed])].reset_index(drop=True)


def validation_queries(sequences: pd.DataFrame, config: RecommendationConfig, seed: int) -> pd.DataFrame:
    """Return the validation rows that choose the best step of a training, a random sample by user and position."""
    rows = sequences[sequences[SPLIT] == VALIDATION].sort_values([USER, POSITION], kind="stable")
    chosen = np.random.default_rng([seed, 4]).permutation(len(rows))[: config.validation_lists]
    return rows.iloc[np.sort(chosen)].reset_index(drop=True)


def _early(rows: pd.DataFrame, share: float) -> np.ndarray:
    times = pd.to_numeric(rows[TIME]).astype("Int64")
    return np.asarray((times < times.quantile(share)).fillna(False), dtype=bool)
