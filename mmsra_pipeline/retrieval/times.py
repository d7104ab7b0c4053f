"""Times as numbers that can be compared, where some or all are unknown."""

import numpy as np
import pandas as pd
from jaxtyping import Int

from mmsra_pipeline.errors import DataError

HOUR = 3_600_000  # milliseconds
DAY = 24 * HOUR
NEVER = np.iinfo(np.int64).max  # an unknown time lies before nothing


def milliseconds(times: pd.Series) -> Int[np.ndarray, " rows"]:
    """Return times as int64; unknown ones as ``NEVER``, so that ``time < t`` holds only where it is known to.

    A Parquet round trip turns nullable integers into floats and all-null columns into objects; both are read.

    >>> milliseconds(pd.Series([5, None])).tolist() == [5, NEVER]
    True
    """
    return times.astype("Int64").to_numpy(dtype=np.int64, na_value=NEVER)


def before(time: object) -> int | None:
    """Return a query's time for ``before=``: None where it is unknown, which means that everything counts."""
    return None if pd.isna(time) or time == NEVER else int(time)  # type: ignore[call-overload]  # a scalar of pandas


def require_times(untimed: int, total: int) -> None:
    """Refuse to measure how long ago, or how far apart, interactions are of which some have no time.

    Raises:
        DataError: if ``untimed`` of ``total`` interactions have none.
    """
    if untimed:
        raise DataError(
            f"{untimed} of {total} training interactions have no time, so their sessions and age are unknown. Unset "
            "retrieval.cooccurrence.session_hours and retrieval.cooccurrence.half_life_days, which need times."
        )
