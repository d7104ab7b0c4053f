"""Item text that is safe and short: what shops and users typed, without markup and without prompt delimiters."""

import html
import re
import unicodedata
from collections.abc import Sequence

import pandas as pd

from mmsra_pipeline import columns as c
from mmsra_pipeline.config.tree import ItemsConfig
from mmsra_pipeline.storage.hashing import fingerprint

FIELDS = (c.TITLE, c.DESCRIPTION, c.CATEGORY, c.TAGS)
TEXT_FIELDS = (c.TITLE, c.DESCRIPTION, c.CATEGORY)
SOURCE_KEY = "source_key"
FORM = 2  # of the texts; other cleaning, other number
READ_CHARS = 10  # times the bound: markup may take the rest; what lies beyond is not read at all
UNESCAPES = 3  # '&amp;amp;lt;' occurs
BLOCK = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
DELIMITER = re.compile(r"<\|[^<>|]*\|>")  # of chat templates: <|im_end|>
MARKUP = re.compile(r"</?[A-Za-z!?][^<>]*>")  # HTML tags; also <image>, <s>, </s>, <start_of_turn>
BRACKET_TOKEN = re.compile(r"\[(/?[A-Z][A-Z_]*)\]")  # of chat templates: [INST], [/INST], [IMG]
SPACE = re.compile(r"\s+")
# What prompts say of a user and a candidate, and what asks for an answer; a test holds them to the prompts' own words.
IMITATED_LINE = re.compile(
    r"\bpopularity ?:[^.!?]{0,60}"
    r"|\banswers?(?: (?:is|with|only|just|it))*:? ?['\"]?(?:yes|no)\b['\"]?(?: ?(?:or|/) ?['\"]?(?:yes|no)\b['\"]?)?"
    r"|\bwill the customer take this item next\b ?\??"
    r"|\ba customer took these items(?:, the latest last)?\b ?:?"
    r"|\bthe customer has taken nothing so far\b"
    r"|\b(?:usual keywords|similar customers(?: took next)?) ?:(?: ?none known\b)?",
    re.IGNORECASE,
)
IMITATED_LABEL = re.compile(r"\b(item|picture|image|text|keywords|evidence) ?:", re.IGNORECASE)
LEFT_ALONE = re.compile(r"(?:^|(?<= ))[.,;:!?]+(?= |$)")  # signs of a sentence that is gone
# Signs that only look like angle brackets: "I <3 you" stays readable, and no token that begins with '<' can be formed.
LOOKALIKES = str.maketrans("<>\uff1c\uff1e\uff5c", "\u2039\u203a\u2039\u203a|")  # full-width forms too
PLAIN = re.compile(r"[ !-;=?-Z\\^-~]*")  # ASCII without <, >, [, ], & is checked apart: nothing to clean but spaces
DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn"}  # controls, zero-width and direction marks, surrogates, private, unassigned


def build_item_text(
    raw_items: pd.DataFrame, interactions: pd.DataFrame, config: ItemsConfig, previous: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the catalogue with its text, sorted by item_id.

    The catalogue is every item of the interactions and, with ``cold_items``, every item of ``raw_items``.

    Args:
        raw_items: as a reader gives items.
        interactions: whose items are in the catalogue.
        config: bound of the texts, and whether items that nobody took are kept.
        previous: an earlier result; the text of an item of which the same is said is not cleaned again.

    Returns:
        item_id, title, description, category, tags, text; all cleaned and bounded by ``max_text_chars``, "" where there
        is none. text is "title. description. category"; tags are labels, not text, and not in it. source_key is a hash
        of what the source says of the item and of the settings.
    """
    catalogue = set(interactions[c.ITEM])
    if config.cold_items:
        catalogue |= set(raw_items[c.ITEM])
    items = pd.DataFrame({c.ITEM: sorted(catalogue)}, dtype="str").merge(
        raw_items[[c.ITEM, *FIELDS]], on=c.ITEM, how="left"
    )
    known = _reusable(previous)
    rows = []
    for item, *fields in items.itertuples(index=False, name=None):
        said = [value if isinstance(value, str) else None for value in fields]
        key = fingerprint(*said, config.max_text_chars, FORM)
        rows.append((item, *(known.get(key) or _cleaned(said, config.max_text_chars)), key))
    return pd.DataFrame(rows, columns=[c.ITEM, *FIELDS, c.TEXT, SOURCE_KEY], dtype="str")


def clean_text(value: object, max_chars: int) -> str:
    """Return a cell as plain text on one line, cut at a word below ``max_chars``; "" for null.

    HTML goes, entities become their signs, control and zero-width characters go. No '<' or '>' is left and no bracketed
    token such as [INST], so the text cannot open or close a turn of a chat template or stand for a picture. Lines of
    the prompts that show it, and what asks for an answer, go too; of a label such as "Item:" the colon.
    """
    if not isinstance(value, str):
        return ""
    text = value[: READ_CHARS * max_chars]
    if "&" in text or not PLAIN.fullmatch(text):
        text = _without_markup(_visible(_unescaped(text)))
    return bounded(_without_imitations(SPACE.sub(" ", text).strip()), max_chars)


def bounded(text: str, max_chars: int) -> str:
    """Cut text at the last space at or below ``max_chars`` characters; in the middle of a word that is longer alone."""
    if len(text) <= max_chars:
        return text
    cut = text[: max_chars + 1].rfind(" ")
    return text[: cut if cut > max_chars // 2 else max_chars].rstrip()


def _unescaped(text: str) -> str:
    for _ in range(UNESCAPES):
        once = html.unescape(text)
        if once == text:
            break
        text = once
    return text


def _visible(text: str) -> str:
    """Without characters that show nothing; whitespace of any kind becomes a space. First, lest they hide a tag."""
    spaced = SPACE.sub(" ", unicodedata.normalize("NFC", text))
    return spaced if spaced.isascii() and spaced.isprintable() else _filtered(spaced)


def _filtered(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) not in DROPPED)


def _without_markup(text: str) -> str:
    for pattern in (BLOCK, COMMENT, DELIMITER, MARKUP):
        text = pattern.sub(" ", text)
    return BRACKET_TOKEN.sub(r"(\1)", text.translate(LOOKALIKES))


def _without_imitations(text: str) -> str:
    left, found = IMITATED_LINE.subn(" ", text)
    while found:  # what is left may be one again
        text = SPACE.sub(" ", LEFT_ALONE.sub("", left)).strip()
        left, found = IMITATED_LINE.subn(" ", text)
    return IMITATED_LABEL.sub(r"\1 -", text)


def _cleaned(said: Sequence[str | None], max_chars: int) -> tuple[str, ...]:
    fields = [clean_text(value, max_chars) for value in said]
    sentences = [text for name, text in zip(FIELDS, fields) if text and name in TEXT_FIELDS]
    return (*fields, bounded(_sentences(sentences), max_chars))


def _reusable(previous: pd.DataFrame | None) -> dict[str, tuple[str, ...]]:
    """Earlier texts by source key."""
    if previous is None or SOURCE_KEY not in previous:
        return {}
    texts = previous[[*FIELDS, c.TEXT]].itertuples(index=False, name=None)
    return dict(zip(previous[SOURCE_KEY], texts))


def _sentences(parts: list[str]) -> str:
    ended = [part if part[-1] in ".!?…" else f"{part}." for part in parts[:-1]]
    return " ".join([*ended, *parts[-1:]])
