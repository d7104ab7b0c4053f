"""Times and ratings out of text, and why a cell cannot be one."""

import numpy as np
import pandas as pd

LATEST_MS = 7_258_118_400_000  # 2200-01-01
MILLISECONDS = 1e11  # a number from here on counts milliseconds: as seconds it would lie after the year 5100
MICROSECONDS = 1e14


def parse_times(text: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Read times: ISO 8601 (UTC where no zone is given), or seconds or milliseconds since 1970, told by their size.

    Args:
        text: cells, null where empty.

    Returns:
        Int64 milliseconds (null where unusable), and the reason per cell ("" where usable). A column without any
        time is usable and all null: such data have order but no times. One unit holds for the column: a number of
        another size than most is refused, since reading it either way would misplace the interaction.
    """
    reasons = pd.Series("", index=text.index, dtype="str")
    times = pd.Series(pd.NA, index=text.index, dtype="Int64")
    if text.isna().all():
        return times, reasons
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    numeric = numbers.notna()
    in_ms = numbers.abs() >= MILLISECONDS
    mostly_ms = bool(in_ms[numeric].mean() >= 0.5) if numeric.any() else False
    times[numeric] = _whole(numbers[numeric] * (1 if mostly_ms else 1000))
    dates = pd.to_datetime(text.where(~numeric), format="ISO8601", utc=True, errors="coerce")
    dated = dates.notna()
    times[dated] = dates[dated].dt.as_unit("ms").astype("int64").astype("Int64")
    unit, other = ("milliseconds", "seconds") if mostly_ms else ("seconds", "milliseconds")
    too_large = numeric & (numbers.abs() >= MICROSECONDS)
    flaws = [
        (text.isna(), "timestamp is empty"),
        (text.notna() & ~numeric & ~dated, "timestamp is neither ISO 8601 nor a number of (milli)seconds since 1970"),
        (too_large, "timestamp is neither seconds nor milliseconds since 1970"),
        (numeric & (in_ms != mostly_ms), f"timestamp looks like {other}, but most of the column is {unit}"),
        ((times < 0) | (times > LATEST_MS), "timestamp does not lie between 1970 and 2200"),
    ]
    for flawed, reason in flaws:
        reasons = reasons.mask((reasons == "") & flawed.fillna(False).astype(bool), reason)
    return times.mask(reasons != ""), reasons


def parse_ratings(text: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Read ratings: float64, null where empty; and the reason per cell ("" where usable)."""
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    flawed = text.notna() & ~np.isfinite(numbers)
    reasons = pd.Series("", index=text.index, dtype="str").mask(flawed, "rating is not a number")
    return numbers.mask(flawed), reasons


def _whole(numbers: pd.Series) -> pd.Series:
    bounded = numbers.clip(-9e15, 9e15)  # what is beyond is refused by its size; floats hold whole numbers to here
    return bounded.round().astype("int64").astype("Int64")
