# ruff: noqa: RUF001  # letters of many languages
"""Times as programs and people of many countries write them, brought to forms with numbers and English months."""

import re
import unicodedata
from typing import Final

MONTHS: Final = {
    word: english
    for english, words in {
        "Jan": "januar januari janvier janv enero ene gennaio gen janeiro january jänner ocak январь января янв",
        "Feb": "februar februari février févr fév febrero febbraio fevereiro fev february febr февраль февраля фев",
        "Mar": "märz mrz maart mrt mars marzo março march mart март марта мар",
        "Apr": "april avril avr abril abr aprile nisan апрель апреля апр",
        "May": "mai mei maj mayo maggio mag maio mayıs май мая",
        "Jun": "juni juin junio giugno giu junho june haziran июнь июня июн",
        "Jul": "juli juillet juil julio luglio lug julho july temmuz июль июля июл",
        "Aug": "august augusti août aout agosto ago augustus ağustos август августа авг",
        "Sep": "september septembre sept septiembre settembre set setembro eylül сентябрь сентября сен сент",
        "Oct": "oktober octobre octubre ottobre ott outubro out okt october ekim октябрь октября окт",
        "Nov": "november novembre noviembre novembro kasım ноябрь ноября ноя нояб",
        "Dec": "dezember december décembre déc diciembre dic dicembre dezembro dez aralık декабрь декабря дек",
    }.items()
    for word in words.split()
}
"""Names of months that no other language in the list uses for another month."""
ZONES: Final = {
    "UTC": "Z", "GMT": "Z", "WET": "Z", "EST": "-05:00", "EDT": "-04:00", "CDT": "-05:00", "MDT": "-06:00",
    "PST": "-08:00", "PDT": "-07:00", "CET": "+01:00", "MEZ": "+01:00", "CEST": "+02:00", "MESZ": "+02:00",
    "EET": "+02:00", "EEST": "+03:00", "MSK": "+03:00", "JST": "+09:00", "KST": "+09:00",
}  # fmt: skip
"""Of zones with one meaning: CST, IST and BST have several."""
ZONE = re.compile(rf"(?<=[\d\sMm])\s*\b({'|'.join(ZONES)})$")
ZONE_BEFORE_YEAR = re.compile(rf"\s({'|'.join(ZONES)})\s+(\d{{4}})$")
OFFSET_NAME = re.compile(r"\s*\b(?:UTC|GMT)\s*(?=[+-]\d{1,2}:?\d{2}$)")
IN_BRACKETS = re.compile(r"\s*(?:\[[\w/+-]+\]|\([^()]*\))$")
DOTNET = re.compile(r"\\?/Date\((-?\d+)(?:[+-]\d{4})?\)\\?/")
MONGO = re.compile(r"""\{\s*"\$date"\s*:\s*(?:\{\s*"\$numberLong"\s*:\s*)?"?([^"{}]+?)"?\s*\}{1,2}""")
ISO_DATE = re.compile(r"""(?:ISODate|Timestamp|datetime)\(['"]([^'"]+)['"]\)""")
YEAR_COLON = re.compile(r"(\d{4}):(\d{1,2}:\d{2})")
BEFORE_CLOCK = re.compile(r"(?<=\d)(?:[_t]|\s+at\s+|\s*\|\s*)(?=\d{1,2}:)|(?<=:\d\d)z$")
FILES_CLOCK = re.compile(r"^(\d{4}-\d{2}-\d{2})[-_ ](\d{2})-(\d{2})-(\d{2})$")
TIGHT = re.compile(r"^(\d{1,2})([A-Za-z]{3})(\d{4})")
DOTTED_CLOCK = re.compile(r"\b(\d{1,2})\.(\d{2})\.(\d{2})((?:\.\d+)?\s*[AaPp]\.?[Mm]\.?)$")
YEAR_LAST = re.compile(
    r"(?:[^\W\d_]{2,12}\.?,?\s+)?([A-Za-z]{3})[a-z]*\.?\s+(\d{1,2})\s+"
    r"(\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)\s*(Z|[+-]\d{2}:?\d{2})?\s+(\d{4})"
)
AMAZON = re.compile(r"(\d{1,2}) (\d{1,2}), (\d{4})")
EAST_ASIAN = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일]?")
EAST_CLOCK = re.compile(r"(\d{1,2})\s*[時时시点點]\s*(\d{1,2})\s*[分분](?:\s*(\d{1,2})\s*[秒초])?")
ORDINAL = re.compile(r"\b(\d{1,2})(?:er|\.º|º|ª|°|\.)(?=[\s-]+[^\W\d_])")
OF = re.compile(r"\b(?:de|del|di|of)\b\s+", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_]+")
LONE_QUOTE = re.compile(r"'(?=[^']+$)")


def plain_time(cell: str) -> str:
    """Return a time in a form with numbers and English months, where it is one; else the cell as it is.

    >>> plain_time("lundi 1er janvier 2024"), plain_time("Mon Jan 01 10:00:00 UTC 2024"), plain_time("/Date(5)/")
    ('lundi 1 Jan 2024', '2024-Jan-01 10:00:00Z', '5')
    """
    text = cell if cell.isascii() else unicodedata.normalize("NFKC", cell)
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(char, char)) for char in text)
        text = EAST_ASIAN.sub(r"\1-\2-\3 ", text).strip()
        text = EAST_CLOCK.sub(lambda found: ":".join(part for part in found.groups() if part), text)
    text = LONE_QUOTE.sub("", text, count=1) if text.startswith("'") else text
    for wrapped in (DOTNET, MONGO, ISO_DATE):
        found = wrapped.fullmatch(text)
        if found:
            return found[1]
    text = OFFSET_NAME.sub(" ", IN_BRACKETS.sub("", text))
    text = ZONE_BEFORE_YEAR.sub(lambda found: f" {ZONES[found[1]]} {found[2]}", text)
    text = ZONE.sub(lambda found: ZONES[found[1]], text)
    if any(char.isalpha() for char in text):
        text = OF.sub("", ORDINAL.sub(r"\1", text))
        text = WORD.sub(lambda found: MONTHS.get(found[0].casefold(), found[0]), text)
    text = FILES_CLOCK.sub(r"\1 \2:\3:\4", BEFORE_CLOCK.sub(lambda found: "Z" if found[0] == "z" else " ", text))
    text = TIGHT.sub(r"\1 \2 \3", YEAR_COLON.sub(r"\1 \2", text, count=1))
    text = DOTTED_CLOCK.sub(r"\1:\2:\3\4", text)
    amazon = AMAZON.fullmatch(text)
    if amazon:
        return f"{amazon[3]}-{amazon[1]:0>2}-{amazon[2]:0>2}"
    last = YEAR_LAST.fullmatch(text)
    return f"{last[5]}-{last[1]}-{last[2]} {last[3]}{last[4] or ''}" if last else text
