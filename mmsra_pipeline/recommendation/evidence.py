"""What is said of one candidate for one query beside its content: who took it when, and whose taste it meets.

All of it is as of the query's time and without the user's own later events: a training positive must see what a test
positive would see.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from mmsra_pipeline.config import CooccurrenceConfig
from mmsra_pipeline.retrieval.cooccurrence_index import CooccurrenceIndex

USUAL_ITEMS = 2  # history items that must have a keyword before it counts as usual
GRADES = 10
USERS_IN_WORDS = ((0, "nobody"), (1, "one user"), (3, "a few users"), (8, "several users"))
MORE_USERS = "many users"
NOT_TAKEN = "Taken soon after none of these."


class CandidateEvidence(NamedTuple):
    """Others' behaviour as it concerns one candidate."""

    history_items: int
    """History items soon after which somebody took the candidate."""
    users: int
    """Users who did so."""
    next_users: int
    """Users who took the candidate right after the latest history item."""
    popularity: str
    """Class by the share of items that more users took; 'new': nobody took it."""
    grade: int
    """The same share in tenths, 10 the most popular; 0: nobody took it."""


class EvidenceSource:
    """Answers for a candidate and a query from the training interactions."""

    def __init__(self, index: CooccurrenceIndex, training: pd.DataFrame) -> None:
        self._index = index
        self._next = CooccurrenceIndex(training, CooccurrenceConfig(window=1))
        self._codes = {item: code for code, item in enumerate(index.items)}

    def of(self, history: Sequence[str], item: str, *, before: int | None, user: str) -> CandidateEvidence:
        """Give the evidence for ``item`` after ``history`` (the latest last), as of ``before``, without ``user``."""
        soon = self._index.evidence(history, item, before=before, exclude_user=user)
        then = self._next.evidence(history[-1:], item, before=before, exclude_user=user)
        grade = self._grade(item, before=before, user=user)
        return CandidateEvidence(soon.history_items, soon.users, then.users, soon.popularity, grade)

    def _grade(self, item: str, *, before: int | None, user: str) -> int:
        counts = self._index.counts(before=before, exclude_user=user)
        code = self._codes.get(item)
        if code is None or counts[code] == 0:
            return 0
        share = np.count_nonzero(counts > counts[code]) / np.count_nonzero(counts)
        return GRADES - int(GRADES * share)


def evidence_words(evidence: CandidateEvidence) -> str:
    """Say the evidence, coarsely: exact counts would tie what was learned to the size of the data set.

    >>> evidence_words(CandidateEvidence(2, 3, 0, "high", 9))
    'Taken soon after 2 of these by a few users, right after the latest by nobody. Popularity: high, 9 of 10.'
    """
    soon = f"soon after {evidence.history_items} of these by {_users(evidence.users)}"
    taken = f"Taken {soon}, right after the latest by {_users(evidence.next_users)}."
    grade = f", {evidence.grade} of {GRADES}" if evidence.grade else ""
    return f"{taken if evidence.history_items else NOT_TAKEN} Popularity: {evidence.popularity}{grade}."


def usual_keywords(
    history: Sequence[str], keywords: Mapping[str, Sequence[str]], shares: Mapping[str, float], limit: int
) -> tuple[str, ...]:
    """Give the keywords that a history has more often than the items do on the whole, the most telling first.

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
    """Give the share of items that have each keyword.

    >>> keyword_shares({"a": ["red"], "b": ["red", "mug"]})
    {'red': 1.0, 'mug': 0.5}
    """
    counts = Counter(word for words in keywords.values() for word in dict.fromkeys(words))
    return {word: count / len(keywords) for word, count in counts.items()}


def _users(count: int) -> str:
    return next((words for limit, words in USERS_IN_WORDS if count <= limit), MORE_USERS)
