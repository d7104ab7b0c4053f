"""Rows of CSV, TSV and Parquet files as text, with the line where each begins, in memory that does not grow.

One bad line must cost one row. A quote that is never closed would make the csv module swallow the rest of the file, so
a record may span at most ``RECORD_LINES`` lines; else its first line is rejected and reading goes on with the next.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.parquet import parquet_rows
from mmsra_pipeline.ingest.rejects import TEXT_CHARS, RejectSink
from mmsra_pipeline.ingest.source_files import tracked_blocks
from mmsra_pipeline.ingest.text_rows import TextRows, checked_header, is_utf8, of_text

RECORD_LINES = 500
CHUNK_ROWS = 50_000
csv.field_size_limit(2**31 - 1)  # a record is bounded by its lines


def read_text_rows(
    path: Path, label: str, list_separator: str, sink: RejectSink, *, names: Sequence[str] | None = None
) -> Iterator[TextRows]:
    """Return the rows of a CSV, TSV (by its name) or Parquet file in chunks, at least one; ill-formed ones are refused.

    Args:
        path: plain, gzip or zstd.
        label: what rejects call it.
        list_separator: goes between the entries of a Parquet file's lists.
        sink: is told of the ill-formed rows only.
        names: of the columns, if the file has no header.

    Raises:
        MissingInputError: if the file is not there.
        DataError: if it has no header, a repeated column, or is not what its ending says.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there. Put the file there, or correct its name in the dataset's YAML.")
    if path.suffix.lower() in {".parquet", ".pq"}:
        yield from parquet_rows(path, label, list_separator, sink)
        return
    delimiter = "\t" if ".tsv" in path.name.lower() else ","
    yield from _delimited_rows(path, label, delimiter, sink, names)


class Records:
    """The records of a delimited file in order: the 1-based line where each begins, its fields, and its first line.

    The fields are None if the quotes are wrong. Empty lines are no records. Quotes follow RFC 4180.
    """

    def __init__(self, blocks: Iterable[LineBlock], delimiter: str) -> None:
        self.flawed: list[LineBlock] = []
        """Blocks that are no lines, as met so far."""
        self._blocks = iter(blocks)
        self._delimiter = delimiter
        self._lines: list[str] = []
        self._first = 1
        """Number of the first of ``_lines``."""

    def __iter__(self) -> Iterator[tuple[int, list[str] | None, str]]:
        at = 0
        while True:
            if at == len(self._lines):
                if not self._fetch(at):
                    return
                at = 0
                continue
            line = self._lines[at]
            if not line.strip():
                at += 1
            elif '"' not in line:
                yield self._first + at, line.split(self._delimiter), line
                at += 1
            else:
                while len(self._lines) - at < RECORD_LINES and self._fetch(at):
                    at = 0
                taken, fields = self._quoted(at)
                yield self._first + at, fields, line
                at += taken

    def _quoted(self, at: int) -> tuple[int, list[str] | None]:
        """Return how many lines a record with quotes takes, and its fields."""
        lines = (line + "\n" for line in self._lines[at : at + RECORD_LINES])
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
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
        if block.flaw:
            self.flawed.append(block)
        text = "" if block.flaw else block.content.decode("utf-8", "surrogateescape")
        lines = text.split("\n")
        if not lines[-1] and not block.flaw:  # a flawed line leaves an empty one, so that numbers stay right
            lines.pop()
        kept = self._lines[done:]
        self._first = block.first - len(kept)
        self._lines = kept + [line.removesuffix("\r") for line in lines]
        return True


def _delimited_rows(
    path: Path, label: str, delimiter: str, sink: RejectSink, names: Sequence[str] | None
) -> Iterator[TextRows]:
    source = Records(tracked_blocks(path), delimiter)
    records = iter(source)
    if names is None:
        _, header, _ = next(records, (0, None, ""))
        if header is None:
            raise DataError(f"{path}: has no header line. Its first line must name the columns.")
        names = checked_header([name.strip() for name in header], path)
    starts: list[int] = []
    rows: list[list[str]] = []
    given = False
    for start, fields, line in records:
        reason = _flaw(fields, names)
        if fields is None or reason:
            sink.see(1)
            sink.refuse(label, start, reason, line[:TEXT_CHARS])
            continue
        starts.append(start)
        rows.append(fields)
        if len(rows) == CHUNK_ROWS:
            yield _text_rows(names, rows, starts)
            starts, rows, given = [], [], True
    for block in source.flawed:
        sink.refuse_block(label, block)
    if rows or not given:
        yield _text_rows(names, rows, starts)


def _flaw(fields: list[str] | None, names: Sequence[str]) -> str:
    if fields is None:
        return f"a quote is not closed within {RECORD_LINES} lines, or is followed by text"
    if len(fields) != len(names):
        return f"has {len(fields)} fields, the header has {len(names)}"
    if not all(map(is_utf8, fields)):
        return "is not valid UTF-8"
    return ""


def _text_rows(names: Sequence[str], rows: list[list[str]], starts: list[int]) -> TextRows:
    columns = zip(*rows) if rows else [[] for _ in names]
    return TextRows(of_text([[value.strip() or None for value in column] for column in columns], names), starts)
