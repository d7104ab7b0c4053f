"""Files that are no tables: named for what they are by their first bytes, with what to do."""

import re
from pathlib import Path

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.containers import PARQUET, codec_of

PICKLE = "a Python pickle, which is not opened because it may run code; write it as Parquet or CSV"
FOREIGN = {
    PARQUET: "a Parquet file; only `format: tables` reads it, and only when nothing is packed around it",
    b"ORC": "an ORC file; write it as Parquet or CSV",
    b"Obj\x01": "an Avro file; write it as Parquet or CSV",
    b"ARROW1": "an Arrow (Feather) file; write it as Parquet",
    b"SQLite format 3\0": "a SQLite database; export the table as CSV",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file; write it as Parquet or CSV",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel workbook; save the sheet as CSV UTF-8",
    b"%PDF-": "a PDF",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!\x1a\x07": "a RAR archive; unpack it",
    b"PARE": "an encrypted Parquet file; write it without encryption",
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), PICKLE),
    b"\x04\x22\x4d\x18": "packed by LZ4; unpack it, or pack it by gzip or zstd",
    b"\xff\x06\0\0sNaPpY": "packed by Snappy; unpack it, or pack it by gzip or zstd",
    b"\x1f\x9d": "packed by compress (.Z); unpack it, or pack it by gzip",
    b"\x89LZO": "packed by LZO; unpack it, or pack it by gzip",
    b"]\0\0": "packed by LZMA alone; pack it as .xz, or unpack it",
    b"$FL2": "an SPSS file; write it as CSV UTF-8 or Parquet",
    b"<stata_dta>": "a Stata file; write it as CSV UTF-8 or Parquet",
    b"{\\rtf": "a text of a word processor (RTF); save the table as CSV UTF-8",
    b"SIMPLE  =": "a FITS file; write it as CSV or Parquet",
    b"\xff\xff\xff\xff": "an Arrow stream; write it as Parquet",
    b"\xff\xd8\xff": "a picture; name the folder of pictures under `images:`",
    b"\x89PNG": "a picture; name the folder of pictures under `images:`",
    b"\x93NUMPY": "a NumPy array; write it as Parquet or CSV",
    b"version https://git-lfs": "a Git LFS pointer in place of the file; run `git lfs pull`",
}
SQL = re.compile(
    rb"^(?:INSERT INTO|CREATE TABLE|COPY \S+ \(|-- (?:MySQL|MariaDB|PostgreSQL|SQLite) )", re.IGNORECASE | re.MULTILINE
)
CONTROLS = bytes(set(range(32)) - set(b"\0\x01\t\n\x0b\x0c\r\x1a\x1b\x1c\x1d\x1e\x1f"))
BINARY = 0.02  # share of control characters from which bytes are no text
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
MARKUP = re.compile(rb"\s*<\?xml\b", re.IGNORECASE)
PAGE_TITLE = re.compile(rb"<title[^>]*>(.{1,80}?)</title>", re.IGNORECASE | re.DOTALL)


def foreign(begin: bytes) -> str:
    """Say what a file is that begins so, and how to go on; empty if it may be text.

    >>> foreign(b"<html><title>404 Not Found</title>")
    "an HTML page ('404 Not Found'), such as a server sends in place of a file; get the file again"
    """
    known = next((text for magic, text in FOREIGN.items() if begin.startswith(magic)), "") or _no_table(begin)
    if known or (not begin[:2000].lstrip().startswith(b"<") and begin[257:262] != b"ustar"):
        return known
    if begin[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if PAGE.match(begin[:2000]):
        title = PAGE_TITLE.search(begin[:4000])
        named = f" ({title[1].decode('utf-8', 'replace').strip()!r})" if title else ""
        return f"an HTML page{named}, such as a server sends in place of a file; get the file again"
    return "an XML file; write it as CSV or Parquet" if MARKUP.match(begin[:2000]) else ""


def _no_table(begin: bytes) -> str:
    again = codec_of(begin)
    if again:
        return f"packed twice ({again} within another); unpack it once"
    if begin.startswith(ZLIB) and begin[2:200].translate(None, bytes(range(32, 128))):
        return "packed by zlib alone; pack it by gzip, or unpack it"
    head = begin[:4000]
    if SQL.search(head):
        return "a dump of a database (SQL); export the table as CSV"
    if b"\0" not in head[:64] and len(head) - len(head.translate(None, CONTROLS)) > BINARY * len(head):
        return f"no text (it begins with the bytes {head[:8].hex(' ')}); write the table as CSV UTF-8 or Parquet"
    return ""


def refuse_packed_parquet(path: Path) -> None:
    """Refuse Parquet that is packed once more: it is read from its end, and is packed within.

    Raises:
        DataError: saying by what.
    """
    with path.open("rb") as handle:
        codec = codec_of(handle.read(16))
    if codec:
        raise DataError(f"{path}: is a Parquet file packed by {codec}, which gains nothing. Unpack it, and run again.")


def refuse_foreign(path: Path, begin: bytes) -> None:
    """Refuse a file of which ``begin`` are the first unpacked bytes if it is no text.

    Raises:
        DataError: saying what it is.
    """
    found = foreign(begin)
    if found:
        raise DataError(f"{path}: is {found}. Then run again, or name another file in the data set's YAML.")
