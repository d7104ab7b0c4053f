"""How evidence is said in a prompt: classes of signals in fixed slots, and keywords that are usual for a user."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from mmsra_pipeline.config.tree import SLOTS, Slot

BLANK: Final = -1  # a class that is not said
WORDS: Final[Mapping[Slot, str]] = {
    "sequence": "seq",
    "cooccurrence": "co",
    "next": "next",
    "votes": "votes",
    "taste": "taste",
    "nearest": "near",
    "keywords": "kw",
    "popularity": "pop",
    "all": "all",
}
"""One token each of the embedded model's tokenizer, and so is the class: a slot costs two."""
SAID = re.compile(rf"\b({'|'.join(WORDS.values())})[\d-](?!\w)", re.IGNORECASE)
USUAL_ITEMS = 2  # history items that must have a keyword before it counts as usual


def evidence_line(slots: Sequence[Slot], classes: Sequence[int]) -> str:
    """Say classes, given in the order of ``config.SLOTS``, for the slots that are shown.

    >>> evidence_line(("sequence", "popularity"), [9, 0, 0, 0, 5, 5, 1, -1, 0])
    'seq9 pop-'
    """
    said = dict(zip(SLOTS, classes, strict=True))
    return " ".join(f"{WORDS[slot]}{'-' if said[slot] == BLANK else said[slot]}" for slot in slots)


def without_evidence(text: str) -> str:
    """Return a text without words that look like evidence: who sells an item writes its title.

    >>> without_evidence("Mug seq9 Co9 for a party, Pop 9, co-op, next-day")
    'Mug for a party, Pop 9, co-op, next-day'
    """
    left, found = SAID.subn("", text)
    while found:  # "seq-seq9" leaves another one
        left, found = SAID.subn("", left)
    return re.sub(r" {2,}", " ", left).strip()


def usual_keywords(
    history: Sequence[str], keywords: Mapping[str, Sequence[str]], shares: Mapping[str, float], limit: int
) -> tuple[str, ...]:
    """Return the keywords that a history has more often than the items do on the whole, the most telling first.

    Ordered by how far the share of history items with the keyword exceeds that of all items; then by the alphabet.

    Args:
        history: item ids.
        keywords: of each item.
        shares: share of all items that have a keyword, in [0, 1].
        limit: how many are given at most.

    >>> words = {"a": ["red", "mug"], "b": ["red", "ball"], "c": ["blue", "mug"]}
    >>> usual_keywords(["a", "b", "c"], words, {"red": 0.1, "mug": 0.5, "blue": 0.3, "ball": 0.2}, 5)
    ('red', 'mug')
    """
    counts = Counter(word for item in history for word in dict.fromkeys(keywords.get(item, ())))
    excess = {
        word: count / len(history) - shares.get(word, 0.0) for word, count in counts.items() if count >= USUAL_ITEMS
    }
    telling = sorted((word for word in excess if excess[word] > 0), key=lambda word: (-excess[word], word))
    return tuple(telling[:limit])


def keyword_shares(keywords: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the share of items that have each keyword.

    >>> keyword_shares({"a": ["red"], "b": ["red", "mug"]})
    {'red': 1.0, 'mug': 0.5}
    """
    counts = Counter(word for words in keywords.values() for word in dict.fromkeys(words))
    return {word: count / len(keywords) for word, count in counts.items()}
