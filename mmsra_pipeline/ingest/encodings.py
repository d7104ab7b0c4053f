"""How the bytes of a text file are to be read as characters: UTF-8, UTF-16 or UTF-32, or a Western code page."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsra_pipeline.errors import DataError

UTF8 = "utf-8"
MARKS = {  # the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
WESTERN = "cp1252"
LOOKED_AT = 4096
ESCAPED = re.compile("[\udc80-\udcff]")
FEW = re.compile(rb"(?<![\x80-\xff])[\x80-\xff]{1,2}(?![\x80-\xff])")  # in a word of a Western language
USUAL = frozenset(
    "äöüßÄÖÜéèêëàâáåãæçíìîïñóòôõøœúùûýÿÉÈÀÁÅÆÇÑÓØŒ\u201c\u201d\u2018\u2019\u2013\u2014…€®©™°«»\u00b4·¡¿£§½¼²³"
)
WITHIN_WORDS = re.compile("[a-zA-Z][¹²³¼½¾¿ª£¥¢§±¶¤¦][a-z]")  # letters of Polish, as a Western code page shows them
MOSTLY = 0.8
STRAY = 6  # bytes that may be damage


@dataclass(frozen=True)
class Encoding:
    """An encoding, and what is to be said of it ("" where it is plain UTF-8)."""

    name: str
    said: str = ""


def wide_encoding(begin: bytes) -> str:
    """Return the UTF-16 or UTF-32 that bytes begin in, with or without a byte order mark; empty if in neither.

    >>> wide_encoding("user,item".encode("utf-16-le")), wide_encoding(b"user,item")
    ('utf-16-le', '')
    """
    marked = next((name for mark, name in MARKS.items() if begin.startswith(mark)), "")
    if marked:
        return marked
    looked = begin[: LOOKED_AT // 4 * 4]
    if len(looked) < 8 or b"\0" not in looked[:64]:
        return ""
    # Texts with Latin letters, digits and separators have every other byte zero.
    even, odd = looked[0::2].count(0) / len(looked[0::2]), looked[1::2].count(0) / len(looked[1::2])
    if odd > 0.4 and even < 0.2:
        return "utf-16-le"
    return "utf-16-be" if even > 0.4 and odd < 0.2 else ""


def detect(sample: bytes, path: Path, option: str | None) -> Encoding:
    """Tell the encoding of a file from its first bytes.

    Args:
        sample: unpacked; it may end within a character.
        path: of the file, for the error.
        option: what the YAML states.

    Raises:
        DataError: if it cannot be told, with what it may be and the option that states it; or if that one is unknown.
    """
    if option is not None:
        try:
            return Encoding(codecs.lookup(option).name if option.lower() != "utf-8-sig" else UTF8)
        except LookupError:
            raise DataError(
                f"{path}: encoding: {option!r} is not known. Write for example utf-8, utf-16, cp1252 or latin-1."
            ) from None
    wide = wide_encoding(sample)
    if wide:
        return Encoding(wide, f"is {wide.upper()}")
    try:
        codecs.getincrementaldecoder(UTF8)().decode(sample)
    except UnicodeDecodeError:
        return _eight_bit(sample, path)
    return Encoding(UTF8)


def _eight_bit(sample: bytes, path: Path) -> Encoding:
    text = sample.decode(UTF8, "surrogateescape")
    flawed = ESCAPED.findall(text)
    sound = sum(not char.isascii() for char in text) - len(flawed)
    if sound >= len(flawed):
        return Encoding(UTF8)  # some damage in UTF-8: those rows are refused
    high = sum(byte > 127 for byte in sample)
    try:
        western = sample.decode(WESTERN)
    except UnicodeDecodeError:
        western = ""
    usual = sum(char in USUAL for char in western)
    within = sum(map(len, FEW.findall(sample)))
    if western and min(usual, within) >= MOSTLY * high and not WITHIN_WORDS.search(western):
        place = next(at for at, char in enumerate(western) if not char.isascii())
        shown = western[max(0, place - 12) : place + 12].replace("\n", " ").strip()
        return Encoding(WESTERN, f"is not UTF-8; read as {WESTERN} (Western European), such as {shown!r}")
    if len(flawed) <= STRAY:
        return Encoding(UTF8)
    raise DataError(
        f"{path}: is not UTF-8, and in which encoding it is cannot be told for sure{_guess(sample)}. "
        f"State it in the data set's YAML: `encoding: NAME`, or save the file as UTF-8."
    )


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: 1 << 16]).best()
    return f"; it may be {best.encoding}" if best else ""


def translated(chunks: Iterator[list[bytes] | str], encoding: str, *, cr: bool) -> Iterator[list[bytes] | str]:
    """Return bytes of any encoding as UTF-8; with ``cr``, line ends CR as LF. What cannot be read shows as U+FFFD."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for pieces in chunks:
        if isinstance(pieces, str):
            yield pieces
            return
        text = decoder.decode(b"".join(pieces))
        text = text.replace("\r", "\n") if cr else text
        if text:
            yield [text.encode(UTF8, "replace")]
    rest = decoder.decode(b"", final=True)
    if rest:
        yield [rest.encode(UTF8, "replace")]
