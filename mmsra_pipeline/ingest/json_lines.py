"""One JSON object a line, into columns.

Arrow reads a block at once. If it finds fault with a block, or cannot have read one object a line, the block is halved
until the lines at fault stand alone: each costs a few more readings, and no second parser could judge otherwise.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.json

from mmsra_pipeline.ingest.lines import BOM, LineBlock
from mmsra_pipeline.ingest.raw_tables import LINE

RETURN, OPEN, CLOSE = b"\r{}"
PLACE = re.compile(r" in row \d+\.?$|^JSON parse error: ")


@dataclass(frozen=True)
class Flawed:
    """A line that is not an object of the schema, and why."""

    line: int
    reason: str
    text: bytes


def read_json_lines(block: LineBlock, schema: pa.Schema) -> Iterator[pa.Table | Flawed]:
    """Return tables of ``schema`` and a column ``line``, and the lines that cannot be read, in order.

    Keys that the schema does not name are skipped; those that a line lacks are null. Empty lines are no rows.
    """
    yield from _read(block.content, block.ends, block.first, schema)


def _read(content: bytes, ends: np.ndarray, first: int, schema: pa.Schema) -> Iterator[pa.Table | Flawed]:
    count = len(ends) + (not content.endswith(b"\n"))
    if count == 1:
        line = content.strip()
        if line and not line.removeprefix(BOM).startswith(b"{"):  # a null as the first value ends Arrow's process
            yield Flawed(first, "is no JSON object", content.rstrip(b"\r\n"))
            return
        if not line:
            return
    if count == 1 or _one_object_a_line(content, ends):
        found = _parsed(content, schema)
        if isinstance(found, pa.Table) and found.num_rows == count:
            yield found.append_column(LINE, pa.array(np.arange(first, first + count, dtype=np.int64)))
            return
        if count == 1:
            reason = found if isinstance(found, str) else "has more than one JSON object"
            yield Flawed(first, reason, content.rstrip(b"\r\n"))
            return
    half = count // 2
    middle = int(ends[half - 1]) + 1
    yield from _read(content[:middle], ends[:half], first, schema)
    yield from _read(content[middle:], ends[half:] - middle, first + half, schema)


def _one_object_a_line(content: bytes, ends: np.ndarray) -> bool:
    """Whether every line begins with '{' and ends with '}'. No JSON value can then go over a line's end.

    ``ends`` has the places of the line ends. Looking at those bytes alone takes a tenth of searching for pairs of them.
    """
    if not (content.startswith(b"{") and content.endswith((b"}", b"}\n", b"}\r\n"))):
        return False
    chars = np.frombuffer(content, np.uint8)
    begins = chars[ends[ends < len(chars) - 1] + 1]
    last = chars[ends - 1]  # no line end stands at 0, where a brace does
    last = np.where(last == RETURN, chars[ends - 2], last)
    return bool((begins == OPEN).all() and (last == CLOSE).all())


def _parsed(content: bytes, schema: pa.Schema) -> pa.Table | str:
    """Return the table, or the reason why there is none."""
    try:
        found = pyarrow.json.read_json(
            pa.BufferReader(content),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(content) + 1),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:  # the latter if the error's text has foreign bytes
        return f"is no JSON object as expected: {PLACE.sub('', PLACE.sub('', str(error).splitlines()[0]))[:150]}"
    try:
        found.validate(full=True)  # Arrow does not look whether texts are UTF-8 when it reads them
    except pa.ArrowInvalid:
        return "is not valid UTF-8"
    return found
