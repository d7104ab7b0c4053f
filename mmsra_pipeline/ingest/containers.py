"""The bytes inside plain, gzip, zstd, bz2, xz and zip files, detected by their first bytes and never by their names.

In memory that does not grow with the file. What is no text at all is named in `foreign_files`.
"""

import bz2
import contextlib
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

import pyarrow as pa
from zlib_ng import zlib_ng

from mmsra_pipeline.errors import DataError

PIECE_BYTES = 1 << 17  # of a compressed file
SMALL_BYTES = 1 << 10  # of a decompressed one: of the piece in which a file turns out to be damaged nothing is given
SAMPLE_BYTES = 1 << 20
MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"PK\x03\x04": "zip",
}
BZ2 = re.compile(rb"BZh[1-9]1AY&SY")
PARQUET = b"PAR1"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
GZIP_ERROR: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # its stub says that this is an instance
DAMAGE = (OSError, EOFError, GZIP_ERROR, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


def codec_of(begin: bytes) -> str | None:
    """Name what packs a file that begins so; None if nothing does.

    >>> codec_of(b"BZh91AY&SY"), codec_of(b"BZhello,a")
    ('bz2', None)
    """
    if BZ2.match(begin):
        return "bz2"
    return next((name for magic, name in MAGIC.items() if begin.startswith(magic)), None)


def begin_of(path: Path, size: int = SAMPLE_BYTES) -> bytes:
    """Return the first unpacked bytes of a file, ``size`` at most; of a damaged one those before the damage."""
    found: list[bytes] = []
    with path.open("rb", buffering=0) as handle:
        for piece in chunks(path, handle, size):
            if isinstance(piece, str):
                break
            found.extend(piece)
            if sum(map(len, found)) >= size:
                break
    return b"".join(found)[:size]


def chunks(path: Path, handle: FileIO, size: int) -> Iterator[list[bytes] | str]:
    """Return unpacked bytes; at last, where the file is damaged, the reason as text.

    They come in pieces, to be joined once, where lines are cut.

    Raises:
        DataError: if it is an archive of several files, or of an Excel workbook.
    """
    start = handle.read(16)
    handle.seek(0)
    codec = codec_of(start)
    try:
        yield from _gathered(_unpacked(path, handle, codec, size), size)
    except DAMAGE as error:
        if codec is None:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        yield f"the {codec} file is damaged or cut off here ({reason}); what follows is lost"


def _unpacked(path: Path, handle: FileIO, codec: str | None, size: int) -> Iterator[bytes]:
    match codec:
        case None:
            return iter(lambda: handle.read(size), b"")
        case "gzip":
            return _inflated(handle, size)
        case "zstd":
            return _streamed(handle)
        case "bz2":
            return _read(lambda: bz2.BZ2File(handle))
        case "xz":
            return _read(lambda: lzma.LZMAFile(handle))
        case _:
            return _read(lambda: _member(path, handle))


def _read(opened: Callable[[], object]) -> Iterator[bytes]:
    with opened() as stream:  # type: ignore[attr-defined]  # each is a binary file
        while piece := stream.read(SMALL_BYTES):
            yield piece


def _member(path: Path, handle: FileIO) -> object:
    """Open the one file of a zip archive."""
    archive = zipfile.ZipFile(handle)
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    book = "an Excel workbook" if {"xl/workbook.xml", "xl/workbook.bin"}.intersection(names) else ""
    if "content.xml" in names and "mimetype" in names:
        book = "a LibreOffice document"
    if book:
        raise DataError(f"{path}: is {book}. Save the sheet as CSV UTF-8, and name that file in the YAML.")
    inner = [name for name in names if not name.startswith(("__MACOSX/", ".")) and "/." not in name]
    if len(inner) > 1 and all(name.lower().endswith(PICTURES) for name in inner):
        raise DataError(
            f"{path}: is a zip archive of {len(inner)} pictures. Unpack it, and name the folder: `images: NAME`."
        )
    if len(inner) != 1:
        first = ", ".join(inner[:5]) or "none"
        raise DataError(
            f"{path}: is a zip archive of {len(inner)} files ({first}), not of one. Unpack it, and name one."
        )
    if archive.getinfo(inner[0]).flag_bits & 1:
        raise DataError(f"{path}: is a zip archive with a password. Unpack it, and name the file {inner[0]}.")
    return archive.open(inner[0])


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
    except DAMAGE:
        if waiting:
            yield waiting
        raise
    if waiting:
        yield waiting


def _streamed(handle: FileIO) -> Iterator[bytes]:
    again = open(handle.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115  # Arrow closes what it reads
    with pa.CompressedInputStream(pa.PythonFile(again), "zstd") as stream:
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
