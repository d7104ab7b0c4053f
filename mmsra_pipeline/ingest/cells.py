"""Times and ratings out of text, and why a cell cannot be one."""

import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mmsra_pipeline.ingest.row_checks import LATEST_MS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unit:
    """What a number of a column of times counts."""

    name: str
    least: float
    """Smallest size of a number that counts this; what is smaller counts the unit before."""
    per_millisecond: float


# As seconds, a number from 10^11 on would lie after the year 5100; as milliseconds, one from 10^14 on likewise.
UNITS = (Unit("seconds", 0, 1e-3), Unit("milliseconds", 1e11, 1.0), Unit("microseconds", 1e14, 1e3))
BEYOND = 1e17
DAY = r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # 20240229: a day, not a second of August 1970


@dataclass
class TimeReader:
    """Reads a column of times chunk by chunk: ISO 8601 (UTC where no zone is given), days like 20240229, or numbers.

    What numbers count, seconds, milliseconds or microseconds since 1970, is told by the size of most in the first chunk
    and holds for the column: a number of another size is refused, since reading it either way would misplace the
    interaction. A column whose first chunk has no time has none: such data have order but no times.
    """

    source: str
    """What is read, for the log."""
    stated: bool = False
    unit: Unit | None = None
    days: bool = field(default=False)
    none: bool = field(default=False)

    def read(self, text: pd.Series) -> tuple[pd.Series, pd.Series]:
        """Return Int64 milliseconds (null where unusable), and the reason of each cell ("" where usable).

        Args:
            text: cells, null where empty.
        """
        reasons = pd.Series("", index=text.index, dtype="str")
        times = pd.Series(pd.NA, index=text.index, dtype="Int64")
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
        if not self.stated and len(text):
            self._tell(text, numbers)
        if self.none:
            return times, reasons.mask(text.notna(), "has a timestamp, but the first rows of the column have none")
        numeric = numbers.notna()
        if self.days:
            numeric &= ~text.str.fullmatch(DAY).fillna(False).astype(bool)
        unit = self.unit or UNITS[0]
        times[numeric] = _whole(numbers[numeric] / unit.per_millisecond)
        dates = pd.to_datetime(text.where(~numeric), format="ISO8601", utc=True, errors="coerce")
        dated = dates.notna()
        times[dated] = dates[dated].dt.as_unit("ms").astype("int64").astype("Int64")
        size = _sizes(numbers)
        flaws = [
            (text.isna(), "timestamp is empty"),
            (text.notna() & ~numeric & ~dated, "timestamp is neither ISO 8601 nor a number of a unit since 1970"),
            (numeric & self.days, "timestamp is no day like 20240229, as the column's are"),
            (numeric & (numbers.abs() >= BEYOND), "timestamp is too large for microseconds since 1970"),
            (
                numeric & (size != UNITS.index(unit)),
                f"timestamp is of another size than {unit.name}, as the column's are",
            ),
            ((times < 0) | (times > LATEST_MS), "timestamp does not lie between 1970 and 2200"),
        ]
        for flawed, reason in flaws:
            reasons = reasons.mask((reasons == "") & flawed.fillna(False).astype(bool), reason)
        return times.mask(reasons != ""), reasons

    def _tell(self, text: pd.Series, numbers: pd.Series) -> None:
        """Find out what the column holds, and state it."""
        self.stated = True
        self.none = bool(text.isna().all())
        day = text.str.fullmatch(DAY).fillna(False).astype(bool)
        numeric = numbers.notna()
        self.days = bool(numeric.any() and day[numeric].mean() > 0.5)
        if numeric.any() and not self.days:
            self.unit = UNITS[int(np.bincount(_sizes(numbers[numeric])).argmax())]
        if self.none:
            found = "none; the order of rows is the order of time"
        elif self.days:
            found = "days written as YYYYMMDD"
        else:
            found = f"{self.unit.name} since 1970" if self.unit else "ISO 8601"
        logger.info("%s: timestamps are %s, told from the first %d rows", self.source, found, len(text))


def parse_ratings(text: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Read ratings: float64, null where empty; and the reason per cell ("" where usable)."""
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    flawed = text.notna() & ~np.isfinite(numbers)
    reasons = pd.Series("", index=text.index, dtype="str").mask(flawed, "rating is not a number")
    return numbers.mask(flawed), reasons


def _sizes(numbers: pd.Series) -> np.ndarray:
    """Return the place in ``UNITS`` of what a number of this size counts."""
    return np.searchsorted([unit.least for unit in UNITS[1:]], numbers.abs().fillna(0), side="right")


def _whole(numbers: pd.Series) -> pd.Series:
    bounded = numbers.clip(-9e15, 9e15)  # what is beyond is refused by its size; floats hold whole numbers to here
    return bounded.round().astype("int64").astype("Int64")
