"""Rows of delimited and Parquet files as text, with the line where each begins, in memory that does not grow."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.ingest.containers import PARQUET, begin_of
from mmsra_pipeline.ingest.dialect import COMMENT, Dialect, DialectOptions, sniff
from mmsra_pipeline.ingest.encodings import UTF8
from mmsra_pipeline.ingest.foreign_files import refuse_packed_parquet
from mmsra_pipeline.ingest.json_forms import Form, form_of
from mmsra_pipeline.ingest.json_rows import json_rows
from mmsra_pipeline.ingest.lines import BOM, FROM_BEGIN
from mmsra_pipeline.ingest.parquet import parquet_rows
from mmsra_pipeline.ingest.records import RECORD_LINES, Record, Records
from mmsra_pipeline.ingest.rejects import HEADER_AGAIN, TEXT_CHARS, RejectSink
from mmsra_pipeline.ingest.source_files import folder_values, tracked_blocks
from mmsra_pipeline.ingest.text_rows import Behind, Header, TextRows, checked_header, is_utf8, of_text

CHUNK_ROWS = 50_000
BEGIN = 64
JSON = re.compile(rb"\s*(?:\{\s*[\"'}]|\[\s*[\[{])")  # '[user_id],[item_id]' is a header
USUAL = DialectOptions()


def read_text_rows(
    path: Path,
    label: str,
    list_separator: str,
    sink: RejectSink,
    *,
    names: Sequence[str] | None = None,
    options: DialectOptions = USUAL,
    stated: Sequence[str] = (),
    apart: Sequence[str] = (),
    behind: Behind | None = None,
) -> Iterator[TextRows]:
    """Return the rows of a Parquet, delimited or JSON file in chunks, at least one; ill-formed ones are refused.

    What the file is, is detected from its first bytes. Of a file in a folder ``key=value``, ``key`` is a column too.

    Args:
        path: plain or packed.
        label: what rejects call it: its path below the data set's folder.
        list_separator: goes between the entries of a Parquet file's lists.
        sink: gets the ill-formed rows only, and notes of what was not as usual.
        names: of the columns, if such files have no header.
        options: what the YAML states of delimited files.
        stated: what the YAML says the file calls columns.
        apart: columns of Parquet that, where they are lists, hold one row an entry.
        behind: where in a delimited file reading goes on, with the chunks behind it.

    Raises:
        MissingInputError: if the file is not there.
        DataError: if it has no header, or is neither text nor Parquet.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there. Put the file there, or correct its name in the dataset's YAML.")
    begin = begin_of(path, BEGIN)
    plain = begin.removeprefix(BOM).lstrip(b"\xff\xfe").replace(b"\0", b"")
    form = form_of(path) if JSON.match(plain) else Form.TABLE
    if begin.startswith(PARQUET):
        refuse_packed_parquet(path)
        found = parquet_rows(path, label, list_separator, sink, stated=stated, apart=apart)
    elif form is not Form.TABLE:
        found = json_rows(path, label, form, list_separator, sink)
    else:
        if path.suffix.lower() in {".parquet", ".pq"}:
            if not begin:
                raise DataError(f"{path}: is empty. Write the file again, or take it out of the YAML.")
            sink.note(f"{label}: is called Parquet, but is text")
        dialect = sniff(path, options, names, stated)
        for said in dialect.said:
            sink.note(f"{label}: {said}")
        found = _delimited_rows(path, label, dialect, sink, names, behind)
    values = folder_values(label)
    for rows in found:
        yield _with_folders(rows, values, label, sink) if values else rows


def _with_folders(rows: TextRows, values: dict[str, str | None], label: str, sink: RejectSink) -> TextRows:
    """Add what the names of the folders say, as Spark and Hive write it, where the file itself does not."""
    new = {key: value for key, value in values.items() if key not in rows.header.names}
    if new:
        sink.note(f"{label.split('/', 1)[0]}: {', '.join(new)} taken from the names of folders")
    cells, names = [column.to_pylist() for column in rows.cells.columns], [*rows.header.names, *new]
    count = len(rows.lines)
    table = of_text([*cells, *([value] * count for value in new.values())], names)
    header = Header(names, rows.header.repeated, delimiter=rows.header.delimiter)
    return replace(rows, cells=table, header=header)


def _delimited_rows(
    path: Path, label: str, dialect: Dialect, sink: RejectSink, names: Sequence[str] | None, last: Behind | None
) -> Iterator[TextRows]:
    source = _records(path, dialect, None)
    records = iter(source)
    header, pending, again = _header(path, dialect, names, records)
    if last is not None:
        source, pending = _records(path, dialect, last), []
        records = iter(source)
    starts: list[int] = []
    rows: list[list[str]] = []
    given = last is not None
    nameless = header.nameless
    width, comments = len(header.names), dialect.comments
    for start, fields, line in itertools.chain(pending, records):
        # Most rows are plain; what follows is for the others.
        plain = fields is not None and len(fields) == width and fields[0][:1] > " " and "".join(fields).isascii()
        if not plain or fields == again:
            if fields is not None and len(fields) != width:
                fields = _fitted(fields, width, nameless)
            if fields is not None and fields[0][:1] <= " " and not any(map(str.strip, fields)):
                continue  # a spreadsheet's empty row is no row
            if comments and line.startswith(COMMENT) and (fields is None or len(fields) != width):
                continue
            reason = _flaw(fields, width, dialect.encoding)
            if again is not None and fields == again:
                reason = HEADER_AGAIN
            if fields is None or reason:
                sink.see(1)
                sink.refuse(label, start, reason, line[:TEXT_CHARS])
                continue
        starts.append(start)
        rows.append(fields or [])
        if len(rows) == CHUNK_ROWS:
            place = source.place()
            behind = None if place is None else Behind(place, repr(dialect), source.state)
            yield replace(_text_rows(header, rows, starts), behind=behind)
            starts, rows, given = [], [], True
    for block in source.flawed:
        sink.refuse_block(label, block)
    if source.nuls:
        sink.note(f"{label}: {source.nuls} bytes NUL were left out")
    if source.backslashes:
        sink.note(f"{label}: {source.backslashes} rows have quotes behind backslashes, as MySQL writes them")
    if rows or not given:
        yield _text_rows(header, rows, starts)


def _records(path: Path, dialect: Dialect, last: Behind | None) -> Records:
    start, first_line = (last.place.block, last.place.line) if last else (FROM_BEGIN, dialect.first_line)
    blocks = tracked_blocks(path, encoding=dialect.encoding, cr=dialect.cr, start=start)
    records = Records(blocks, dialect.delimiter, dialect.quote, first_line)
    if last is not None:
        records.go_on(last.state())
    return records


def _header(
    path: Path, dialect: Dialect, names: Sequence[str] | None, records: Iterator[Record]
) -> tuple[Header, list[Record], list[str] | None]:
    """Return the columns, the records that were looked at but are data, and the fields of the header's row."""
    first = next(records, None)
    fields = first[1] if first else None
    if names is not None and not dialect.header:
        return Header(list(names), delimiter=dialect.delimiter), [first] if first else [], None
    if first is None or fields is None:
        empty = "is empty: it " if not path.stat().st_size else ""
        raise DataError(
            f"{path}: {empty}has no header line. Its first line must name the columns; where it is data, write "
            "`header: false` in the YAML and the columns by their places."
        )
    if not dialect.header:
        cells = [cell.strip() for cell in fields]
        places = {cell: str(place) for place, cell in enumerate(cells, start=1) if cells.count(cell) == 1}
        own = [str(place) for place in range(1, len(cells) + 1)]
        return Header(own, headerless=True, first_row=places, delimiter=dialect.delimiter), [first], None
    cells = [cell.strip() for cell in fields]
    cells[0] = cells[0].lstrip(COMMENT).strip()
    return checked_header([""] * dialect.row_names + cells, path, dialect.delimiter), [], fields


def _fitted(fields: list[str], width: int, nameless: frozenset[int]) -> list[str]:
    """Bring a row to the header's width where only empty cells, or columns without a name, are too many or too few."""
    if len(fields) > width:
        return fields[:width] if not any(map(str.strip, fields[width:])) else fields
    missing = range(len(fields), width)
    return [*fields, *([""] * len(missing))] if nameless.issuperset(missing) else fields


def _flaw(fields: list[str] | None, width: int, encoding: str) -> str:
    if fields is None:
        return (
            f"a quote is not closed within {RECORD_LINES} lines, or is followed by text; where quotes mean nothing, "
            "write `quote: none`"
        )
    if len(fields) != width:
        return f"has {len(fields)} fields, the header has {width}; put cells that hold separators in quotes"
    if not is_utf8("".join(fields)):
        if encoding != UTF8:
            return f"has bytes that are no {encoding}; correct them, or state the file's `encoding:`"
        return "is not valid UTF-8; save the file as UTF-8, or state its `encoding:`"
    return ""


def _text_rows(header: Header, rows: list[list[str]], starts: list[int]) -> TextRows:
    columns = zip(*rows) if rows else [[] for _ in header.names]
    cells = of_text([[value.strip() or None for value in column] for column in columns], header.names)
    return TextRows(cells, starts, header)
