"""JSON as people have it: one object a line, an array, objects over several lines, or one behind the other."""

import enum
import json
import re
from collections.abc import Iterator
from pathlib import Path

from mmsra_pipeline.ingest.containers import PARQUET, begin_of
from mmsra_pipeline.ingest.encodings import wide_encoding
from mmsra_pipeline.ingest.lines import BEGIN_BYTES, BOM, FROM_BEGIN, LINE_BYTES, LineBlock, Start
from mmsra_pipeline.ingest.rejects import RejectSink
from mmsra_pipeline.ingest.source_files import tracked_blocks

LOOKED_AT = 50  # lines
TOGETHER = 1 << 20  # bytes of a block of objects
MOSTLY = 0.5
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{}]', re.DOTALL)
BETWEEN = b" \t\r\n,[]"
ENDING_COMMA = re.compile(rb"[ \t]*,[ \t]*(\r?)$", re.MULTILINE)
BRACKET_LINE = re.compile(rb"^[ \t]*[\[\]][ \t]*(\r?)$", re.MULTILINE)


class Form(enum.Enum):
    """How a file holds its objects."""

    LINES = "lines"
    LISTED_LINES = "is one JSON array with an object a line"
    OBJECTS = "has JSON objects that are not one a line (an array, or over several lines); rejects count them"
    TABLE = "table"
    """No JSON, but cells: Parquet or delimited."""


def form_of(path: Path) -> Form:
    """Tell from a file's first megabyte how it holds its objects."""
    sample = begin_of(path)
    if sample.startswith(PARQUET):
        return Form.TABLE
    wide = wide_encoding(sample)
    sample = sample.decode(wide, "replace").encode("utf-8", "replace") if wide else sample
    sample = sample.removeprefix(BOM).lstrip()
    lines = [line.strip() for line in sample.split(b"\n")[:LOOKED_AT] if line.strip()]
    if not lines:
        return Form.LINES
    objects = sum(line.startswith(b"{") for line in lines)
    if not sample.startswith((b"[", b"{")) and objects <= MOSTLY * len(lines):
        return Form.TABLE
    body = [line.rstrip(b",").removeprefix(b"[").strip() for line in lines if line not in (b"[", b"]", b"],")]
    whole = [line for line in body if line.startswith(b"{") and line.rstrip(b"] ").endswith(b"}")]
    if len(whole) > MOSTLY * len(body) and not _several(whole[0]):
        commas = sum(line.endswith(b",") for line in lines)
        listed = commas > MOSTLY * (len(body) - 1) and len(body) > 1
        return Form.LISTED_LINES if listed else Form.LINES
    begins = sample.startswith((b"[", b"{"))
    return Form.OBJECTS if begins and (sample.startswith(b"[") or _begins_with_object(sample)) else Form.LINES


def json_blocks(path: Path, label: str, form: Form, sink: RejectSink, start: Start = FROM_BEGIN) -> Iterator[LineBlock]:
    """Return the objects of a file, one a line; of ``Form.OBJECTS`` the number of a line is that of the object.

    ``start``: where in lines reading goes on.
    """
    blocks = tracked_blocks(path, start=start)
    if form is Form.LINES:
        return blocks
    sink.note(f"{label}: {form.value}")
    return map(_without_commas, blocks) if form is Form.LISTED_LINES else _objects(blocks)


def _several(line: bytes) -> bool:
    """Whether a line holds several objects."""
    try:
        _, end = json.JSONDecoder().raw_decode(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return line.decode("utf-8", "replace")[end:].lstrip(" ,").startswith("{")


def _begins_with_object(sample: bytes) -> bool:
    depth = 0
    for token in TOKEN.finditer(sample):
        depth += {b"{": 1, b"}": -1}.get(token[0], 0)
        if depth == 0 and token[0] == b"}":
            try:
                json.loads(sample[: token.end()])
            except (ValueError, RecursionError):
                return False
            rest = sample[token.end() :].split(b"\n")[0].strip(b" \t\r,")
            return b"\n" in sample[: token.end()].strip() or rest.startswith(b"{")
    return False


def _without_commas(block: LineBlock) -> LineBlock:
    if block.flaw:
        return block
    content = BRACKET_LINE.sub(rb"\1", ENDING_COMMA.sub(rb"\1", block.content))
    if block.first == 1:
        start = len(content) - len(content.lstrip())
        content = content[:start] + content[start:].removeprefix(b"[")
    content = re.sub(rb"(\})[ \t]*\]([ \t\r\n]*)$", rb"\1\2", content)
    return LineBlock(content, block.first, block.offset)


def _objects(blocks: Iterator[LineBlock]) -> Iterator[LineBlock]:
    """Cut the text of blocks into objects."""
    rest, number, size, offset = b"", 1, 0, 0
    held: list[bytes] = []
    for block in blocks:
        offset = block.offset
        if block.flaw:
            if held:
                yield LineBlock(b"".join(held), number, offset)
            yield LineBlock(block.content, number + len(held), offset, block.flaw, block.damaged)
            number, held, size = number + len(held) + 1, [], 0
            if block.damaged:
                return
            continue
        found, rest = _cut(rest + block.content)
        held += found
        size += sum(map(len, found))
        if size > TOGETHER:
            yield LineBlock(b"".join(held), number, offset)
            number, held, size = number + len(held), [], 0
        if len(rest) > LINE_BYTES:
            break
    if held:
        yield LineBlock(b"".join(held), number, offset)
    if rest.strip(BETWEEN):
        flaw = "the file ends within an object, or its braces and quotes do not match; what follows is lost"
        yield LineBlock(rest.strip(BETWEEN)[:BEGIN_BYTES], number + len(held), offset, flaw, damaged=True)


def _cut(text: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole objects of a text, each as a line, and what comes after them."""
    found: list[bytes] = []
    depth = begin = done = 0
    for token in TOKEN.finditer(text):
        piece = token[0]
        if piece.startswith(b'"'):
            if len(piece) < 2 or not piece.endswith(b'"'):
                break  # it goes on in the next block
            continue
        if piece == b"{":
            if depth == 0:
                begin = token.start()
                found += _stray(text[done:begin])
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                found.append(text[begin : token.end()].replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
                done = token.end()
    return found, text[done:]


def _stray(between: bytes) -> list[bytes]:
    """Return what stands between two objects and is none, as a line that will be refused."""
    stray = between.strip(BETWEEN)
    return [stray.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"] if stray else []
