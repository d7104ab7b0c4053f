"""Keywords to begin with, taken out of the texts themselves: what the text line of a summary shall look like.

They teach the form, and to choose what sets an item apart; the reward teaches the rest.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

MAX_WORDS: Final = 3  # of a keyword
MAX_WORD_CHARS: Final = 30  # longer ones are addresses, codes, or text without blanks
SENTENCE_END: Final = re.compile(r"[.;:,!?()\[\]\n|/\"]+")
WORD: Final = re.compile(r"\w+(?:['\u2019-]\w+)*")
ENGLISH: Final = """
    a about after all also an and any are as at be because been but by can come could do does each every
    for from get had has have he her his how i if in into is it its just keep like made make many may
    more most much must my new no not of off on once one only or other our out over own per rather same
    she should so some such than that the their them then there these they this those through to too two
    under until up upon us use used very was we well were what when where which while who will with
    without would you your
"""
STOP_WORDS: Final = frozenset(ENGLISH.split())


def pseudo_keywords(texts: Sequence[str], *, count: int) -> list[list[str]]:
    """Return of each text its keywords: words of high TF-IDF over all texts, neighbours joined to one keyword.

    Words that a second text has come first, for a keyword that one item alone has joins it to no other.

    Args:
        texts: of the whole catalogue, for a word's rarity is counted over them.
        count: at most so many keywords of a text, in the order in which they stand there.

    Returns:
        Lower-case keywords of one to ``MAX_WORDS`` words, each once. A text of nothing but stop words has none. Equal
        weights go to the word that stands first.

    >>> pseudo_keywords(["Red mug. A mug for tea, by Ann", "A blue mug", "A tea bowl"], count=2)
    [['red mug', 'tea'], ['blue mug'], ['tea bowl']]
    """
    clauses = [[_words(clause) for clause in SENTENCE_END.split(text)] for text in texts]
    frequency = Counter(word for text in clauses for word in {word for clause in text for word in clause})
    return [_keywords(text, frequency, len(texts), count) for text in clauses]


def _keywords(clauses: Sequence[Sequence[str]], frequency: Mapping[str, int], texts: int, count: int) -> list[str]:
    counts = Counter(word for clause in clauses for word in clause if _tells(word))

    def rank(word: str) -> tuple[bool, float]:
        rarity = math.log((1 + texts) / (1 + frequency[word])) + 1
        return frequency[word] == 1, -counts[word] * rarity

    ranked = sorted(counts, key=rank)  # stable: equal ones stay in the order of the text
    chosen: set[str] = set()
    found: list[str] = []
    for word in ranked:
        joined = _joined(clauses, chosen | {word})
        if len(joined) > count:
            break
        chosen, found = chosen | {word}, joined
    return found


def _joined(clauses: Sequence[Sequence[str]], chosen: set[str]) -> list[str]:
    """Return the runs of chosen words; one that is part of another says nothing new and is left out."""
    found: dict[str, None] = {}
    for clause in clauses:
        run: list[str] = []
        for word in [*clause, ""]:
            if word in chosen and len(run) < MAX_WORDS:
                run.append(word)
            elif run:
                found[" ".join(run)] = None
                run = [word] if word in chosen else []
    words = {run: set(run.split()) for run in found}
    return [run for run in found if not any(words[run] < words[other] for other in found)]


def _words(clause: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(clause)]


def _tells(word: str) -> bool:
    return 1 < len(word) <= MAX_WORD_CHARS and word not in STOP_WORDS and not word.isdigit()
