"""Times and ratings out of text, and why a cell cannot be one."""

import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.learning import Learner
from mmsra_pipeline.ingest.row_checks import LATEST_MS
from mmsra_pipeline.ingest.time_forms import DateForms, plain_number, plain_rating, with_signs
from mmsra_pipeline.ingest.time_words import plain_time

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unit:
    """What a number of a column of times counts."""

    name: str
    least: float
    """Smallest size of a number that counts this; what is smaller counts the unit before."""
    per_millisecond: float
    epoch: float = 0.0
    """Milliseconds from its zero to 1970."""


# As seconds, a number from 10^11 on would lie after the year 5100; as milliseconds, one from 10^14 on likewise.
UNITS = (
    Unit("seconds", 0, 1e-3),
    Unit("milliseconds", 1e11, 1.0),
    Unit("microseconds", 1e14, 1e3),
    Unit("nanoseconds", 1e17, 1e6),
)
TICKS = (  # of 100 ns; as nanoseconds, all times of our days would lie in one year long ago
    (6.2e17, 6.7e17, Unit("ticks of .NET", 1e17, 1e4, 62_135_596_800_000)),
    (1.24e17, 1.45e17, Unit("Windows file times", 1e17, 1e4, 11_644_473_600_000)),
)
BEYOND = 1e20
# 20240229: a day, not a second of August 1970; 20240229101500 and 202402291015 likewise
DAY = r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d(?:\d{3})?)?)?"
COARSE = r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])?"  # a year or a month
FLOAT32, LEAST_TIMES = 64, 8  # seconds that a float32 of our days is rounded to
FORMS = EXCEL, DAY_FIRST, MONTH_FIRST = "excel", "day-first", "month-first"
SERIAL_DAYS = (29_221, 73_050)  # 1980 to 2099; as seconds they would all lie on the first of January 1970
EPOCH_SERIAL = 25_569  # of 1970-01-01; Excel counts days from the end of 1899
ROUNDED = r"\d(?:[.,]\d{1,6})?[eE]\+?\d+"  # 1.70E+12 holds a time to some months
NO_TIME = (
    "timestamp is neither ISO 8601 nor a number of a unit since 1970, nor a date with one reading; state how it is "
    "written: `time_format:`"
)


@dataclass
class TimeReader(Learner):
    """Reads a column of times chunk by chunk: ISO 8601 (UTC where no zone is given), days like 20240229, or numbers.

    What numbers count, seconds to nanoseconds since 1970 or days of a spreadsheet, is seen by the size of most in the
    first chunk and holds for the column: a number of another size is refused, since reading it either way would
    misplace the interaction. So does whether dates have the day or the month first. A column whose first chunk has no
    time has none: such data have order but no times.
    """

    OUTER: ClassVar = frozenset({"source", "say"})
    KINDS: ClassVar = (Unit,)
    source: str
    """What is read, for the log."""
    stated: bool = False
    unit: Unit | None = None
    days: bool = field(default=False)
    none: bool = field(default=False)
    form: str | None = None
    """What the YAML states: 'day-first', 'month-first', 'excel', or a pattern of strptime."""
    decimal: str | None = None
    """What the YAML states: '.' or ','."""
    say: Callable[[str], None] = field(default=lambda _: None)
    """Gets notes of what is not as usual."""
    serial: bool = field(default=False)
    """Whether numbers are days of a spreadsheet."""

    def __post_init__(self) -> None:
        order = self.form if self.form in (DAY_FIRST, MONTH_FIRST) else None
        if self.form and self.form not in FORMS and "%" not in self.form:
            close = difflib.get_close_matches(self.form.replace("_", "-"), FORMS, 1, 0.4) or [FORMS[0]]
            raise DataError(
                f"{self.source}: time_format: {self.form!r} is not known. Did you mean {close[0]!r}? Write one of "
                f"{FORMS}, or a pattern such as '%d.%m.%Y %H:%M'."
            )
        self._dates = DateForms(self.source, order, self.say)  # type: ignore[arg-type]  # one of the two
        self.serial = self.form == EXCEL
        self._day = DAY

    def read(self, text: pd.Series) -> tuple[pd.Series, pd.Series]:
        """Return Int64 milliseconds (null where unusable), and the reason of each cell ("" where usable).

        Args:
            text: cells, null where empty.

        Raises:
            DataError: if the day or the month may be first, or the stated pattern is none.
        """
        reasons = pd.Series("", index=text.index, dtype="str")
        times = pd.Series(pd.NA, index=text.index, dtype="Int64")
        numbers = pd.to_numeric(text, errors="coerce").astype("float64")
        dates = self._dated(text.where(numbers.isna()))
        rest = text.notna() & numbers.isna() & dates.isna()
        if self.form and "%" in self.form:
            dates, numbers = self._by_pattern(text), numbers * np.nan
        elif rest.any():
            odd = self._dates.iso(text[rest].map(plain_time), text)
            plain = odd.map(lambda cell: plain_number(cell, self.decimal))
            numbers[rest] = pd.to_numeric(plain, errors="coerce").astype("float64")
            if numbers[rest].notna().any():
                self.say(f"times such as {text[rest][numbers[rest].notna()].iloc[0]!r} are read as numbers")
            dates[rest] = self._dated(odd.where(numbers[rest].isna()))
        if not self.stated and len(text):
            self._tell(text, numbers)
        if self.none:
            return times, reasons.mask(text.notna(), "has a timestamp, but the first rows of the column have none")
        numeric = numbers.notna()
        if self.days:
            day = text.str.fullmatch(self._day).fillna(False).astype(bool)
            numeric &= ~day
            dates = dates.where(~day, self._dated(with_signs(text.where(day))))
        unit = self.unit or UNITS[0]
        times[numeric] = self._milliseconds(numbers[numeric], unit)
        dated = dates.notna()
        times[dated] = dates[dated].dt.as_unit("ms").astype("int64").astype("Int64")
        size = _sizes(numbers)
        flaws = [
            (text.isna(), "timestamp is empty"),
            (text.notna() & ~numeric & ~dated, NO_TIME),
            (numeric & self.days, "timestamp is no day like 20240229, as the column's are"),
            (numeric & (numbers.abs() >= BEYOND), "timestamp is too large for nanoseconds since 1970"),
            (
                numeric & (size != _sizes(pd.Series([unit.least]))[0]) & (not self.serial),
                f"timestamp is of another size than {unit.name}, as the column's are",
            ),
            ((times < 0) | (times > LATEST_MS), "timestamp does not lie between 1970 and 2200"),
        ]
        for flawed, reason in flaws:
            reasons = reasons.mask((reasons == "") & flawed.fillna(False).astype(bool), reason)
        return times.mask(reasons != ""), reasons

    def _dated(self, text: pd.Series) -> pd.Series:
        return pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce").dt.as_unit("ms")

    def _by_pattern(self, text: pd.Series) -> pd.Series:
        try:
            return pd.to_datetime(text, format=self.form, utc=True, errors="coerce")
        except ValueError as error:
            raise DataError(
                f"{self.source}: time_format: {self.form!r} is no pattern of times ({error}). Write for example "
                "'%d.%m.%Y %H:%M', day-first, month-first or excel."
            ) from None

    def _milliseconds(self, numbers: pd.Series, unit: Unit) -> pd.Series:
        if self.serial:  # a spreadsheet keeps a second to some hundredths
            return _whole((numbers - EPOCH_SERIAL) * 86_400) * 1000
        return _whole(numbers / unit.per_millisecond - unit.epoch)

    def _tell(self, text: pd.Series, numbers: pd.Series) -> None:
        """Find out what the column holds, and state it."""
        self.stated = True
        self.none = bool(text.isna().all())
        day = text.str.fullmatch(DAY).fillna(False).astype(bool)
        numeric = numbers.notna()
        self.days = bool(numeric.any() and day[numeric].mean() > 0.5)
        coarse = text.str.fullmatch(COARSE).fillna(False).astype(bool)
        if numeric.any() and coarse[numeric].mean() > 0.9 and self.form is None:
            self.days, self._day = True, COARSE
            self.say(
                f"times such as {text[coarse].iloc[0]!r} are years or months; the order within one is that of rows"
            )
        if numeric.any() and not self.days:
            self.unit = UNITS[int(np.bincount(_sizes(numbers[numeric])).argmax())]
            for low, high, ticks in TICKS:
                if numbers[numeric].between(low, high).mean() > 0.9:
                    self.unit = ticks
                    self.say(f"times such as {text[numeric].iloc[0]!r} are read as {ticks.name}")
            self._say_rounded(numbers[numeric])
            if self.form is None and numbers[numeric].between(*SERIAL_DAYS).mean() > 0.9:
                self.serial = True
                self.say(f"times such as {text[numeric].iloc[0]!r} are read as days of a spreadsheet since 1899-12-30")
            rounded = text[numeric].str.fullmatch(ROUNDED).fillna(False)
            if rounded.any():
                same = int(text[numeric][rounded].duplicated(keep=False).sum())
                self.say(
                    f"{int(rounded.sum())} times of the first {len(text)} rows are rounded, such as "
                    f"{text[numeric][rounded].iloc[0]!r}, and {same} are the same as another: the order in time is "
                    "lost. Export the column as text again"
                )
        if self.none:
            found = "none; the order of rows is the order of time"
        elif self.days:
            found = "days written as YYYYMMDD"
        elif self.serial:
            found = "days of a spreadsheet since 1899-12-30"
        else:
            found = f"{self.unit.name} since 1970" if self.unit else "dates"
        logger.info("%s: timestamps are %s, detected from the first %d rows", self.source, found, len(text))

    def _say_rounded(self, numbers: pd.Series) -> None:
        """Say if all times lie as far apart as numbers of 32 bits do."""
        seconds = (numbers / (self.unit or UNITS[0]).per_millisecond / 1000).round(3)
        distinct = seconds.drop_duplicates()
        if len(distinct) >= LEAST_TIMES and (distinct % FLOAT32 == 0).all() and (distinct % 60 != 0).any():
            same = int(seconds.duplicated(keep=False).sum())
            self.say(
                f"times such as {numbers.iloc[0]:.0f} are all multiples of {FLOAT32} seconds, as float32 rounds them: "
                f"{same} of {len(seconds)} are the same as another: the order in time is lost. Write them as int64"
            )


def parse_ratings(text: pd.Series, decimal: str | None = None) -> tuple[pd.Series, pd.Series]:
    """Read ratings: float64, null where empty; and the reason per cell ("" where usable).

    Args:
        text: cells, null where empty.
        decimal: '.' or ',' where it is stated; else '4,5' is read as 4.5.
    """
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    odd = text.notna() & numbers.isna()
    if odd.any():
        plain = text[odd].map(lambda cell: plain_number(plain_rating(cell), decimal))
        numbers[odd] = pd.to_numeric(plain, errors="coerce").astype("float64")
    flawed = text.notna() & ~np.isfinite(numbers)
    reason = (
        "rating is not a number; where it has a decimal comma, state `decimal: ','`; words for no rating go under "
        "`null_words:`"
    )
    return numbers.mask(flawed), pd.Series("", index=text.index, dtype="str").mask(flawed, reason)


def _sizes(numbers: pd.Series) -> np.ndarray:
    """Return the place in ``UNITS`` of what a number of this size counts."""
    return np.searchsorted([unit.least for unit in UNITS[1:]], numbers.abs().fillna(0), side="right")


def _whole(numbers: pd.Series) -> pd.Series:
    bounded = numbers.clip(-9e15, 9e15)  # what is beyond is refused by its size; floats hold whole numbers to here
    return bounded.round().astype("int64").astype("Int64")
