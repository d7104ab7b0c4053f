"""Interactions to sequences: one row a query, each of train, validation, test or serve."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mmsra_pipeline import columns as c
from mmsra_pipeline.config import InteractionsConfig
from mmsra_pipeline.errors import DataError

HELD_OUT_SHARE = 0.1  # of the users, for validation and again for test: 8:1:1 (sec. 4)
SEQUENCE_TYPES = {
    c.USER: "str",
    c.SPLIT: "str",
    c.POSITION: "int64",
    c.HISTORY: "object",
    c.TARGET: "str",
    c.TIME: "Int64",
}
Query = tuple[str, str, int, list[str], str | None, Any]


def build_sequences(interactions: pd.DataFrame, config: InteractionsConfig, seed: int) -> pd.DataFrame:
    """Give the queries: what a user had taken, and what came next.

    by_user: users fall 8:1:1 into train, validation and test. Every interaction of a training user but the first is a
    target; of the others only the last. leave_last_out: each user's last interaction is for test, the one before for
    validation, the earlier ones for training. Either way each user has a serve row: the whole history, no target.

    Args:
        interactions: as ``build_interactions`` gives them.
        config: the rule, and how long a history is kept.
        seed: draws the users of by_user.

    Returns:
        user_id, split, position (of the target), history (the last ``history_limit`` items before it, oldest first),
        target (null for serve), timestamp (of the target; null for serve and in data without times); sorted by user
        and position.

    Raises:
        DataError: if too few users are there to split.
    """
    users = interactions[c.USER].tolist()
    items = interactions[c.ITEM].tolist()
    times = interactions[c.TIME].tolist()
    starts = np.flatnonzero(interactions[c.POSITION] == 0).tolist()
    splits = _user_splits([users[start] for start in starts], seed) if config.split == "by_user" else {}
    rows: list[Query] = []
    for start, end in zip(starts, [*starts[1:], len(users)]):
        user = users[start]
        rows.extend(_queries(user, items[start:end], times[start:end], splits.get(user), config.history_limit))
    sequences = pd.DataFrame(rows, columns=list(SEQUENCE_TYPES)).astype(SEQUENCE_TYPES)
    _check_all_splits(sequences, len(starts))
    return sequences


def training_interactions(interactions: pd.DataFrame, sequences: pd.DataFrame) -> pd.DataFrame:
    """Give the interactions that training may see: those of users with a train row, up to their last train target.

    So of a validation or test user of by_user nothing, and of leave_last_out neither of the last two.
    """
    train = sequences[sequences[c.SPLIT] == c.TRAIN]
    last = interactions[c.USER].map(train.groupby(c.USER)[c.POSITION].max())
    return interactions[(interactions[c.POSITION] <= last).fillna(False)].reset_index(drop=True)


def _queries(user: str, items: list[str], times: list[Any], split: str | None, limit: int) -> Iterator[Query]:
    count = len(items)
    for position in range(1, count):
        part = _split_of(position, count, split)
        if part is not None:
            history = items[max(0, position - limit) : position]
            yield user, part, position, history, items[position], times[position]
    yield user, c.SERVE, count, items[-limit:], None, pd.NA


def _split_of(position: int, count: int, split: str | None) -> str | None:
    """Give the split of a target; None if it is none. ``split`` is the user's, or None under leave_last_out."""
    if split is None:
        return {count - 1: c.TEST, count - 2: c.VALIDATION}.get(position, c.TRAIN)
    return split if split == c.TRAIN or position == count - 1 else None


def _user_splits(users: list[str], seed: int) -> dict[str, str]:
    held_out = max(1, round(HELD_OUT_SHARE * len(users)))
    order = np.random.default_rng([seed, 2]).permutation(len(users))
    names = [c.VALIDATION] * held_out + [c.TEST] * held_out + [c.TRAIN] * max(0, len(users) - 2 * held_out)
    return {users[index]: name for index, name in zip(order, names)}


def _check_all_splits(sequences: pd.DataFrame, users: int) -> None:
    missing = [name for name in (c.TRAIN, c.VALIDATION, c.TEST) if name not in set(sequences[c.SPLIT])]
    if missing:
        raise DataError(
            f"{users} users give no {' and no '.join(missing)} queries. Use more data, raise interactions.user_core so "
            "that histories are long enough (4 for leave_last_out), or change interactions.split."
        )
