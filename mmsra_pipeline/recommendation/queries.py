"""Queries: users at a moment."""

from dataclasses import dataclass

import pandas as pd

from mmsra_pipeline.columns import HISTORY, POSITION, TIME, USER


@dataclass(frozen=True)
class Query:
    """A user at a moment: after how many interactions, with which history (oldest first), when (ms; None: unknown)."""

    user: str
    position: int
    history: tuple[str, ...]
    before: int | None


def queries_of(sequences: pd.DataFrame) -> list[Query]:
    """Return one query per row of ``sequences``, in the order of the rows."""
    rows = zip(sequences[USER], sequences[POSITION], sequences[HISTORY], sequences[TIME])
    return [
        Query(str(user), int(position), tuple(history), None if pd.isna(time) else int(time))
        for user, position, history, time in rows
    ]
