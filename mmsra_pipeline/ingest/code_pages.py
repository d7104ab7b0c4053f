# ruff: noqa: RUF001  # letters of many languages
"""Which code page a text is written in: the one under which its letters are those of one language, if just one is."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

WESTERN = "cp1252"
SIGNS: Final = frozenset("“”„‘’‚–—…€£®©™°«»·´¡¿§½¼¾¹²³×•ªº\u00a0±†‹›¢¥µ")
LATIN: Final = {
    "German": "äöüßÄÖÜé",
    "French": "àâæçéèêëîïôœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜ",
    "Spanish": "áéíóúüñÁÉÍÓÚÜÑ",
    "Portuguese": "áâãàçéêíóôõúÁÂÃÀÇÉÊÍÓÔÕÚ",
    "Italian": "àèéìòùÀÈÉÌÒÙ",
    "Catalan": "àçéèíïóòúüÀÇÉÈÍÏÓÒÚÜ",
    "Dutch": "éëïöüèêÉËÏÖÜ",
    "Swedish": "åäöéÅÄÖÉ",
    "Danish": "æøåéÆØÅÉ",
    "Icelandic": "áðéíóúýþæöÁÐÉÍÓÚÝÞÆÖ",
    "Hungarian": "áéíóöőúüűÁÉÍÓÖŐÚÜŰ",
    "Polish": "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ",
    "Czech": "áčďéěíňóřšťúůýžÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ",
    "Slovak": "áäčďéíĺľňóôŕšťúýžÁÄČĎÉÍĹĽŇÓÔŔŠŤÚÝŽ",
    "Romanian": "ăâîşţșțĂÂÎŞŢȘȚ",
    "Croatian": "čćđšžČĆĐŠŽ",
    "Turkish": "çğıöşüâîûÇĞİÖŞÜÂÎÛ",
    "Lithuanian": "ąčęėįšųūžĄČĘĖĮŠŲŪŽ",
    "Latvian": "āčēģīķļņšūžĀČĒĢĪĶĻŅŠŪŽ",
    "Estonian": "äõöüšžÄÕÖÜŠŽ",
}
LATIN_PAGES: Final = {
    WESTERN: ("German", "French", "Spanish", "Portuguese", "Italian", "Catalan", "Dutch", "Swedish", "Danish",
              "Icelandic", "Estonian"),
    "cp1250": ("Hungarian", "Polish", "Czech", "Slovak", "Romanian", "Croatian"),
    "iso8859-2": ("Hungarian", "Polish", "Czech", "Slovak", "Romanian", "Croatian"),
    "cp1254": ("Turkish",),
    "cp1257": ("Lithuanian", "Latvian", "Estonian"),
    "cp850": ("German", "French", "Spanish", "Portuguese", "Italian", "Swedish", "Danish"),
    "cp852": ("Hungarian", "Polish", "Czech", "Slovak", "Croatian"),
    "mac_roman": ("German", "French", "Spanish", "Portuguese", "Italian", "Swedish", "Danish"),
}  # fmt: skip
SCRIPTS: Final = {
    "Cyrillic": ("[\u0400-\u045f\u0490\u0491]", "оеаинтсрвл", 0.42,
                 ("cp1251", "koi8-r", "koi8-u", "cp866", "iso8859-5")),
    "Greek": ("[\u0386-\u03ce]", "αοιετσνηρπάόίέή", 0.6, ("cp1253", "iso8859-7")),
    "Hebrew": ("[\u05d0-\u05ea]", "יוהלאתרבמש", 0.45, ("cp1255", "iso8859-8")),
}  # fmt: skip
"""Of a script: its letters, those that are most of any text in its usual languages, their share, its code pages."""
HANGUL, KANA, HAN = "[\uac00-\ud7a3]", "[\u3041-\u30fe]", "[\u4e00-\u9fff]"
WHOLE = 0.98
ENOUGH = 20  # letters; fewer may be of another language by chance
FEW_OF_WESTERN = 0.9
MIXED = re.compile("[A-Za-z][\u3041-\ud7a3]|[\u3041-\ud7a3][a-z]")  # as in no word
BROKEN_CASE = re.compile(r"[a-zß-öø-ÿ][À-ÖØ-Þ]")
WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Reading:
    """A text under one code page."""

    page: str
    language: str
    text: str
    share: float
    """Of its letters beyond ASCII and its signs, those that fit the language, 0 to 1."""

    @cached_property
    def foreign(self) -> int:
        """How many characters are beyond ASCII."""
        return sum(not char.isascii() for char in self.text)

    def word(self, place: int) -> tuple[str, int]:
        """Return what stands around a place of the text, and its 1-based line."""
        begin, end = self.text.rfind("\n", 0, place) + 1, self.text.find("\n", place)
        line = self.text[max(begin, place - 15) : end if -1 < end < place + 15 else place + 15]
        return line.strip(), self.text.count("\n", 0, place) + 1


def readings(sample: bytes) -> list[Reading]:
    """Return the readings of a text as one language, the surest first; two pages that read it alike are one.

    Args:
        sample: no UTF-8; it may end within a character.
    """
    found = [*_east_asian(sample)] or [*_scripts(sample), *_latin(sample)]
    found.sort(key=lambda one: -one.share)
    if found and found[0].foreign >= ENOUGH and found[0].share == 1.0:
        found = [one for one in found if one.share == 1.0]  # of many letters none is odd in one of them
        korean = [one for one in found if one.language == "Korean"]
        found = korean or found  # the usual Chinese characters have the bytes of Hangul, but not these alone
    alike: dict[str, Reading] = {}
    for one in found:
        alike.setdefault(one.text, one)
    return list(alike.values())


def western_share(sample: bytes) -> float:
    """Return the best share of letters that one Western European language explains, 0 to 1."""
    shares = (one.share for one in _latin(sample, 0.0) if one.page == WESTERN)
    return max(shares, default=0.0)


def first_difference(one: Reading, other: Reading) -> int:
    """Return the place of the first character that two readings of as many characters read otherwise."""
    return next((at for at, (a, b) in enumerate(zip(one.text, other.text, strict=False)) if a != b), 0)


def _latin(sample: bytes, least: float = WHOLE) -> Iterator[Reading]:
    for page, languages in LATIN_PAGES.items():
        text = _decoded(sample, page)
        foreign = [char for char in text if not char.isascii()]
        odd = len(BROKEN_CASE.findall(text))  # 'CafÚ': no language writes so
        for language in languages if foreign else ():
            known = SIGNS.union(LATIN[language])
            fitting = sum(char in known for char in foreign) - odd
            letters = sum(char in LATIN[language] for char in foreign)
            if letters and fitting >= least * len(foreign):
                yield Reading(page, language, text, fitting / len(foreign))


def _scripts(sample: bytes) -> Iterator[Reading]:
    for script, (letters, common, share, pages) in SCRIPTS.items():
        for page in pages:
            text = _decoded(sample, page)
            foreign = [char for char in text if not char.isascii() and char not in SIGNS]
            own = re.findall(letters, text)
            mixed = len(re.findall(f"[A-Za-z]{letters}|{letters}[A-Za-z]", text))
            if not own or len(own) < WHOLE * len(foreign) or mixed > 0.1 * len(own):
                continue
            words = [word for word in WORD.findall(text) if not word.isascii()]
            cased = sum(word[1:] == word[1:].lower() or word == word.upper() for word in words) / len(words)
            usual = sum(char.lower() in common for char in own) / len(own)
            small = sum(char == char.lower() for char in own) / len(own)
            if cased >= 0.9 and small >= 0.5 and usual >= share:
                yield Reading(page, script, text, usual)


def _east_asian(sample: bytes) -> Iterator[Reading]:
    """Return readings in Chinese, Japanese or Korean: kana show the second, Hangul alone the third."""
    for page, language in (("cp932", "Japanese"), ("euc_jp", "Japanese"), ("cp949", "Korean"), ("gb18030", "Chinese"),
                           ("big5", "Chinese")):  # fmt: skip
        text = _decoded(sample, page)
        foreign = [char for char in text if not char.isascii() and not _is_wide_sign(char)]
        if len(foreign) < 2 or len(MIXED.findall(text)) > 0.1 * len(foreign):
            continue
        kana, hangul, han = (len(re.findall(kind, text)) / len(foreign) for kind in (KANA, HANGUL, HAN))
        if language == "Japanese":
            fits = kana >= 0.15 and kana + han >= WHOLE
        elif language == "Korean":
            usual = sum(len(char.encode("euc_kr", "ignore")) == 2 for char in foreign)  # others take 8 bytes there
            fits = hangul >= WHOLE and usual >= WHOLE * len(foreign)
        else:
            fits = kana == 0 and han >= WHOLE and _usual_han(text, page) >= 0.85
        if fits:
            yield Reading(page, language, text, kana + hangul + han)


def _usual_han(text: str, page: str) -> float:
    """Return the share of Chinese characters that the standard behind a code page lists as the usual ones."""
    last = 0xD7 if page == "gb18030" else 0xC6
    begins: list[int] = [char.encode(page)[0] for char in re.findall(HAN, text)]
    first = 0xB0 if page == "gb18030" else 0xA4
    return sum(first <= begin <= last for begin in begins) / max(len(begins), 1)


def _is_wide_sign(char: str) -> bool:
    return "\u3000" <= char <= "\u3020" or "\uff00" <= char <= "\uff65" or char in SIGNS


def _decoded(sample: bytes, page: str) -> str:
    """Return the text under a code page; empty if it cannot be read so, but for a cut end."""
    for cut in range(4):
        try:
            return sample[: len(sample) - cut].decode(page)
        except UnicodeDecodeError as error:
            if error.start < len(sample) - 4:
                return ""
    return ""


def of_one_language(found: Iterable[Reading]) -> list[str]:
    """Name pages and languages, for an error."""
    return [f"{one.page} ({one.language})" for one in found]
