"""Reading keywords out of what the summarizer wrote."""

import re
from dataclasses import dataclass

from mmsra_pipeline.config import SummarizationConfig

IMAGE_LINE = "Image:"
TEXT_LINE = "Text:"
NONE = "none"  # what stands for the keywords of a picture or text that is not there


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
    """Read a completion. What is no keyword is left out, never mended: no line, too many words, a repeat.

    At most ``config.max_keywords`` are kept of each line; a keyword has at most ``config.max_keyword_words`` words.
    A line that the token limit cut may end in half a keyword; it cannot be told from a whole one and is kept.
    """
    lines = [line.strip() for line in completion.strip().split("\n")]
    image, image_ok = _line_keywords(lines[0] if lines else "", IMAGE_LINE, config)
    text, text_ok = _line_keywords(lines[1] if len(lines) > 1 else "", TEXT_LINE, config)
    return Summary(image, text, image_ok and text_ok)


def words_of(text: str) -> list[str]:
    """Give the words of a text, in lower case.

    >>> words_of("Hand-made MUG, No. 7")
    ['hand', 'made', 'mug', 'no', '7']
    """
    return re.findall(r"\w+", text.casefold())


def _line_keywords(line: str, name: str, config: SummarizationConfig) -> tuple[tuple[str, ...], bool]:
    if not line.startswith(name):
        return (), False
    said = [_normal(entry) for entry in line.removeprefix(name).split(",")]
    if said == [NONE]:
        return (), True
    good = [entry for entry in said if entry != NONE and 1 <= len(words_of(entry)) <= config.max_keyword_words]
    unique = tuple(dict.fromkeys(good))
    well_formed = bool(unique) and len(unique) == len(said) and len(unique) <= config.max_keywords
    return unique[: config.max_keywords], well_formed


def _normal(entry: str) -> str:
    return re.sub(r"\s+", " ", entry).strip(" .;:\t").casefold()
