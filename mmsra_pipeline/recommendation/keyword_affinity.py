"""How far an item's keywords are those that a history has more often than others."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

EPSILON = 0.1  # keeps a keyword that hardly any item has from counting without bound


class KeywordAffinity:
    r"""The keyword of an item that a history has most more often than the catalogue would let one expect.

    With $c_w$ of a history's $n$ items having keyword $w$, and the share $s_w$ of the catalogue, the highest over the
    item's keywords of

    $$\frac{c_w - n s_w}{\sqrt{n s_w (1 - s_w) + \epsilon}}$$

    which is how many standard deviations more often. The highest and not the sum: a taste shows in one or two keywords
    of a short history, and the others would drown it.
    """

    def __init__(self, keywords: Mapping[str, Sequence[str]], catalogue: Sequence[str]) -> None:
        """Bind keywords of items, and the items whose shares count and that candidates are ranked in."""
        self._keywords = {item: tuple(dict.fromkeys(words)) for item, words in keywords.items()}
        counts = Counter(word for item in catalogue for word in self._keywords.get(item, ()))
        self._words = {word: place for place, word in enumerate(sorted(counts))}
        self._least = 1.0 / max(len(catalogue), 1)  # the share of a word that no item of the catalogue has, as if one
        self._share = np.array([counts[word] * self._least for word in self._words], dtype=np.float64)
        held = [self._places(item) for item in catalogue]
        self._has_keywords = np.array([bool(own) for own in held], dtype=bool)
        self._flat = np.array([place for own in held for place in own], dtype=np.int64)
        self._starts = np.cumsum([0, *(len(own) for own in held if own)])[:-1]

    def of(
        self, history: Sequence[str], items: Sequence[str]
    ) -> tuple[Float[np.ndarray, " items"], Float[np.ndarray, " catalogue"]]:
        """Return the affinity of items and of the catalogue; nan where an item has no keyword."""
        counts = Counter(word for item in history for word in self._keywords.get(item, ()))
        described = sum(bool(self._keywords.get(item)) for item in history)
        observed = np.zeros(len(self._share))
        for word, count in counts.items():
            if word in self._words:
                observed[self._words[word]] = count
        excess = self._excess(observed, described, self._share)
        every = np.full(len(self._has_keywords), np.nan)
        if len(self._flat):
            every[self._has_keywords] = np.maximum.reduceat(excess[self._flat], self._starts)
        own = []
        for item in items:
            words = self._keywords.get(item, ())
            new = [counts[word] for word in words if word not in self._words]
            values = [
                *excess[self._places(item)],
                *self._excess(np.array(new, dtype=np.float64), described, np.full(len(new), self._least)),
            ]
            own.append(max(values, default=math.nan))
        return np.array(own, dtype=np.float64), every

    def _places(self, item: str) -> list[int]:
        return [self._words[word] for word in self._keywords.get(item, ()) if word in self._words]

    @staticmethod
    def _excess(observed: np.ndarray, described: int, share: np.ndarray) -> np.ndarray:
        expected = described * share
        excess: np.ndarray = (observed - expected) / np.sqrt(expected * (1 - share) + EPSILON)
        return excess
