"""Reading keywords out of what the summarizer wrote."""

import re
import unicodedata
from dataclasses import dataclass

from mmsra_pipeline.config.tree import SummarizationConfig

IMAGE_LINE = "Image:"
TEXT_LINE = "Text:"
NONE = "none"  # what stands for the keywords of a picture or text that is not there

KEYWORD_TOKENS = 5  # of one keyword, with its comma, as a rule
LETTERS = (
    "0-9A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\u02af"  # Latin
    "\u0388-\u03f5\u03f7-\u0481\u048a-\u0556\u0561-\u0587"  # Greek, Cyrillic, Armenian
    "\u05d0-\u05ea\u0620-\u064a\u0904-\u0963\u0e01-\u0e30\u10a0-\u10fa"  # Hebrew, Arabic, Devanagari, Thai, Georgian
    "\u1e00-\u1fbc\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff\uac00-\ud7a3"  # marked Latin, Greek; kana, Chinese, Korean
)
JOINERS = frozenset("-'\u2019&")  # of words


@dataclass(frozen=True)
class Summary:
    """Keywords of one item, those of the picture apart from those of the text (sec. 3.3)."""

    image_keywords: tuple[str, ...]
    text_keywords: tuple[str, ...]
    well_formed: bool
    """Both lines are there, each with keywords or 'none', no keyword is too long, none stands twice in a line."""

    @property
    def keywords(self) -> tuple[str, ...]:
        """All keywords, the picture's first, each once."""
        return tuple(dict.fromkeys((*self.image_keywords, *self.text_keywords)))


def format_summary(image_keywords: tuple[str, ...] | list[str], text_keywords: tuple[str, ...] | list[str]) -> str:
    """Write keywords in the form that the summarizer shall use.

    >>> print(format_summary(["red", "mug"], ["ceramic"]))
    Image: red, mug
    Text: ceramic
    """
    image, text = (", ".join(words) or NONE for words in (image_keywords, text_keywords))
    return f"{IMAGE_LINE} {image}\n{TEXT_LINE} {text}"


def parse_summary(completion: str, config: SummarizationConfig) -> Summary:
    """Read a completion. What is no keyword is left out, never fixed: no line, too many words, a repeat.

    At most ``config.max_keywords`` are kept of each line; a keyword has at most ``config.max_keyword_words`` words.
    A line that the token limit cut may end in half a keyword; it cannot be told from a whole one and is kept.
    """
    lines = [line.strip() for line in completion.strip().split("\n")]
    image, image_ok = _line_keywords(lines[0] if lines else "", IMAGE_LINE, config)
    text, text_ok = _line_keywords(lines[1] if len(lines) > 1 else "", TEXT_LINE, config)
    return Summary(image, text, image_ok and text_ok)


def summary_pattern(config: SummarizationConfig, *, image: bool, text: bool) -> str:
    """Return a regular expression of summaries, for servers that hold answers to one.

    It is written without look-around and without classes by name, which servers do not have; so it says nothing of
    repeats, and knows the scripts of ``LETTERS`` alone. What it lets through is still for ``parse_summary`` to judge.

    Args:
        config: bounds of keywords. A line has no more of them than its half of ``max_new_tokens`` has room for.
        image: whether the item has a picture; else its line is 'none'.
        text: the same of its text.
    """
    word = f"[{LETTERS}]{{1,15}}(['\u2019&-][{LETTERS}]{{1,15}}){{0,2}}"
    keyword = f"{word}( {word}){{0,{config.max_keyword_words - 1}}}"
    most = min(config.max_keywords, max(1, config.max_new_tokens // (2 * KEYWORD_TOKENS)))
    line = f"{keyword}(, {keyword}){{0,{most - 1}}}"
    return f"{IMAGE_LINE} {line if image else NONE}\\n{TEXT_LINE} {line if text else NONE}"


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case.

    >>> words_of("Hand-made MUG, No. 7")
    ['hand', 'made', 'mug', 'no', '7']
    """
    return re.findall(r"\w+", text.casefold())


def count_words(keyword: str) -> int:
    """Count the words of a keyword. Hyphens, apostrophes and & join words to one; accents belong to their letters.

    >>> count_words("hand-made mug"), count_words("a mug/bowl"), count_words(" - ")
    (2, 3, 0)
    """
    kept = (character if _in_words(character) else " " for character in keyword)
    return sum(any(character.isalnum() for character in word) for word in "".join(kept).split())


def _in_words(character: str) -> bool:
    return character in JOINERS or unicodedata.category(character)[0] in "LNM"


def _line_keywords(line: str, name: str, config: SummarizationConfig) -> tuple[tuple[str, ...], bool]:
    if not line.startswith(name):
        return (), False
    said = [_normal(entry) for entry in line.removeprefix(name).split(",")]
    if said == [NONE]:
        return (), True
    good = [entry for entry in said if entry != NONE and 1 <= count_words(entry) <= config.max_keyword_words]
    unique = tuple(dict.fromkeys(good))
    well_formed = bool(unique) and len(unique) == len(said) and len(unique) <= config.max_keywords
    return unique[: config.max_keywords], well_formed


def _normal(entry: str) -> str:
    return re.sub(r"\s+", " ", entry).strip(" .;:\t").casefold()
