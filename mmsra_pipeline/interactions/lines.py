"""Lines of plain, gzip or zstd files in blocks, in memory that does not grow with the file.

What a file is compressed with is told by its first bytes, not by its name. Decompression and whatever reads the blocks
run side by side.
"""

import contextlib
import queue
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import pyarrow as pa

from mmsra_pipeline.errors import DataError, MissingInputError

BLOCK_BYTES = 8 << 20
PIECE_BYTES = 1 << 18
LINE_BYTES = 16 << 20  # a longer line is no row of any format; without a bound a file without line ends is one
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")
BOM = b"\xef\xbb\xbf"
T = TypeVar("T")


@dataclass(frozen=True)
class LineBlock:
    """Whole lines of a file, in order."""

    content: bytes
    """The lines with their ends; the last one of a file may have none."""
    first: int
    """1-based number of the first line."""
    flaw: str = ""
    """Why ``content`` is no row: it is the begin of a line that is too long, or what came before a damaged place."""

    def lines(self) -> list[bytes]:
        """Give the lines without their ends."""
        found = self.content.split(b"\n")
        if found and not found[-1]:
            found.pop()
        return [line[:-1] if line.endswith(b"\r") else line for line in found]


def read_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[LineBlock]:
    """Give the lines of a file in blocks of about ``block_bytes``, cut at line ends only.

    A line above ``LINE_BYTES`` comes by itself as a block with a ``flaw``, cut to its begin; so does, at the end, the
    place where a compressed file is damaged or cut off. All other lines come whole, without a byte order mark.

    Raises:
        MissingInputError: if the file is not there.
        DataError: if it is UTF-16.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there. Put the file there, or correct its name in the dataset's YAML.")
    number, rest, skipping = 1, b"", False
    damage = ""
    for index, chunk in enumerate(_gathered(_chunks(path, block_bytes), block_bytes)):
        if isinstance(chunk, str):
            damage = chunk
            break
        if index == 0:
            if chunk[:2] in UTF16:
                raise DataError(f"{path}: is UTF-16, not UTF-8. Save it as UTF-8.")
            chunk = chunk.removeprefix(BOM)
        if skipping:
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk, skipping, number = chunk[end + 1 :], False, number + 1
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            rest += chunk
            if len(rest) > LINE_BYTES:
                yield LineBlock(rest[:1000], number, f"the line is longer than {LINE_BYTES} bytes")
                rest, skipping = b"", True
            continue
        content, rest = rest + chunk[:cut], chunk[cut:]
        yield LineBlock(content, number)
        number += content.count(b"\n")
    if damage:
        yield LineBlock(rest[:1000], number, damage)
    elif rest:
        yield LineBlock(rest, number)


def prefetched(rows: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Pass ``rows`` through, made by a thread of their own up to ``depth`` ahead; its errors come out here."""
    made: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(entry: tuple[T | None, BaseException | None, bool]) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                made.put(entry, timeout=0.1)
                return True
        return False

    def work() -> None:
        try:
            for row in rows:
                if not put((row, None, False)):
                    return
            put((None, None, True))
        except BaseException as error:  # noqa: BLE001  # raised again where the rows are taken
            put((None, error, True))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            row, error, ended = made.get()
            if error is not None:
                raise error
            if ended:
                return
            yield row  # type: ignore[misc]  # None only at the end
    finally:
        stopped.set()
        thread.join()


def _gathered(pieces: Iterator[bytes | str], size: int) -> Iterator[bytes | str]:
    """Join pieces to chunks of at least ``size`` bytes, but for the last one."""
    waiting: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            waiting.append(piece)
        if isinstance(piece, str) or sum(map(len, waiting)) >= size:
            if waiting:
                yield b"".join(waiting)
            waiting = []
        if isinstance(piece, str):
            yield piece
    if waiting:
        yield b"".join(waiting)


def _chunks(path: Path, size: int) -> Iterator[bytes | str]:
    """Give decompressed bytes; at last, where the file is damaged, the reason as text."""
    with path.open("rb") as handle:
        start = handle.read(4)
        handle.seek(0)
        codec = next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
        try:
            pieces = _inflated(handle, size) if codec == "gzip" else _streamed(path, codec, size)
            yield from pieces
        except (OSError, EOFError, zlib.error) as error:
            if codec is None:
                raise
            reason = str(error).splitlines()[0][:100]
            yield f"the {codec} file is damaged or cut off here ({reason}); what follows is lost"


def _streamed(path: Path, codec: str | None, size: int) -> Iterator[bytes]:
    with pa.input_stream(str(path), compression=codec) as stream:
        # Small pieces: of the one in which a file turns out to be damaged nothing is given.
        while piece := stream.read(size if codec is None else min(size, PIECE_BYTES)):
            yield piece


def _inflated(handle: BinaryIO, size: int) -> Iterator[bytes]:
    """Give every byte of a gzip file up to where it is damaged. It may consist of several members, and end in zeros."""
    member, waiting = zlib.decompressobj(zlib.MAX_WBITS | 16), b""
    while True:
        waiting = waiting or handle.read(PIECE_BYTES)
        if not waiting:
            break
        piece = member.decompress(waiting, size)
        waiting = member.unconsumed_tail
        if piece:
            yield piece
        if member.eof:
            waiting = (member.unused_data or handle.read(PIECE_BYTES)).lstrip(b"\0")
            while not waiting and (more := handle.read(PIECE_BYTES)):
                waiting = more.lstrip(b"\0")
            if not waiting:
                return
            member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while piece := member.flush():
        yield piece
    if not member.eof:
        raise EOFError("it ends before its end mark")
