"""How the bytes of a text file are to be read as characters: UTF-8, UTF-16 or UTF-32, or a code page."""

import codecs
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from encodings.aliases import aliases
from pathlib import Path

from mmsra_pipeline.errors import DataError
from mmsra_pipeline.ingest.code_pages import (
    ENOUGH,
    FEW_OF_WESTERN,
    WESTERN,
    Reading,
    first_difference,
    of_one_language,
    readings,
    western_share,
)

UTF8 = "utf-8"
MARKS = {  # the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LOOKED_AT = 4096
JUDGED = 1 << 16  # bytes of the lines with letters beyond ASCII from which their code page is detected
ESCAPED = re.compile("[\udc80-\udcff]")
FEW = re.compile(rb"(?<![\x80-\xff])[\x80-\xff]{1,2}(?![\x80-\xff])")  # in a word of a Western language
USUAL = frozenset(
    "äöüßÄÖÜéèêëàâáåãæçíìîïñóòôõøœúùûýÿÉÈÀÁÅÆÇÑÓØŒ\u201c\u201d\u2018\u2019\u2013\u2014…€®©™°«»\u00b4·¡¿£§½¼²³"
)
# Letters of Polish and of old code pages, as a Western one shows them.
WITHIN_WORDS = re.compile(
    "[a-zA-Z][¹²³¼½¾¿¡ª£¥¢§±¶¤¦©®°¬»«\u201e\u201c\u201d…\u2013\u2014•][a-z]|(?<!\\w)[¹²³¼½¾][a-z]{4}"
)
TWICE = re.compile(rb"\xc3[\x82\x83]\xc2[\x80-\xbf]|\xc3\xa2\xe2\x82\xac")  # as 'Ã©' and 'â€' are
SEVERAL = 3
MOSTLY = 0.8
STRAY = 6  # bytes that may be damage
DAMAGED = 0.05  # share of lines up to which they are
NO_TEXT = {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7", "mbcs", "oem"}
"""Codecs of texts that no tool writes files in; they read a wrong file without a word."""
UNREADABLE = "\udcff"  # stands for bytes that are none of an encoding; as UTF-8 it is not valid, so its row is refused
codecs.register_error("mmsra-unreadable", lambda error: (UNREADABLE, error.end))  # type: ignore[attr-defined]


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
        DataError: if it cannot be known, with what it may be and the option that states it; or if that one is unknown.
    """
    if option is not None:
        return _stated(option, sample, path)
    wide = wide_encoding(sample)
    if wide:
        return Encoding(wide, f"is {wide.upper()}")
    try:
        codecs.getincrementaldecoder(UTF8)().decode(sample)
    except UnicodeDecodeError:
        return _eight_bit(sample, path)
    twice = None if sample.isascii() else TWICE.search(sample)
    if twice and len(TWICE.findall(sample)) >= SEVERAL:
        word, line = _first_foreign(sample[max(0, twice.start() - 20) :].decode(UTF8, "replace"))
        line += sample.count(b"\n", 0, max(0, twice.start() - 20))
        return Encoding(
            UTF8, f"line {line}, {word!r}: was UTF-8 and was taken for a Western code page before; export it again"
        )
    return Encoding(UTF8)


def _stated(option: str, sample: bytes, path: Path) -> Encoding:
    try:
        found = codecs.lookup(option)
        name = found.name if option.lower().replace("_", "-") != "utf-8-sig" else UTF8
        if not found._is_text_encoding or name.replace("_", "-") in NO_TEXT:  # as open() asks
            raise LookupError
    except LookupError:
        known = sorted({*aliases, *aliases.values()} - {"hex_codec", "base64_codec", "rot_13", "quopri_codec"})
        close = difflib.get_close_matches(option.lower().replace("-", "_"), known, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        raise DataError(
            f"{path}: encoding: {option!r} is not known.{guess} Write for example utf-8, utf-16, cp1252, cp1251, "
            "shift_jis or gb18030."
        ) from None
    if name == UTF8 or sample.isascii() or wide_encoding(sample):
        return Encoding(name)
    try:
        text = codecs.getincrementaldecoder(UTF8)().decode(sample)
    except UnicodeDecodeError:
        return Encoding(name)
    word, line = _first_foreign(text)
    return Encoding(
        name, f"is read as {name}, as stated, but is valid UTF-8: line {line}, {word!r}; leave `encoding:` out if so"
    )


def _first_foreign(text: str) -> tuple[str, int]:
    """Return what stands around the first character beyond ASCII, and its line."""
    place = next((at for at, char in enumerate(text) if not char.isascii()), 0)
    return Reading("", "", text, 0.0).word(place)


def _eight_bit(sample: bytes, path: Path) -> Encoding:
    text = sample.decode(UTF8, "surrogateescape")
    flawed = ESCAPED.findall(text)
    sound = sum(not char.isascii() for char in text) - len(flawed)
    if sound >= len(flawed):
        return Encoding(UTF8)  # some damage in UTF-8: those rows are refused
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    judged = b"\n".join(lines)[:JUDGED]
    found = readings(judged)
    if _is_western(sample):
        western = next((one for one in found if one.page == WESTERN), None)
        others = [one for one in found if one.page != WESTERN]
        if others and western is None and _is_sure(others, judged):
            return _said(others[0], sample)
        return _western(sample, others)
    if found and _is_sure(found, judged):
        return _said(found[0], sample)
    few = len(lines) <= max(1, DAMAGED * sample.count(b"\n"))
    if len(flawed) <= STRAY and (few or not found):
        return Encoding(UTF8)
    word, line = _first_foreign(sample.decode(found[0].page if found else WESTERN, "replace"))
    likely = f"it may be {' or '.join(of_one_language(found[:3]))}" if found else _guess(sample)
    raise DataError(
        f"{path}: is not UTF-8, and which encoding it has cannot be known for sure{'; ' if likely else ''}{likely}: "
        f"line {line}, {word!r}. State it in the data set's YAML: `encoding: {found[0].page if found else 'NAME'}`, "
        "or save the file as UTF-8."
    )


def _is_western(sample: bytes) -> bool:
    """Whether letters that are usual in Western Europe stand alone among ASCII."""
    high = sum(byte > 127 for byte in sample)
    try:
        text = sample.decode(WESTERN)
    except UnicodeDecodeError:
        return False
    usual = sum(char in USUAL for char in text)
    within = sum(map(len, FEW.findall(sample)))
    return min(usual, within) >= MOSTLY * high and not WITHIN_WORDS.search(text)


def _is_sure(found: list[Reading], judged: bytes) -> bool:
    """Whether a text can be read in one way only, and is long enough that this is no chance."""
    return len(found) == 1 and found[0].foreign >= ENOUGH and western_share(judged) <= FEW_OF_WESTERN


def _said(one: Reading, sample: bytes) -> Encoding:
    word, line = _first_foreign(sample.decode(one.page, "replace"))
    return Encoding(one.page, f"is not UTF-8; read as {one.page} ({one.language}), such as line {line}, {word!r}")


def _western(sample: bytes, others: list[Reading]) -> Encoding:
    """Return the Western code page, with what the text would be under another that explains it as well."""
    text = sample.decode(WESTERN)
    word, line = _first_foreign(text)
    said = f"is not UTF-8; read as {WESTERN} (Western European), such as line {line}, {word!r}"
    for other in others:
        whole = Reading(other.page, other.language, sample.decode(other.page, "replace"), 1.0)
        ours = Reading(WESTERN, "", text, 1.0)
        if whole.text != text and len(whole.text) == len(text):
            place = first_difference(ours, whole)
            (mine, line), (theirs, _) = ours.word(place), whole.word(place)
            said += (
                f"; but line {line} would be {theirs!r} as {other.page} ({other.language}), and is {mine!r} now: "
                f"if that is wrong, state `encoding: {other.page}`, else `encoding: {WESTERN}`"
            )
            break
    return Encoding(WESTERN, said)


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: 1 << 16]).best()
    return f"it may be {best.encoding}" if best else ""


def translated(chunks: Iterator[list[bytes] | str], encoding: str, *, cr: bool) -> Iterator[list[bytes] | str]:
    """Return bytes of any encoding as UTF-8; with ``cr``, line ends CR as LF. What cannot be read is no UTF-8 either.

    So its rows are refused.
    """
    decoder = codecs.getincrementaldecoder(encoding)("mmsra-unreadable")
    for pieces in chunks:
        if isinstance(pieces, str):
            yield pieces
            return
        text = decoder.decode(b"".join(pieces))
        text = text.replace("\r", "\n") if cr else text
        if text:
            yield [_encoded(text)]
    rest = decoder.decode(b"", final=True)
    if rest:
        yield [_encoded(rest)]


def _encoded(text: str) -> bytes:
    try:
        return text.encode(UTF8, "surrogateescape")
    except UnicodeEncodeError:  # halves of pairs that were in the file itself
        return text.encode(UTF8, "replace")
