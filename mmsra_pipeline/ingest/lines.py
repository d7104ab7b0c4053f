"""Lines of plain or packed files in blocks, in memory that does not grow with the file."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from zlib_ng import zlib_ng

from mmsra_pipeline.errors import MissingInputError
from mmsra_pipeline.ingest.containers import chunks, codec_of
from mmsra_pipeline.ingest.encodings import LOOKED_AT, UTF8, translated, wide_encoding
from mmsra_pipeline.ingest.foreign_files import refuse_foreign

BLOCK_BYTES = 4 << 20
BEGIN_BYTES = 1000  # of a line that is not given whole
LINE_BYTES = 16 << 20  # a longer line is no row of any format; without a bound a file without line ends is one
LEAST_BYTES = 24  # by which a file shows what it is
(NEWLINE,) = b"\n"
BOM = b"\xef\xbb\xbf"


class Start(NamedTuple):
    """Where reading begins: a line, and the byte where it does."""

    line: int
    byte: int


FROM_BEGIN = Start(1, 0)


@dataclass(frozen=True)
class LineBlock:
    """Whole lines of a file, in order."""

    content: bytes
    """The lines with their ends; the last one of a file may have none."""
    first: int
    """1-based number of the first line."""
    offset: int = 0
    """Bytes of the file, as it lies on the disk, that were read so far."""
    flaw: str = ""
    """Why ``content`` is no row: it is the begin of a line that is too long, or what came before a damaged place."""

    damaged: bool = False
    """Whether the file could not be read on."""
    begin: int | None = None
    """The byte of the file where the first line begins; None where the file is not read as it lies on the disk."""

    def lines(self) -> list[bytes]:
        """Return the lines without their ends."""
        return self._lines

    def line(self, number: int) -> bytes:
        """Return the line of that 1-based number, without its end."""
        return self._lines[number - self.first]

    @cached_property
    def checksums(self) -> np.ndarray:
        """CRC-32 of each line without its end, in int64."""
        return np.fromiter(map(zlib_ng.crc32, self._views()), np.int64)

    def _views(self) -> Iterator[bytes | memoryview]:
        """Return the lines without their ends, and without copies where an end is one byte."""
        if b"\r" in self.content:
            return iter(self._lines)
        ends = self.ends.tolist()
        if not self.content.endswith(b"\n"):
            ends.append(len(self.content))
        begins = [0, *(end + 1 for end in ends[:-1])]
        return map(memoryview(self.content).__getitem__, map(slice, begins, ends))

    @cached_property
    def ends(self) -> np.ndarray:
        """Places of the line ends in ``content``, in order."""
        return np.flatnonzero(np.frombuffer(self.content, np.uint8) == NEWLINE)

    @cached_property
    def _lines(self) -> list[bytes]:
        found = self.content.split(b"\n")
        if found and not found[-1]:
            found.pop()
        if b"\r" not in self.content:
            return found
        return [line[:-1] if line.endswith(b"\r") else line for line in found]


def read_blocks(
    path: Path, block_bytes: int = BLOCK_BYTES, *, encoding: str = UTF8, cr: bool = False, start: Start = FROM_BEGIN
) -> Iterator[LineBlock]:
    """Return the lines of a file in blocks of ``block_bytes`` at most, but for longer lines, cut at line ends only.

    A line above ``LINE_BYTES`` comes by itself as a block with a ``flaw``, cut to its begin; so does, at the end, the
    place where a compressed file is damaged or cut off. All other lines come whole, as UTF-8 without a byte order mark.
    UTF-16 and UTF-32 are detected by themselves.

    Args:
        path: a file, plain or packed.
        block_bytes: see above.
        encoding: of the file.
        cr: whether its lines end in CR alone.
        start: of a plain file in UTF-8, a line's number and the byte where it begins: reading goes on from there as if
            it came from the begin of the file.

    Raises:
        MissingInputError: if the file is not there.
        DataError: if it is no text, but a database or a web page, for instance.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there. Put the file there, or correct its name in the dataset's YAML.")
    with path.open("rb", buffering=0) as handle:
        if start != FROM_BEGIN:
            yield from _blocks(handle, _pieces_from(handle, start.byte, block_bytes), start, plain=True)
            return
        plain = encoding == UTF8 and not cr and _is_plain(handle)
        yield from _blocks(handle, _as_utf8(path, chunks(path, handle, block_bytes), encoding, cr=cr), plain=plain)


def _is_plain(handle: FileIO) -> bool:
    """Whether a file is not packed and has no wide characters: its bytes are read as they are."""
    begin = handle.read(LOOKED_AT)
    handle.seek(0)
    return codec_of(begin) is None and not wide_encoding(begin)


def _pieces_from(handle: FileIO, byte: int, size: int) -> Iterator[list[bytes]]:
    """Return the bytes from a place on, in the pieces in which they come when the whole file is read."""
    handle.seek(byte)
    piece = handle.read(size - byte % size)
    while piece:
        yield [piece]
        piece = handle.read(size)


def _as_utf8(path: Path, found: Iterator[list[bytes] | str], encoding: str, *, cr: bool) -> Iterator[list[bytes] | str]:
    """Look at the first bytes, once, and pass UTF-8 on as it is."""
    first: list[list[bytes] | str] = []
    begin = b""
    for pieces in found:
        first.append(pieces)
        begin += b"" if isinstance(pieces, str) else b"".join(pieces)
        if len(begin) >= LEAST_BYTES:
            break
    refuse_foreign(path, begin)
    encoding = (wide_encoding(begin) or encoding) if encoding == UTF8 else encoding
    whole = itertools.chain(first, found)
    yield from whole if encoding == UTF8 and not cr else translated(whole, encoding, cr=cr)


def _blocks(
    handle: FileIO,
    found: Iterator[list[bytes]] | Iterator[list[bytes] | str],
    start: Start = FROM_BEGIN,
    *,
    plain: bool,
) -> Iterator[LineBlock]:
    number, rest, beginning, skipping = start.line, b"", start == FROM_BEGIN, False
    begin = start.byte if plain else None
    for pieces in found:
        if isinstance(pieces, str):
            yield LineBlock(rest[:BEGIN_BYTES], number, handle.tell(), pieces, damaged=True)
            return
        if beginning:
            chunk, rest = b"".join((rest, *pieces)), b""
            if len(chunk) < len(BOM):
                rest = chunk
                continue
            pieces, beginning = [chunk.removeprefix(BOM)], False
            begin = begin if begin is None else len(chunk) - len(pieces[0])
        if skipping:
            _, end, chunk = b"".join(pieces).partition(b"\n")
            if not end:
                continue
            pieces, skipping, number = [chunk], False, number + 1
        lines, left = _cut(pieces)
        if lines:
            content, rest = b"".join((rest, *lines)), left
            block = LineBlock(content, number, handle.tell(), begin=begin)
            number += len(block.ends)  # faster than counting them in the bytes, and most readers need their places
            begin = begin if begin is None else begin + len(content)
            yield block
            continue
        rest += left
        if len(rest) > LINE_BYTES:
            flaw = f"the line is longer than {LINE_BYTES} bytes"
            yield LineBlock(rest[:BEGIN_BYTES], number, handle.tell(), flaw)
            rest, skipping, begin = b"", True, None
    if rest:
        yield LineBlock(rest, number, handle.tell(), begin=begin)


def _cut(pieces: list[bytes]) -> tuple[list[bytes | memoryview], bytes]:
    """Return what goes up to the last line end, yet to be joined, and what comes after it."""
    for place in range(len(pieces) - 1, -1, -1):
        cut = pieces[place].rfind(b"\n") + 1
        if cut:
            after = b"".join((memoryview(pieces[place])[cut:], *pieces[place + 1 :]))
            return [*pieces[:place], memoryview(pieces[place])[:cut]], after
    return [], b"".join(pieces)
