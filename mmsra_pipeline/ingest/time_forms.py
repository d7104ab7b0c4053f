"""Times that are written otherwise than by ISO 8601, brought to it: day first or month first, with names of months."""

import re
from collections.abc import Callable
from typing import Literal

import pandas as pd

from mmsra_pipeline.errors import DataError

Order = Literal["day-first", "month-first"]
CLOCK = (
    r"(?:[T, ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*([AaPp])?(?:\.?[Mm]\.?)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
)
NUMERIC = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){CLOCK}")
YEAR_FIRST = re.compile(rf"(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}}){CLOCK}")
NAME = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
NAMED = re.compile(rf"(?:[a-z]{{3,9}},?\s+)?{DAY}[-/ ]+{NAME}\.?,?[-/ ]+(\d{{4}}){CLOCK}", re.IGNORECASE)
NAME_FIRST = re.compile(rf"(?:[a-z]{{3,9}},?\s+)?{NAME}\.?\s+{DAY},?\s+(\d{{4}}){CLOCK}", re.IGNORECASE)
MONTHS = {name: place for place, name in enumerate(NAME[1 : NAME.index(")")].split("|"), start=1)}
ZONE_NAMES = re.compile(r"\s*(?:UTC|GMT)$", re.IGNORECASE)
GROUPED = re.compile(r"\d{1,3}([,.'\u2019\u00a0\u202f ])\d{3}(?:\1\d{3})+")
COMMA = re.compile(r"-?\d+,(\d+)")
CLEAR = 10  # times as many dates that can only be read one way, or else two ways are mixed
TOLD_FROM = 0.5  # share of dates among the cells from which a column is one of dates


def plain_number(cell: str, decimal: str | None) -> str:
    """Return a number without separators of thousands and with a decimal point, as far as it can have one reading.

    >>> plain_number("1,704,103,200", None), plain_number("4,5", None), plain_number("1,234", None)
    ('1704103200', '4.5', '1,234')
    """
    grouped = GROUPED.fullmatch(cell)
    if grouped:
        return cell.replace(grouped[1], "")
    comma = COMMA.fullmatch(cell)
    if comma and (decimal == "," or (decimal is None and len(comma[1]) != 3)):
        return cell.replace(",", ".")
    return cell


class DateForms:
    """Brings dates of a column to ISO 8601; whether the day or the month is first is told once and holds for it."""

    def __init__(self, source: str, stated: Order | None, say: Callable[[str], None]) -> None:
        self._source = source
        self.order = stated
        """None until it was told."""
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
        if dates and self.order is None:
            self._tell(dates, cells, column)
        return cells.map(lambda cell: self._one(cell, found[cell]))

    def _tell(self, dates: "dict[str, re.Match[str]]", cells: "pd.Series[str]", column: "pd.Series[str]") -> None:
        day = [cell for cell, match in dates.items() if int(match[1]) > 12 >= int(match[3]) or match[2] == "."]
        month = [cell for cell, match in dates.items() if int(match[3]) > 12 >= int(match[1]) and match[2] != "."]
        if len(day) > CLEAR * len(month):
            self.order, shown = "day-first", day[0]
        elif len(month) > CLEAR * len(day):
            self.order, shown = "month-first", month[0]
        else:
            written = cells.isin(dates)
            if written.sum() <= TOLD_FROM * max(int(column.notna().sum()), 1):
                return  # a few in a column of other times: those rows are refused
            mixed = f" as {day[0]!r} and {month[0]!r} show" if day and month else ""
            raise DataError(
                f"{self._source}: the timestamp {cells[written].iloc[0]!r} may have the day or the month first{mixed}. "
                "State it in the data set's YAML: `time_format: day-first` or `time_format: month-first`."
            )
        self._say(f"times are {self.order}, as {shown!r} shows")

    def _one(self, cell: str, numeric: "re.Match[str] | None") -> str:
        if numeric:
            first, _, second, year, *clock = numeric.groups()
            if self.order is None:
                return cell
            day, month = (first, second) if self.order == "day-first" else (second, first)
            return _iso(_whole_year(year), month, day, clock) or cell
        if match := YEAR_FIRST.fullmatch(cell):
            year, month, day, *clock = match.groups()
        elif match := NAMED.fullmatch(cell):
            day, name, year, *clock = match.groups()
            month = str(MONTHS[name.lower()])
        elif match := NAME_FIRST.fullmatch(cell):
            name, day, year, *clock = match.groups()
            month = str(MONTHS[name.lower()])
        else:
            return cell
        return _iso(year, month, day, clock) or cell


def without_zone_name(cell: str) -> str:
    """Return a time with 'Z' for 'UTC' and 'GMT'.

    >>> without_zone_name("2024-01-31 10:00:00 UTC")
    '2024-01-31 10:00:00Z'
    """
    return ZONE_NAMES.sub("Z", cell)


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
