"""Times that are written otherwise than by ISO 8601, brought to it: day first or month first, with names of months."""

import re
import unicodedata
from collections.abc import Callable
from typing import ClassVar, Literal

import pandas as pd

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.learning import Learner

Order = Literal["day-first", "month-first"]
CLOCK = (
    r"(?:[T, ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([AaPp])?(?:\.?[Mm]\.?)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
)
NUMERIC = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){CLOCK}")
YEAR_FIRST = re.compile(rf"(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}}){CLOCK}")
NAME = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
WEEKDAY = r"(?:[^\W\d_]{2,12}\.?,?\s+)?"
NAMED = re.compile(rf"{WEEKDAY}{DAY}[-/ ]+{NAME}\.?,?[-/ ]+(\d{{4}}|\d{{2}}(?!\d)){CLOCK}", re.IGNORECASE)
YEAR_NAMED = re.compile(rf"(\d{{4}})[-/ ]{NAME}[-/ ](\d{{1,2}}){CLOCK}", re.IGNORECASE)
NAME_FIRST = re.compile(rf"{WEEKDAY}{NAME}\.?\s+{DAY},?\s+(\d{{4}}){CLOCK}", re.IGNORECASE)
MONTHS = {name: place for place, name in enumerate(NAME[1 : NAME.index(")")].split("|"), start=1)}
GROUPED = re.compile(r"\d{1,3}([,.'\u2019\u00a0\u202f ])\d{3}(?:\1\d{3})+")
STARS = re.compile("([\u2605\u2b50\ufe0f]+)[\u2606\ufe0e]*")
SCALED = re.compile(
    r"(\d+(?:[.,]\d+)?)\s*(?:(?:/|out of|of|von|sur|de|su|av|z|из)\s*(?:5|10|100)\b)?\s*"
    r"(?:stars?|sternen?|étoiles?|estrellas?|stelle|estrelas?|points?|\u2605|\u2b50\ufe0f?)?",
    re.IGNORECASE,
)
FRACTION = re.compile(r"\d{1,3}([,.'\u2019\u00a0\u202f ])\d{3}(?:\1\d{3})*(?!\1)[.,]\d+")  # '1.234,5'
COMMA = re.compile(r"-?\d+,(\d+)")
CLEAR = 10  # times as many dates that can only be read one way, or else two ways are mixed
LEAST_DATES = 0.5  # share of dates among the cells from which a column is one of dates


def plain_number(cell: str, decimal: str | None) -> str:
    """Return a number without separators of thousands and with a decimal point, as far as it can have one reading.

    >>> plain_number("1,704,103,200", None), plain_number("4,5", None), plain_number("1,234", None)
    ('1704103200', '4.5', '1,234')
    """
    grouped = GROUPED.fullmatch(cell) or FRACTION.fullmatch(cell)
    if grouped:
        return cell.replace(grouped[1], "").replace(",", ".")
    comma = COMMA.fullmatch(cell)
    if comma and (decimal == "," or (decimal is None and len(comma[1]) != 3)):
        return cell.replace(",", ".")
    return cell


def plain_rating(cell: str) -> str:
    """Return the number of a rating that is written with its scale, or as stars.

    >>> plain_rating("4.0 out of 5 stars"), plain_rating("4/5"), plain_rating("good")
    ('4.0', '4', 'good')
    """
    if not cell.isascii():
        cell = "".join(str(unicodedata.decimal(char, char)) for char in unicodedata.normalize("NFKC", cell))
    stars = STARS.fullmatch(cell)
    if stars:
        return str(len(stars[1].replace("\ufe0f", "")))
    scaled = SCALED.fullmatch(cell)
    return scaled[1] if scaled else cell


def with_signs(days: "pd.Series[str]") -> "pd.Series[str]":
    """Return digits as ISO 8601: '20240229101500' as '20240229T101500', '202402' as '2024-02'."""
    clock = days.str.replace(r"^(\d{8})(\d{4,6})(\d{3})?$", r"\1T\2.\3", regex=True).str.replace(r"\.$", "", regex=True)
    return clock.str.replace(r"^(\d{4})(\d{2})$", r"\1-\2", regex=True)


class DateForms(Learner):
    """Brings dates of a column to ISO 8601; whether the day or the month is first is detected once and holds for it."""

    OUTER: ClassVar = frozenset({"_source", "_say"})

    def __init__(self, source: str, stated: Order | None, say: Callable[[str], None]) -> None:
        self._source = source
        self._order = stated
        self._say = say

    def iso(self, cells: "pd.Series[str]", column: "pd.Series[str]") -> "pd.Series[str]":
        """Return cells as ISO 8601 where they are dates; others as they are.

        Args:
            cells: those that are neither numbers nor ISO 8601.
            column: all cells of the chunk.

        Raises:
            DataError: if most cells are dates that can be read with the day or the month first.
        """
        found = {cell: NUMERIC.fullmatch(cell) for cell in cells.unique()}
        dates = {cell: match for cell, match in found.items() if match}
        if dates and self._order is None:
            self._tell(dates, cells, column)
        return cells.map(lambda cell: self._one(cell, found[cell]))

    def _tell(self, dates: "dict[str, re.Match[str]]", cells: "pd.Series[str]", column: "pd.Series[str]") -> None:
        day = [cell for cell, match in dates.items() if int(match[1]) > 12 >= int(match[3]) or match[2] == "."]
        month = [cell for cell, match in dates.items() if int(match[3]) > 12 >= int(match[1]) and match[2] != "."]
        if len(day) > CLEAR * len(month):
            self._order, example = "day-first", day[0]
        elif len(month) > CLEAR * len(day):
            self._order, example = "month-first", month[0]
        else:
            written = cells.isin(dates)
            if written.sum() <= LEAST_DATES * max(int(column.notna().sum()), 1):
                return  # a few in a column of other times: those rows are refused
            mixed = f" as {day[0]!r} and {month[0]!r} show" if day and month else ""
            raise DataError(
                f"{self._source}: the timestamp {cells[written].iloc[0]!r} may have the day or the month first{mixed}. "
                "State it in the data set's YAML: `time_format: day-first` or `time_format: month-first`."
            )
        self._say(f"times are {self._order}, as {example!r} shows")

    def _one(self, cell: str, numeric: "re.Match[str] | None") -> str:
        if numeric:
            first, _, second, year, *clock = numeric.groups()
            if self._order is None:
                return cell
            day, month = (first, second) if self._order == "day-first" else (second, first)
            return _iso(_whole_year(year), month, day, clock) or cell
        if match := YEAR_FIRST.fullmatch(cell):
            year, month, day, *clock = match.groups()
        elif match := NAMED.fullmatch(cell):
            day, name, year, *clock = match.groups()
            year, month = _whole_year(year), str(MONTHS[name.lower()])
        elif match := YEAR_NAMED.fullmatch(cell):
            year, name, day, *clock = match.groups()
            month = str(MONTHS[name.lower()])
        elif match := NAME_FIRST.fullmatch(cell):
            name, day, year, *clock = match.groups()
            month = str(MONTHS[name.lower()])
        else:
            return cell
        return _iso(year, month, day, clock) or cell


def _whole_year(year: str) -> str:
    return year if len(year) == 4 else str(int(year) + (2000 if int(year) < 70 else 1900))


def _iso(year: str, month: str, day: str, clock: "list[str | None]") -> str:
    hour, minute, second, part, half, zone = clock
    at = int(hour or 0)
    if half:
        if not 1 <= at <= 12:
            return ""
        at = at % 12 + (12 if half.lower() == "p" else 0)
    return (
        f"{year}-{int(month):02}-{int(day):02}T{at:02}:{minute or '00'}:{second or '00'}"
        f"{'.' + part if part else ''}{zone or ''}"
    )
