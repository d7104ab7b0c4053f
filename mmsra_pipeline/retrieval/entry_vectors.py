"""Vectors of every moment of many histories, where one pass over a history gives those of all its beginnings."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from mmsra_pipeline.columns import POSITION, START, USER
from mmsra_pipeline.interactions.histories import Histories
from mmsra_pipeline.retrieval.user_encoder.model import UserEncoder

ROWS_TOGETHER: Final = 65_536


def vectors_by_user(
    encoder: UserEncoder, rows: pd.DataFrame, histories: Histories
) -> Iterator[tuple[Int[np.ndarray, " part"], Float[np.ndarray, "part dim"]]]:
    """Return the vector of each row of ``sequences``, some users at a time: places in ``rows``, and their vectors.

    A history that is all of what its user took so far, no longer than the encoder reads and of items that it knows, is
    a beginning of the user's; the others are embedded one by one. The vectors are those of ``UserEncoder.embed`` up to
    rounding.

    Args:
        encoder: a causal network: what comes later in a history changes no earlier state.
        rows: sorted by user and position.
        histories: what the users took.
    """
    code = np.append(encoder.codes_of(histories.items), 0)
    begins, ends = histories.bounds(rows)
    position, start = rows[POSITION].to_numpy(np.int64), rows[START].to_numpy(np.int64)
    users = np.flatnonzero(~rows[USER].duplicated().to_numpy())
    limits = np.append(users, len(rows))
    unknown = np.concatenate([[0], np.cumsum(code[histories.codes] == 0)])  # which are passed over
    whole = (start == 0) & (position <= encoder.config.max_length) & (unknown[ends] == unknown[begins])
    for first, last in _groups(limits):
        part = np.arange(first, last)
        vectors = np.zeros((len(part), encoder.config.dim), dtype=np.float32)
        simple = part[whole[part]]
        if len(simple):
            owner = np.searchsorted(users, simple, side="right")
            change = np.flatnonzero(np.diff(owner, append=-1))  # the last simple row of each user
            longest: list[int] = simple[change].tolist()
            own_user = np.cumsum(np.diff(owner, prepend=owner[0]) != 0)
            entry_codes = [code[histories.codes[int(begins[row]) : int(ends[row])]] for row in longest]
            states = encoder.embed_beginnings(entry_codes)
            offset = np.concatenate([[0], np.cumsum([len(one) for one in entry_codes])])
            vectors[simple - first] = states[offset[own_user] + position[simple] - 1]
        others = part[~whole[part]]
        if len(others):
            sizes = ends[others] - begins[others]
            place = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - begins[others], sizes)
            vectors[others - first] = encoder.embed_codes(code[histories.codes[place]], sizes)
        yield part, vectors


def _groups(limits: np.ndarray) -> Iterator[tuple[int, int]]:
    """Return stretches of rows of whole users, about ``ROWS_TOGETHER`` long."""
    first = 0
    while first < limits[-1]:
        last = int(limits[min(int(np.searchsorted(limits, first + ROWS_TOGETHER)), len(limits) - 1)])
        yield first, last
        first = last
