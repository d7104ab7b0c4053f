"""Lines of plain, gzip or zstd files in blocks, in memory that does not grow with the file.

What a file is compressed with is told by its first bytes, not by its name.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from zlib_ng import zlib_ng

from mmsra_pipeline.errors import DataError, MissingInputError

BLOCK_BYTES = 4 << 20
PIECE_BYTES = 1 << 17  # of a compressed file
SMALL_BYTES = 1 << 10  # of a decompressed one: of the piece in which a file turns out to be damaged nothing is given
BEGIN_BYTES = 1000  # of a line that is not given whole
LINE_BYTES = 16 << 20  # a longer line is no row of any format; without a bound a file without line ends is one
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
(NEWLINE,) = b"\n"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"
GZIP_ERROR: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # its stub says that this is an instance


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


def read_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[LineBlock]:
    """Return the lines of a file in blocks of ``block_bytes`` at most, but for longer lines, cut at line ends only.

    A line above ``LINE_BYTES`` comes by itself as a block with a ``flaw``, cut to its begin; so does, at the end, the
    place where a compressed file is damaged or cut off. All other lines come whole, without a byte order mark.

    Raises:
        MissingInputError: if the file is not there.
        DataError: if it is UTF-16.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there. Put the file there, or correct its name in the dataset's YAML.")
    with path.open("rb", buffering=0) as handle:
        yield from _blocks(path, handle, block_bytes)


def _blocks(path: Path, handle: FileIO, size: int) -> Iterator[LineBlock]:
    number, rest, beginning, skipping = 1, b"", True, False
    for pieces in _chunks(handle, size):
        if isinstance(pieces, str):
            yield LineBlock(rest[:BEGIN_BYTES], number, handle.tell(), pieces, damaged=True)
            return
        if beginning:
            chunk, rest = b"".join((rest, *pieces)), b""
            if chunk[:2] in UTF16:
                raise DataError(f"{path}: is UTF-16, not UTF-8. Save it as UTF-8.")
            if len(chunk) < len(BOM):
                rest = chunk
                continue
            pieces, beginning = [chunk.removeprefix(BOM)], False
        if skipping:
            _, found, chunk = b"".join(pieces).partition(b"\n")
            if not found:
                continue
            pieces, skipping, number = [chunk], False, number + 1
        lines, left = _cut(pieces)
        if lines:
            content, rest = b"".join((rest, *lines)), left
            block = LineBlock(content, number, handle.tell())
            number += len(block.ends)  # faster than counting them in the bytes, and most readers need their places
            yield block
            continue
        rest += left
        if len(rest) > LINE_BYTES:
            flaw = f"the line is longer than {LINE_BYTES} bytes"
            yield LineBlock(rest[:BEGIN_BYTES], number, handle.tell(), flaw)
            rest, skipping = b"", True
    if rest:
        yield LineBlock(rest, number, handle.tell())


def _cut(pieces: list[bytes]) -> tuple[list[bytes | memoryview], bytes]:
    """Return what goes up to the last line end, yet to be joined, and what comes after it."""
    for place in range(len(pieces) - 1, -1, -1):
        cut = pieces[place].rfind(b"\n") + 1
        if cut:
            after = b"".join((memoryview(pieces[place])[cut:], *pieces[place + 1 :]))
            return [*pieces[:place], memoryview(pieces[place])[:cut]], after
    return [], b"".join(pieces)


def _chunks(handle: FileIO, size: int) -> Iterator[list[bytes] | str]:
    """Return decompressed bytes; at last, where the file is damaged, the reason as text.

    They come in pieces, to be joined once, where lines are cut.
    """
    start = handle.read(4)
    handle.seek(0)
    codec = next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
    try:
        yield from _gathered(_inflated(handle, size) if codec == "gzip" else _streamed(handle, codec, size), size)
    except (OSError, EOFError, GZIP_ERROR) as error:
        if codec is None:
            raise
        reason = str(error).splitlines()[0][:100]
        yield f"the {codec} file is damaged or cut off here ({reason}); what follows is lost"


def _gathered(pieces: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Return pieces of ``size`` bytes at most together; what came before an error is given before it is raised."""
    waiting: list[bytes] = []
    held = 0
    try:
        for piece in pieces:
            if waiting and held + len(piece) > size:
                yield waiting
                waiting, held = [], 0
            waiting.append(piece)
            held += len(piece)
            if held > size // 2:
                yield waiting
                waiting, held = [], 0
    except (OSError, EOFError, GZIP_ERROR):
        if waiting:
            yield waiting
        raise
    if waiting:
        yield waiting


def _streamed(handle: FileIO, codec: str | None, size: int) -> Iterator[bytes]:
    if codec is None:
        while piece := handle.read(size):
            yield piece
        return
    again = open(handle.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115  # Arrow closes what it reads
    with pa.CompressedInputStream(pa.PythonFile(again), codec) as stream:
        while piece := stream.read(SMALL_BYTES):
            yield piece


def _inflated(handle: FileIO, size: int) -> Iterator[bytes]:
    """Yield every byte of a gzip file up to where it is damaged. It may have several members, and end in zeros."""
    member, waiting = zlib_ng.decompressobj(zlib_ng.MAX_WBITS | 16), b""
    while True:
        waiting = waiting or handle.read(PIECE_BYTES)
        if not waiting:
            break
        before = member.copy()  # type: ignore[attr-defined]  # its stub does not know it
        try:
            piece = member.decompress(waiting, size)
        except GZIP_ERROR:
            yield from _bytewise(before, waiting)
            raise
        waiting = member.unconsumed_tail
        if piece:
            yield piece
        if member.eof:
            waiting = (member.unused_data or handle.read(PIECE_BYTES)).lstrip(b"\0")
            while not waiting and (more := handle.read(PIECE_BYTES)):
                waiting = more.lstrip(b"\0")
            if not waiting:
                return
            member = zlib_ng.decompressobj(zlib_ng.MAX_WBITS | 16)
    while piece := member.flush():
        yield piece
    if not member.eof:
        raise EOFError("it ends before its end mark")


def _bytewise(member: "zlib_ng._Decompress", compressed: bytes) -> Iterator[bytes]:
    """Return what can be read before the damage: of the call in which it is met zlib gives nothing."""
    with contextlib.suppress(GZIP_ERROR):
        for at in range(len(compressed)):
            yield member.decompress(compressed[at : at + 1])
