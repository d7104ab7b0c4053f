"""Rows of a file as columns of text, whatever the file is."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.marks import Place


@dataclass(frozen=True)
class Header:
    """The columns of a file, each under a name of its own."""

    names: list[str]
    repeated: frozenset[str] = frozenset()
    """Names that the file gives to several columns; the later ones have a number behind theirs."""
    headerless: bool = False
    """Whether the file names no columns; their names are then their places from 1 on."""
    first_row: Mapping[str, str] = field(default_factory=dict)
    """Of a file without a header, the place of each cell of the first row: who took that row for the header states its
    cells as names."""
    delimiter: str = ","

    @property
    def nameless(self) -> frozenset[int]:
        """Places of columns without a name."""
        return frozenset(place for place, name in enumerate(self.names) if name.startswith(NAMELESS))


class Behind(NamedTuple):
    """Where reading of a delimited file can go on."""

    place: Place
    dialect: str
    """How the file was written, for comparison."""
    state: Callable[[], Mapping[str, Any]]
    """Returns what its records taught so far."""


NAMELESS = "\0"  # before the place of a column without a name


@dataclass(frozen=True)
class TextRows:
    """Some well-formed rows of a file: columns of text, null where empty, and the line where each row begins."""

    cells: pa.Table
    lines: list[int]
    """The line where each row begins; in Parquet files the 1-based row."""
    header: Header = field(default_factory=lambda: Header([]))
    behind: Behind | None = None
    """Where reading can go on later with the row behind these; None if it cannot."""

    def text_of(self, row: int) -> str:
        """Return a row as a CSV would have it."""
        sink = io.StringIO()
        values = (column[row].as_py() for column in self.cells.columns)
        csv.writer(sink, lineterminator="").writerow("" if value is None else value for value in values)
        return sink.getvalue()


def of_text(columns: Iterable[list[str | None]], names: Sequence[str]) -> pa.Table:
    """Return columns of text as a table."""
    return pa.table([pa.array(column, pa.string()) for column in columns], names=list(names))


def is_utf8(text: str) -> bool:
    """Whether a text that was decoded with surrogates for foreign bytes was valid UTF-8."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def checked_header(names: Sequence[str], path: Path, delimiter: str = ",") -> Header:
    """Return the columns of a file. Some may have no name, or one that others have too: perhaps nobody asks for them.

    Raises:
        DataError: if a name is no text.
    """
    if not all(map(is_utf8, names)):
        raise DataError(
            f"{path}: the header is not valid UTF-8. Save the file as UTF-8, or state its `encoding:` in the YAML."
        )
    own: list[str] = []
    repeated: set[str] = set()
    for place, name in enumerate(names, start=1):
        if name and name in own:
            repeated.add(name)
        own.append(name if name and name not in own else f"{name or NAMELESS}{NAMELESS}{place}")
    return Header(own, frozenset(repeated), delimiter=delimiter)
