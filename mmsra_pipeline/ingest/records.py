"""The records of a delimited file, each with the line where it begins.

One bad line must cost one row. A quote that is never closed would make the csv module swallow the rest of the file, so
a record may span at most ``RECORD_LINES`` lines; else its first line is rejected and reading goes on with the next.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar, TypeAlias

from mmsra_pipeline.ingest.learning import Learner
from mmsra_pipeline.ingest.lines import LineBlock, Start
from mmsra_pipeline.ingest.marks import Place

RECORD_LINES = 500
Record: TypeAlias = tuple[int, list[str] | None, str]
"""The line where it begins, its fields (None if the quotes are wrong), and its first line."""
csv.field_size_limit(2**31 - 1)  # a record is bounded by its lines


class Records(Learner):
    """The records of a delimited file in order: the 1-based line where each begins, its fields, and its first line.

    The fields are None if the quotes are wrong. Empty lines are no records. Quotes follow RFC 4180; where they cannot,
    but a backslash stands before one, the backslash is read as MySQL writes it.
    """

    OUTER: ClassVar = frozenset(
        {"_blocks", "_blanks", "_delimiter", "_quote", "_before", "_lines", "_first", "_next_line", "_blocks_seen"}
    )

    def __init__(self, blocks: Iterable[LineBlock], delimiter: str, quote: str = '"', first_line: int = 1) -> None:
        self.flawed: list[LineBlock] = []
        """Blocks that are no lines, as met so far."""
        self.nuls = 0
        """Bytes NUL that were left out."""
        self.backslashes = 0
        """Records with quotes behind backslashes."""
        self._blocks = iter(blocks)
        self._blanks = re.compile(rf"(?:^|{re.escape(delimiter)}) +{re.escape(quote)}") if quote else None
        self._delimiter = delimiter
        self._quote = quote if len(delimiter) == 1 else ""
        self._before = first_line
        self._lines: list[str] = []
        self._first = 1
        """Number of the first of ``_lines``."""
        self._next_line = 1
        self._blocks_seen: list[LineBlock] = []
        """Without their content."""

    def __iter__(self) -> Iterator[Record]:
        at = 0
        quote = self._quote or "\n"  # no line holds it
        while True:
            if at == len(self._lines):
                if not self._fetch(at):
                    return
                at = 0
                continue
            line = self._lines[at]
            if not line.strip():
                at += 1
            elif quote not in line:
                self._next_line = self._first + at + 1
                yield self._first + at, line.split(self._delimiter), line
                at += 1
            else:
                while len(self._lines) - at < RECORD_LINES and self._fetch(at):
                    at = 0
                line_count, fields = self._quoted(at)
                self._next_line = self._first + at + line_count
                yield self._first + at, fields, line
                at += line_count

    def place(self) -> Place | None:
        """Return the place behind the record that was given last; None if reading could not go on there.

        Near the end of the file it could not: the file may grow there, and then a quote is closed, or a line goes on.
        """
        behind = self._first + len(self._lines)
        if self.flawed or self.nuls or behind - self._next_line < RECORD_LINES:
            return None
        block = next((one for one in reversed(self._blocks_seen) if one.first <= self._next_line), None)
        if block is None or block.begin is None:
            return None
        return Place(self._next_line, Start(block.first, block.begin), self._blocks_seen[-1].offset)

    def _quoted(self, at: int) -> tuple[int, list[str] | None]:
        """Return how many lines a record with quotes takes, and its fields."""
        line_count, fields = self._parsed(at, None)
        if fields is None and f"\\{self._quote}" in self._lines[at]:
            line_count, fields = self._parsed(at, "\\")
            self.backslashes += fields is not None
        return line_count, fields

    def _parsed(self, at: int, escape: str | None) -> tuple[int, list[str] | None]:
        lines = (line + "\n" for line in self._lines[at : at + RECORD_LINES])
        skip = bool(self._blanks and self._blanks.search(self._lines[at]))  # 'a, "b, c"': no writer means the quotes
        reader = csv.reader(
            lines,
            delimiter=self._delimiter,
            quotechar=self._quote,
            escapechar=escape,
            skipinitialspace=skip,
            strict=True,
        )
        try:
            fields = next(reader)
        except csv.Error:
            return 1, None
        return reader.line_num, fields

    def _fetch(self, done: int) -> bool:
        """Drop the first ``done`` lines and add those of the next block; tell whether there was one."""
        block = next(self._blocks, None)
        if block is None:
            return False
        self._blocks_seen.append(replace(block, content=b""))
        if block.flaw:
            self.flawed.append(block)
        text = "" if block.flaw else block.content.decode("utf-8", "surrogateescape")
        if "\0" in text:
            self.nuls += text.count("\0")
            text = text.replace("\0", "")
        if "\ufeff" in text:  # of files that were joined
            text = text.removeprefix("\ufeff").replace("\n\ufeff", "\n")
        lines = text.split("\n")
        if not lines[-1] and not block.flaw:  # a flawed line leaves an empty one, so that numbers stay right
            lines.pop()
        if block.first < self._before:
            none = min(len(lines), self._before - block.first)
            lines[:none] = [""] * none
        kept = self._lines[done:]
        self._first = block.first - len(kept)
        self._lines = kept + [line.removesuffix("\r") for line in lines]
        return True
