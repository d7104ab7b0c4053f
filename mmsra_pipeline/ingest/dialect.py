"""How a delimited file is written: separator, header, encoding, quotes. Told from its first megabyte, or stated."""

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from mmsra_pipeline.config.section import Section
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.column_matching import is_known, like
from mmsra_pipeline.ingest.containers import SAMPLE_BYTES, begin_of
from mmsra_pipeline.ingest.encodings import UTF8, detect
from mmsra_pipeline.ingest.foreign_files import refuse_foreign

DELIMITERS = (",", ";", "\t", "|", "::")
SELDOM = ("\x01", "^", "~", "\u00a6", " ")  # taken where the header shows them: Hive, and exports of mainframes
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "'|'", "::": "'::'", " ": "blanks"}
LOOKED_AT = 300  # lines of the table
TITLES = 20  # lines that may stand before it
MOST_LINES = 2 * LOOKED_AT
SEP_LINE = re.compile(r'"?sep=(.|::)"?[;,]*\s*', re.IGNORECASE)
COMMENT = "#"
VALUE = re.compile(
    r"[-+]?[\d., ]*\d(?:[eE][-+]?\d+)?%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?|https?://.*|\d{1,2}:\d\d.*"
)
"""What is a value, and no name of a column."""


class DialectOptions(Section):
    """How delimited files are written. What is not set is detected from each file, and said."""

    delimiter: str | None = Field(default=None, min_length=1, max_length=2)
    """Between cells: one sign, or '::'."""
    header: bool | None = None
    """Whether the first row names the columns. If not, ``columns`` gives their places: ``{user_id: 1, item_id: 2}``."""
    encoding: str | None = None
    """Such as utf-8, utf-16, cp1252, latin-1."""
    quote: Literal['"', "'", "none"] | None = None
    """Around cells that hold separators. Not set: '"', doubled within a cell or after a backslash."""
    decimal: Literal[".", ","] | None = None
    """What parts the whole from the fraction in ratings and times."""


@dataclass(frozen=True)
class Dialect:
    """How one file is written."""

    delimiter: str = ","
    encoding: str = UTF8
    cr: bool = False
    """Whether lines end in CR alone."""
    header: bool = True
    first_line: int = 1
    """1-based; what comes before it is no data."""
    quote: str = '"'
    """Empty if there are none."""
    comments: bool = False
    """Whether lines that begin with '#' may be comments."""
    row_names: bool = False
    """Whether each row has one more cell than the header, at its begin."""
    said: tuple[str, ...] = ()
    """What was not as usual."""


def sniff(path: Path, options: DialectOptions, names: Sequence[str] | None, stated: Sequence[str] = ()) -> Dialect:
    """Tell how a delimited file is written.

    Args:
        path: plain or packed.
        options: what the YAML states.
        names: of the columns, if such files have no header.
        stated: what the YAML says the file calls columns.

    Raises:
        DataError: if it is no text, or two separators fit as well as each other.
    """
    sample = begin_of(path)
    refuse_foreign(path, sample)
    encoding = detect(sample, path, options.encoding)
    said = [encoding.said] if encoding.said else []
    text = sample.decode(encoding.name, "replace").removeprefix("\ufeff")
    cr = "\n" not in text and "\r" in text.rstrip("\r")
    if cr:
        said.append("has lines that end in CR alone")
    lines = text.split("\r" if cr else "\n", MOST_LINES)
    if len(lines) > MOST_LINES or (len(sample) == SAMPLE_BYTES and len(lines) > 1):
        lines.pop()  # what is behind, or is cut
    lines = [line.removesuffix("\r").replace("\0", "") for line in lines]
    first, separator, comments = _begin(lines, said)
    if names is None and options.header is None:
        first = _below_titles(lines, first, stated, said)
    quote = _quote(lines[first - 1 :], options, said)
    data = [line for line in lines[first - 1 :] if line.strip()][:LOOKED_AT]
    delimiter = options.delimiter or separator or _delimiter(data, quote, names, stated, path)
    usual = "\t" if ".tsv" in path.name.lower() else ","
    if delimiter != usual and not options.delimiter:
        said.append(f"has cells separated by {NAMES.get(delimiter, repr(delimiter))}")
    rows = [_fields(line, delimiter, quote) for line in data]
    header = options.header if options.header is not None else bool(rows) and _has_header(rows[0], names, stated)
    if names is None and rows and not header:
        said.append("has no header: its first row is data")
    if names is not None and header:
        said.append("has a header, which such files usually have not")
    return Dialect(
        delimiter, encoding.name, cr, header, first, quote, comments, header and _has_row_names(rows), tuple(said)
    )


def _begin(lines: Sequence[str], said: list[str]) -> tuple[int, str, bool]:
    """Return the 1-based line where the table begins, the separator that a line 'sep=' states, and if comments led."""
    separator, comments = "", False
    for place, line in enumerate(lines):
        if not line.strip():
            continue
        stated = SEP_LINE.fullmatch(line)
        if stated and not separator:
            separator = stated[1]
            said.append(f"states its separator: {line.strip()!r}")
        elif line.startswith(COMMENT) and not _names_columns(line.lstrip(COMMENT)):
            comments = True
            said.append(f"begins with a comment: {line.strip()[:60]!r}")
        else:
            return place + 1, separator, comments
    return 1, separator, comments


def _below_titles(lines: Sequence[str], first: int, stated: Sequence[str], said: list[str]) -> int:
    """Return the line of the header; reports have titles before it, which have fewer of the names that we know."""
    line = lines[first - 1] if len(lines) >= first else ""
    if any(map(is_known, re.split(r"[,;|\t^~\x01\s]+|::", line.replace('"', "")))) or any(
        name in line for name in stated
    ):
        return first
    for place, below in enumerate(lines[first : first + TITLES], start=first + 1):
        if _names_columns(below):
            said.append(
                f"begins with lines that are no table, such as {line.strip()[:60]!r}; its header is in line {place}"
            )
            return place
    return first


def _quote(lines: Sequence[str], options: DialectOptions, said: list[str]) -> str:
    """Return the sign around cells: ' where all lines begin and end with it."""
    if options.quote is not None:
        return "" if options.quote == "none" else options.quote
    written = [line.strip() for line in lines if line.strip()][:LOOKED_AT]
    if len(written) > 1 and all(len(line) > 1 and line[0] == line[-1] == "'" for line in written):
        said.append("has single quotes around its cells")
        return "'"
    return '"'


def _names_columns(line: str) -> bool:
    return any(sum(map(is_known, _fields(line, each, '"'))) >= 2 for each in (*DELIMITERS, *SELDOM))


def _fields(line: str, delimiter: str, quote: str) -> list[str]:
    if not quote or quote not in line or len(delimiter) > 1:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote), [])
    except csv.Error:
        return line.split(delimiter)


def _delimiter(lines: Sequence[str], quote: str, names: Sequence[str] | None, stated: Sequence[str], path: Path) -> str:
    usual = "\t" if ".tsv" in path.name.lower() else ","
    known = {like(name) for name in stated}
    ranks: dict[tuple[float, float, int], list[str]] = {}
    for delimiter in dict.fromkeys((usual, *DELIMITERS, *SELDOM)):
        rows = [_fields(line, delimiter, quote) for line in lines]
        counts = [len(row) for row in rows]
        most = max(set(counts), key=counts.count, default=0)
        if most < 2 or counts[0] < 2:
            continue
        named = sum(is_known(name) or like(name) in known for name in rows[0])
        if names is not None:
            named = max(named, int(most == len(names)))
        regular = round(counts.count(most) / len(counts), 1)
        if delimiter in SELDOM and (named < 2 or regular < 1 or any(usual in lines[0] for usual in DELIMITERS)):
            continue
        ranks.setdefault((named, regular, most), []).append(delimiter)
    if not ranks:
        return usual
    best = ranks[max(ranks)]
    if len(best) > 1 and max(ranks)[0] == 0 and usual not in best:
        signs = " or ".join(NAMES[each] for each in best)
        raise DataError(
            f"{path}: line 1, {lines[0][:60]!r}: cells may be separated by {signs}. State it in the data set's YAML: "
            f"`delimiter: {best[0]!r}`."
        )
    return usual if usual in best else best[0]


def _has_header(first: Sequence[str], names: Sequence[str] | None, stated: Sequence[str]) -> bool:
    cells = [cell.strip().lstrip(COMMENT) for cell in first]
    if names is not None:
        ours = {like(name) for name in names}
        return sum(is_known(cell) or like(cell) in ours for cell in cells) >= 2
    values = any(map(VALUE.fullmatch, cells))
    if sum(map(is_known, cells)) > values or {"userid", "itemid"}.intersection(map(like, cells)):
        return True  # 'Track' among values may be what somebody heard
    named = [cell for cell in cells if cell in stated]
    if named:
        return not any(map(VALUE.fullmatch, named))
    return not values


def _has_row_names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether all rows have one cell more than the header, a number that counts them, as R and data frames write it."""
    body = rows[1:]
    if not body or any(len(row) != len(rows[0]) + 1 for row in body) or not any(row[-1].strip() for row in body):
        return False
    numbers = [int(row[0]) if row[0].isdecimal() else -1 for row in body]
    return numbers[0] in (0, 1) and all(after == before + 1 for before, after in itertools.pairwise(numbers))
